"""What each container of a deployment in Kubernetes does; without `APP_ROLE` one process does everything.

AppAPI starts one container for each of its three roles, on one shared volume, and calls only `requestproc`. The order
of actions and documents is kept within one process (docs/adr/0012-roles-in-kubernetes.md), so that `indexing` takes
both, and `updatesproc` nothing.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anyio import to_thread

from .contract import Driver, Misconfigured, Unavailable
from .pull.puller import Work

REQUESTS, UPDATES, INDEXING = "requestproc", "updatesproc", "indexing"


@dataclass(frozen=True, slots=True)
class Duties:
    """Of one process."""

    takes: frozenset[Work]
    """From Nextcloud."""
    writes: bool
    """Whether it may change what is stored. Exactly one process of a deployment may."""
    called: bool
    """Whether Nextcloud calls it, and tells it whether the app is enabled."""

    @property
    def summary(self) -> str:
        """What the process does, for the log."""
        takes = " and ".join(sorted(work.name.lower() for work in self.takes))
        return f"takes {takes} from Nextcloud" if takes else "rests: another one does its work"


DUTIES: Mapping[str | None, Duties] = MappingProxyType(
    {
        None: Duties(takes=frozenset(Work), writes=True, called=True),
        REQUESTS: Duties(takes=frozenset({Work.QUESTIONS}), writes=False, called=True),
        UPDATES: Duties(takes=frozenset(), writes=False, called=False),
        INDEXING: Duties(takes=frozenset({Work.DOCUMENTS}), writes=True, called=False),
    }
)
"""By the value of `APP_ROLE`."""

UNSUITABLE: Mapping[str, str] = MappingProxyType(
    {
        "r2r": "R2R may bring a document back that was deleted while R2R worked on it, and only the process that "
        "deleted it knows that it must not be found"
    }
)
"""Backends that several gateways may use, but not for one deployment, with the reason."""


def require_suitable(role: str, backend: str, driver: Driver) -> None:
    """Raise `Misconfigured` where the containers of a deployment cannot use the backend together."""
    if backend in UNSUITABLE:
        raise Misconfigured(f"APP_ROLE={role} does not work with RAG_BACKEND={backend}: {UNSUITABLE[backend]}")
    if not driver.capabilities.shared:
        raise Misconfigured(
            f"APP_ROLE={role} needs a store that all containers reach, and RAG_BACKEND={backend} keeps it where only "
            "one process can use it: set CCB_DB_URL (builtin) or PINECONE_CATALOGUE_URL (pinecone) to a PostgreSQL "
            "server, or deploy without roles"
        )


class Agreement:
    """On the store that the containers use: the one that writes says which, the others look whether it is theirs, too.
    With other settings than it they would answer from another store."""

    def __init__(self, file: Path, duties: Duties) -> None:
        """`file` is on the shared volume."""
        self._file = file
        self._duties = duties

    async def require(self, identity: str) -> None:
        """Say or compare. Raises `Unavailable` where nobody has said it yet, `Misconfigured` where it is another."""
        if self._duties.writes:
            await to_thread.run_sync(_write, self._file, identity)
            return
        said = await to_thread.run_sync(_read, self._file)
        if said is None:
            raise Unavailable(f"the container with APP_ROLE={INDEXING} has not opened its backend yet")
        if said != identity:
            raise Misconfigured(
                f"the container with APP_ROLE={INDEXING} uses another store than this one: {said}, and here "
                f"{identity}; give all of them the same settings"
            )


def _write(file: Path, text: str) -> None:
    try:
        descriptor, draft = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(descriptor)
        Path(draft).replace(file)
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
