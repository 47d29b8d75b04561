"""Files that wait until a model of Nextcloud has read them."""

from collections.abc import Callable

import anyio

from .leases import Key, Lease


class Media:
    """They wait in none of the places for documents. Run `work` as often as files are to be read side by side."""

    def __init__(self, read: Callable[[Lease], None], failed: Callable[[Lease, Exception], None]) -> None:
        """One of the two is called with each lease when it has been its turn."""
        self._read = read
        self._failed = failed
        self._waiting: dict[Key, Lease] = {}
        self._under_way: set[Key] = set()
        self._added = anyio.Event()

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._under_way

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def add(self, lease: Lease) -> None:
        """Only those with a transcript."""
        self._waiting[lease.key] = lease
        self._added.set()
        self._added = anyio.Event()

    def withdraw(self, lease: Lease) -> bool:
        """Whether it was waiting. One that is being read is let finish."""
        return self._waiting.pop(lease.key, None) is not None

    async def work(self) -> None:
        """Have one file after the other read; ends by cancellation."""
        while True:
            while not self._waiting:
                await self._added.wait()
            await self._take(self._waiting.pop(next(iter(self._waiting))))

    async def _take(self, lease: Lease) -> None:
        if lease.transcript is None:
            raise ValueError("nothing to be read")
        self._under_way.add(lease.key)
        lease.deletions_before = lease.deletions
        try:
            await lease.transcript.read()
        except anyio.get_cancelled_exc_class():  # for when pulling goes on
            self._waiting = {lease.key: lease, **self._waiting}
            raise
        except Exception as error:  # noqa: BLE001 - a bug, too, costs only this file another try
            self._failed(lease, error)
        else:
            self._read(lease)
        finally:
            self._under_way.discard(lease.key)
