"""`ccbe accept-backend`: uses a backend as it is although another one was in use since."""

import sys
from argparse import Namespace

import anyio

from ..contract import Misconfigured
from ..core.state import State
from ..core.switching import accept_next
from ..settings import Settings
from ..storage import state_file
from ..toolkit.settings import read_settings
from .asking import add_yes, agreed
from .command import FAILURE, SUCCESS, Command, Variables

QUESTION = (
    "Use the backend that is opened next as it is? What was revoked or deleted while another one was in use can then "
    "be found there again."
)


def _accept(options: Namespace, variables: Variables) -> int:
    storage = read_settings(Settings, variables).app_persistent_storage
    if not state_file(storage).exists():
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: no gateway has run on {storage} yet")
    if not (options.yes or agreed(QUESTION)):
        return FAILURE

    async def accept() -> None:
        async with State(state_file(storage)) as state:
            await accept_next(state)

    anyio.run(accept)
    sys.stdout.write(
        "the next backend is accepted as it is; a gateway that waits for this opens it within two minutes\n"
    )
    return SUCCESS


COMMAND = Command(
    "accept-backend",
    "go back to a backend without emptying it first; the gateway may be running",
    _accept,
    add_yes,
)
