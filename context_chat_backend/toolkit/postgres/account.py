"""Under which account the embedded PostgreSQL runs, which refuses to run as root, and how that gets to its folders."""

import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from context_chat_backend.contract import Misconfigured

from . import walled

ACCOUNTS = ("postgres", "nobody")
"""The first of these that exists runs the server of a gateway that runs as root."""


def unprivileged_account() -> pwd.struct_passwd:
    """Raises `Misconfigured` where there is none."""
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Misconfigured(f"PostgreSQL does not run as root: create one of the users {', '.join(ACCOUNTS)}")


def give_away(folder: Path, user: int, group: int) -> None:
    """Make everything in a folder belong to this account, the folder itself last."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chown(Path(parent, name), user, group, follow_symlinks=False)
        os.chown(parent, user, group, follow_symlinks=False)


def as_account(user: int, group: int, folders: Sequence[Path]) -> list[str]:
    """What to put before a command so that root runs it as this account, with access to these folders.

    A folder above one of them that is closed to the account stays closed: in the command's own view of the file system
    an empty one takes its place, in which nothing but these folders is found.
    """
    closed = {wall for folder in folders if (wall := _wall_above(folder, user, group)) is not None}
    walls = [wall for wall in closed if not closed.intersection(wall.parents)]
    arguments = [str(user), str(group), str(len(walls)), *map(str, walls), str(len(folders)), *map(str, folders)]
    return [sys.executable, "-IS", walled.__file__, *arguments]


def _wall_above(folder: Path, user: int, group: int) -> Path | None:
    """The topmost folder above this one that the account cannot pass through."""
    return next((parent for parent in reversed(folder.parents) if not _may_enter(parent, user, group)), None)


def _may_enter(folder: Path, user: int, group: int) -> bool:
    status = folder.stat()
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == group else stat.S_IXOTH))
