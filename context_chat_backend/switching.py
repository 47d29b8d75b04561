"""Notices when a backend comes back after another one was in use."""

import logging

from .state import State

LAST = "backend"

log = logging.getLogger(__name__)


async def note_backend(state: State, identity: str) -> None:
    """Remember the data that is in use from now on, and warn if it was in use before, but not last.

    What was revoked or deleted meanwhile did not reach it, and a scan adds readers but takes none away.
    """
    last, known = await state.flag(LAST), await state.flag(_used(identity))
    if known and last != identity:
        log.warning(
            "the backend %s was in use before, then %s: what was revoked or deleted since then is back. Empty it, and "
            "let Nextcloud scan again: docs/operations.md, Switching backends",
            identity,
            last,
        )
    await state.set_flag(_used(identity), "yes")
    await state.set_flag(LAST, identity)


def _used(identity: str) -> str:
    return f"used {identity}"
