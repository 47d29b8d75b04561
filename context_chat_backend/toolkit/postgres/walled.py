"""Run by root as a program of its own: becomes a command under another account.

    walled.py USER GROUP NUMBER WALL... NUMBER FOLDER... COMMAND...

Each wall is a folder that the account cannot pass through. Before the account is changed an empty folder takes its
place, in a mount namespace of this process, and the folders that lie behind it are mounted there under their own paths.
So they can be reached and nothing else behind the walls can; the permissions of the real folders stay as they are.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
NOT_PERMITTED = 77
"""Exit status: the kernel or the container does not let this process have a mount namespace."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Does not return."""
    user, group = int(arguments.pop(0)), int(arguments.pop(0))
    walls, folders = _counted(arguments), _counted(arguments)
    if walls:
        here = Path.cwd()
        try:
            _wall_off(walls, folders)
        except PermissionError as error:
            sys.stderr.write(f"no mount namespace: {error}")
            sys.exit(NOT_PERMITTED)
        os.chdir(here)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    os.execv(arguments[0], arguments)  # noqa: S606 - what our own caller asks for


def _counted(arguments: list[str]) -> list[str]:
    number = int(arguments.pop(0))
    counted, arguments[:number] = arguments[:number], []
    return counted


def _wall_off(walls: Sequence[str], folders: Sequence[str]) -> None:
    _check(_libc.unshare(CLONE_NEWNS))
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    held = {folder: os.open(folder, os.O_PATH) for folder in folders}
    for wall in walls:
        _mount("tmpfs", wall, "tmpfs", 0, "size=1m,mode=755")
    for folder, descriptor in held.items():
        if any(os.path.commonpath([wall, folder]) == wall for wall in walls):
            Path(folder).mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", folder, None, MS_BIND | MS_REC)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    _check(_libc.mount(*map(_encoded, (source, target, kind)), ctypes.c_ulong(flags), _encoded(options)))


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1:])
