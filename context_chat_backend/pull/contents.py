"""Content that is fetched when it is needed, or that came with its row."""

import logging
import random
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import anyio
from anyio import to_thread

from ..contract import Rejected, SourceId, Unavailable, UserId
from ..core.spool import SpooledContent, SpoolFile
from ..nextcloud.errors import Failed, Missing, NextcloudError, NoRoute, NotAccepted, Refused, as_driver_error
from ..nextcloud.queues import Queues
from ..nextcloud.refusals import Refusals

MOST_BYTES = 100 * 2**20
"""Of a file: context_chat does not look at the size of what it queues."""
MOST_READERS = 20
"""That a file is asked for as, one after the other, in one try."""
FIRST_SECONDS, SLOWEST = 60.0, 100_000
"""A file that takes longer than so many seconds, and one for so many of its bytes, is tried again later."""

log = logging.getLogger(__name__)


def number_of(source_id: SourceId) -> int:
    """Nextcloud's own of a file. Raises `Rejected`."""
    number = source_id.rpartition(" ")[2]
    if not (number.isascii() and number.isdecimal()):
        raise Rejected("its id is not that of a file")
    return int(number)


class Origin(Protocol):
    """Where the bytes of a source come from."""

    async def write_to(self, file: SpoolFile, user_ids: Sequence[UserId]) -> None:
        """Raises what `Content.path` may raise."""


class PulledContent:
    """Implements `Content`. The bytes are on disk from the first call that needs them until `release`; needed again,
    they are fetched again."""

    def __init__(self, origin: "Origin", spool: Path, *, size: int, readers: Callable[[], Sequence[UserId]]) -> None:
        """`readers` tells as whom the source may be read when it is fetched."""
        self.size = size
        self._origin = origin
        self._spool = spool
        self._readers = readers
        self._one_fetch = anyio.Lock()
        self._spooled: SpooledContent | None = None

    async def sha256(self) -> str:
        return await (await self._fetched()).sha256()

    async def path(self) -> Path:
        return await (await self._fetched()).path()

    def release(self) -> None:
        if self._spooled is not None:
            self._spooled.release()
            self._spooled = None

    async def _fetched(self) -> SpooledContent:
        async with self._one_fetch:
            if self._spooled is None:
                self._spooled = await self._fetch()
            return self._spooled

    async def _fetch(self) -> SpooledContent:
        try:
            file = await to_thread.run_sync(SpoolFile, self._spool)
            try:
                await self._origin.write_to(file, self._readers())
                return await to_thread.run_sync(file.content)
            except BaseException:
                file.discard()
                raise
        except OSError as error:
            raise Unavailable(f"content cannot be kept in {self._spool}: {error.strerror}") from error


class ItemText:
    """The text that came with a row."""

    def __init__(self, text: Callable[[], Awaitable[str]]) -> None:
        self._text = text

    async def write_to(self, file: SpoolFile, user_ids: Sequence[UserId]) -> None:  # noqa: ARG002 - no need to ask
        text = await self._text()
        if not text:
            raise Rejected("no content")
        await to_thread.run_sync(file.write, text.encode("utf-8", "replace"))


class NextcloudFile:
    """A file of Nextcloud, read as one of its readers."""

    def __init__(self, queues: Queues, source_id: SourceId, *, size: int, refusals: Refusals) -> None:
        """`size` is what its row says, in bytes."""
        self._refusals = refusals
        self._queues = queues
        self._source_id = source_id
        self._size = size
        self._seen: tuple[int, str] | None = None
        """Length and digest of what was shorter than it should be, when it was fetched last."""

    async def write_to(self, file: SpoolFile, user_ids: Sequence[UserId]) -> None:
        number = number_of(self._source_id)
        await self._refusals.wait()
        failure: NextcloudError = Missing("nobody may read it")
        asked = random.sample(user_ids, min(len(user_ids), MOST_READERS))  # others at the next try
        for user_id in asked:
            try:
                return await self._fetch_as(user_id, number, file)
            except (Missing, Refused, Failed) as error:  # another reader may have it
                failure = error if isinstance(failure, Missing) else failure
        if isinstance(failure, Missing) and len(asked) == len(user_ids):
            raise Rejected("no reader has this file any more") from failure
        raise Unavailable(f"none of {len(asked)} readers can open the file: {failure}") from failure

    async def _fetch_as(self, user_id: UserId, number: int, file: SpoolFile) -> None:
        """Raises `Missing`, `Refused` and `Failed` where another reader may have more luck, else a `DriverError`."""
        try:
            with anyio.fail_after(FIRST_SECONDS + self._size / SLOWEST):
                async with self._queues.file(number, user_id) as parts:
                    await self._receive(file, parts)
        except TimeoutError as error:
            raise Unavailable("the file comes too slowly") from error
        except NoRoute as error:  # not a word about the file: Context Chat is not there
            raise as_driver_error(error) from error
        except (Missing, Refused, Failed):
            raise
        except NextcloudError as error:
            if isinstance(error, NotAccepted):
                self._refusals.note()
            raise as_driver_error(error) from error

    async def _receive(self, file: SpoolFile, parts: AsyncIterable[bytes]) -> None:
        await to_thread.run_sync(file.restart)
        async for part in parts:
            await to_thread.run_sync(file.write, part)
            if file.size > MOST_BYTES:
                raise Rejected(f"larger than {MOST_BYTES} bytes")
        self._require_whole(file)

    def _require_whole(self, file: SpoolFile) -> None:
        """A stream that broke off ends like any other. One that is short in the same way twice was not broken off: the
        file has become smaller since it was queued."""
        if file.size >= self._size:
            return
        seen = (file.size, file.sha256)
        if seen != self._seen:
            self._seen = seen
            raise Unavailable(f"the file broke off after {file.size} of {self._size} bytes")
        log.info("%s has %d bytes and not %d, as its row says", self._source_id, file.size, self._size)
