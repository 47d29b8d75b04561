"""Calls by which Nextcloud says that a task is done.

They only wake up whoever waits for the task. What they say is not read: the task is asked for then. They may get lost,
so nobody relies on them.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

PATH = "/webhooks/tasks"
"""Relative to the root of this app, however Nextcloud reaches it: AppAPI puts its own prefix in front."""


class Webhook:
    """The address for one task. It has to be known before the task has a number, so it has a name of its own."""

    def __init__(self) -> None:
        self.name = secrets.token_urlsafe(16)
        self._called = anyio.Event()

    @property
    def uri(self) -> str:
        """What Nextcloud is told."""
        return f"{PATH}/{self.name}"

    def call(self) -> None:
        """There is news of the task."""
        self._called.set()

    async def wait(self, seconds: float) -> bool:
        """Return when it is called, but no later than that. Whether it was called since the last time."""
        with anyio.move_on_after(seconds):
            await self._called.wait()
        was_called = self._called.is_set()
        self._called = anyio.Event()
        return was_called


class Webhooks:
    """Those of the tasks that somebody waits for."""

    def __init__(self) -> None:
        self._by_name: dict[str, Webhook] = {}

    @contextmanager
    def open(self) -> Iterator[Webhook]:
        """A new one, which can be called until the block ends."""
        webhook = Webhook()
        self._by_name[webhook.name] = webhook
        try:
            yield webhook
        finally:
            del self._by_name[webhook.name]

    def call(self, name: str) -> None:
        """Nextcloud called it. Nothing happens where nobody waits, for example after a restart."""
        if (webhook := self._by_name.get(name)) is not None:
            webhook.call()
