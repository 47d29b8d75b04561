"""`ccbe reembed`: has the vectors of a store replaced by those of the embedding model of the settings."""

import sys
from argparse import Namespace
from collections.abc import Callable

import anyio

from ..contract import ReembedAction, Reembedded, Reembedding, Unsupported
from ..gateway import make_driver
from ..settings import Settings
from ..toolkit.settings import read_settings
from .command import SUCCESS, Command, Group, Variables


def _run(action: ReembedAction | None) -> Callable[[Namespace, Variables], int]:
    def run(_: Namespace, variables: Variables) -> int:
        settings = read_settings(Settings, variables)
        driver = make_driver(settings, variables)
        if not isinstance(driver, Reembedding):
            raise Unsupported(f"RAG_BACKEND={settings.rag_backend} cannot change its embedding model while it serves")
        sys.stdout.write(f"{_described(anyio.run(driver.reembed, action))}\n")
        return SUCCESS

    return run


def _described(state: Reembedded) -> str:
    searched = f"{state.chunks:,} chunks, searched with {state.model}"
    if state.next_model is None:
        return searched
    made = state.chunks - state.waiting
    share = f"{made:,} of {state.chunks:,} vectors ({made / max(1, state.chunks):.0%})"
    paused = ", paused" if state.paused else ""
    return f"{searched}; {share} of {state.next_model} are made{paused}"


ACTIONS = (
    Command(
        "start",
        "make vectors with the model of the settings, and search with it once all are there",
        _run(ReembedAction.START),
    ),
    Command("status", "say how far it is", _run(None)),
    Command("pause", "make none for now", _run(ReembedAction.PAUSE)),
    Command("resume", "go on", _run(ReembedAction.RESUME)),
    Command("undo", "give it up, and drop what was made", _run(ReembedAction.UNDO)),
)
COMMAND = Group("reembed", "change the embedding model of a store while gateways serve", ACTIONS, metavar="ACTION")
