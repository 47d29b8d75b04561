"""The persistent storage: is writable, has room, and what is remembered in it can be read."""

import shutil
import tempfile
from pathlib import Path

import anyio

from ..contract import DriverError, Finding
from ..core.state import State
from .findings import ok, problem, warning

MIB = 2**20
LITTLE_DISK_MIB = 2048
NO_DISK_MIB = 256
"""One request of Nextcloud brings up to 200 MB of uploads."""
STATE_REMEDY = (
    "Check the owner of the file and the space on its disk. If it is damaged: stop the gateway and remove state.db*; "
    "docs/operations.md says what is lost."
)


def check_storage(folder: Path) -> list[Finding]:
    """The folder is writable and has room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"APP_PERSISTENT_STORAGE: {folder} is not writable: {error.strerror}"
        return [
            problem("storage", text, "Give the folder to the account that runs the gateway, or choose another one.")
        ]
    return [ok("storage", f"{folder} is writable"), disk_finding(shutil.disk_usage(folder).free // MIB)]


def disk_finding(free_mib: int) -> Finding:
    """What this much free space means."""
    text = f"{free_mib:,} MiB free"
    remedy = "Free some space, or move the persistent storage to a larger disk."
    if free_mib < NO_DISK_MIB:
        return problem("disk", f"{text}: uploads will fail", remedy)
    if free_mib < LITTLE_DISK_MIB:
        return warning("disk", f"{text}: too little for uploads and an embedded database", remedy)
    return ok("disk", text)


async def check_state(file: Path) -> list[Finding]:
    """What the gateway remembers can be read; a gateway may use it meanwhile."""
    if not await anyio.Path(file).exists():
        return [ok("state.db", "not there yet; the first start creates it")]
    try:
        async with State(file) as state:
            ((entries,),) = await state.fetch("select count(*) from upserts")
    except DriverError as error:
        return [problem("state.db", str(error), STATE_REMEDY)]
    return [ok("state.db", f"opens, {entries:,} entries in the upsert cache")]
