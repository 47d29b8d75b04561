"""Refuses a backend that comes back after another one was in use, until an admin accepts it."""

from ..contract import Misconfigured
from .state import State

LAST = "backend"
ACCEPTED = "accept next backend"


async def note_backend(state: State, identity: str) -> None:
    """Remember the data that is in use from now on; an acceptance is used up then, needed or not.

    Raises `Misconfigured` as `require_admitted` does, and remembers nothing then.
    """
    await require_admitted(state, identity)
    # in one step: half of it would refuse a new backend after a crash, or leave an acceptance for another one
    await state.set_flags({_used(identity): "yes", LAST: identity, ACCEPTED: "no"})


async def require_admitted(state: State, identity: str) -> None:
    """Raise `Misconfigured` if this data was in use before, but not last, and nobody accepted that. Changes nothing.

    What was revoked or deleted meanwhile did not reach it, and a scan adds readers but takes none away.
    """
    last, known = await state.flag(LAST), await state.flag(_used(identity))
    accepted = await state.flag(ACCEPTED) == "yes"
    if known and last != identity and not accepted:
        raise Misconfigured(
            f"the backend {identity} was in use before, then {last}: it knows nothing of what was revoked or "
            "deleted since then. Empty it (docs/operations.md, Switching backends), or, to use it as it is, run "
            "`ccbe accept-backend`"
        )


async def accept_next(state: State) -> None:
    """Let the backend that is opened next be used as it is, whichever it is and whatever was in use before."""
    await state.set_flag(ACCEPTED, "yes")


def _used(identity: str) -> str:
    return f"used {identity}"
