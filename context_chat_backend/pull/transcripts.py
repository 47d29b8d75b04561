"""Text of images and of speech: models of Nextcloud read it, as one of those who may read the file."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread

from ..contract import BeyondReader, DriverError, Rejected, SourceId, Unavailable, UserId
from ..core.contents import NotRead
from ..core.spool import SpoolFile
from ..nextcloud.consumer import TaskConsumer
from ..nextcloud.errors import (
    Failed,
    Missing,
    NextcloudError,
    NoProvider,
    NotAccepted,
    Refused,
    TaskFailed,
    as_driver_error,
)
from ..nextcloud.refusals import Refusals
from .contents import MOST_READERS, PulledContent, number_of

TASK_SECONDS = 1800.0
"""That a model may take for one file, with the time that it spends on other people's."""
MOST_FAILURES = 4
"""Of a model, on one file. Then it is given up: a model that cannot read it will not learn to."""
FIRST_PAUSE = 600.0
PAUSE_GROWTH = 3
"""Seconds after the first failure, and how that grows: a model that is away for two hours costs no file."""
MOST_BYTES = 10 * 2**20
"""Of a text."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Medium:
    """A kind of files that models read."""

    name: str
    prefix: str
    """Of its mime types."""
    task_type: str
    takes_list: bool
    """Of files, for which it gives a list of texts."""


MEDIA = (
    Medium("images", "image/", "core:image2text:ocr", takes_list=True),
    Medium("audio files", "audio/", "core:audio2text", takes_list=False),
)


def medium_of(mime_type: str) -> Medium | None:
    """None where no model is needed."""
    return next((medium for medium in MEDIA if mime_type.startswith(medium.prefix)), None)


class Models:
    """Those of one Nextcloud that read media."""

    def __init__(self, tasks: TaskConsumer, refusals: Refusals) -> None:
        self._tasks = tasks
        self._refusals = refusals

    async def require(self, medium: Medium) -> None:
        """Return if there is one for such files. Raises `Rejected` if there is none, and `DriverError`s where nobody
        knows."""
        await self._refusals.wait()
        try:
            offered = await self._tasks.offers(medium.task_type)
        except NextcloudError as error:
            raise self._of_app(error) from error
        if not offered:
            raise _no_model(medium)

    async def read(self, medium: Medium, number: int, user_ids: Sequence[UserId]) -> str:
        """The text of a file, asked for as the first of these users who may have it read. Takes minutes.

        Raises `TaskFailed` where the model failed, else `DriverError`s: `Rejected` if there is no model, or if nobody
        may read the file.
        """
        failure: NextcloudError = Missing("nobody may read it")
        for user_id in user_ids[:MOST_READERS]:
            try:
                return await self._read_as(user_id, medium, number)
            except (Missing, Refused, Failed, NotAccepted) as error:  # another reader may have it
                failure = error if isinstance(failure, Missing | Refused) else failure
        if isinstance(failure, Missing | Refused):
            raise Rejected(f"no reader can have this file read: {failure}") from failure
        raise Unavailable(f"none of its readers can have the file read: {failure}") from failure

    async def _read_as(self, user_id: UserId, medium: Medium, number: int) -> str:
        await self._refusals.wait()
        given = {"input": [number] if medium.takes_list else number}
        try:
            output = await self._tasks.output(user_id, medium.task_type, given, seconds=TASK_SECONDS, keep=False)
        except NoProvider as error:
            raise _no_model(medium) from error
        except NotAccepted:
            await self._require_accepted()
            raise
        except (Missing, Refused, Failed, TaskFailed):
            raise
        except NextcloudError as error:
            raise as_driver_error(error) from error
        return _text_of(output)

    async def _require_accepted(self) -> None:
        """Return if it was the user who was refused, whose account may be gone: Nextcloud answers the same to a wrong
        secret, which must not be tried with every reader."""
        try:
            await self._tasks.require_accepted()
        except NextcloudError as error:
            raise self._of_app(error) from error

    def _of_app(self, error: NextcloudError) -> DriverError:
        if isinstance(error, NotAccepted):
            self._refusals.note()
        return as_driver_error(error)


class Reading:
    """Implements `Origin`: the bytes are what a model reads in a file."""

    def __init__(self, models: Models, medium: Medium, source_id: SourceId) -> None:
        self._models = models
        self._medium = medium
        self._source_id = source_id
        self._failures = 0
        self.size = 0
        """Bytes of the text, once it is there."""

    async def require(self) -> None:
        """Return if the file can be read, as far as is known. Raises `DriverError`s."""
        await self._models.require(self._medium)

    async def write_to(self, file: SpoolFile, user_ids: Sequence[UserId]) -> None:
        try:
            text = await self._models.read(self._medium, number_of(self._source_id), user_ids)
        except TaskFailed as error:
            raise self._failed(error) from error
        data = text.strip().encode("utf-8", "replace")
        if not data:
            raise Rejected("no text found")
        if len(data) > MOST_BYTES:
            raise Rejected(f"its text is longer than {MOST_BYTES} bytes")
        await to_thread.run_sync(file.write, data)
        self.size = len(data)

    def _failed(self, error: TaskFailed) -> DriverError:
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return Unavailable(str(error), retry_after=FIRST_PAUSE * PAUSE_GROWTH ** (self._failures - 1))
        return Rejected(f"Nextcloud's model failed on it {self._failures} times")


class Transcript:
    """Implements `Content`, for a source whose text has to be asked for. That takes minutes and is not begun by whoever
    needs the bytes, who holds places and turns that others wait for: it gets `NotRead`, and has to come again after
    `read`. So nothing is asked for that nobody needs."""

    def __init__(self, reading: Reading, spool: Path, readers: Callable[[], Sequence[UserId]]) -> None:
        self._reading = reading
        self._content = PulledContent(reading, spool, size=0, readers=readers)
        self._is_read = False
        self._refusal = ""
        """Why there will be no text, if so."""

    @property
    def size(self) -> int:
        return self._reading.size

    async def sha256(self) -> str:
        await self._require_read()
        return await self._content.sha256()

    async def path(self) -> Path:
        await self._require_read()
        return await self._content.path()

    def release(self) -> None:
        self._content.release()
        self._is_read = False

    async def read(self) -> None:
        """Ask for the text. That there is none for good is told to whoever needs the bytes next. Raises a
        `TransientError` or `Misconfigured` where another try may help."""
        self.release()
        self._refusal = ""
        try:
            await self._content.path()
        except Rejected as error:
            self._refusal = str(error)
        self._is_read = True

    async def _require_read(self) -> None:
        if not self._is_read:
            await self._reading.require()
            raise NotRead
        if self._refusal:
            raise Rejected(self._refusal)


def _no_model(medium: Medium) -> BeyondReader:
    return BeyondReader(f"{medium.name} are read where Nextcloud has an app for tasks of the type {medium.task_type}")


def _text_of(output: Any) -> str:
    match output:
        case {"output": str(text)}:
            return text
        case {"output": [*texts]} if all(isinstance(text, str) for text in texts):
            return "\n\n".join(texts)
        case _:
            raise TaskFailed("the text of Nextcloud's model cannot be read")
