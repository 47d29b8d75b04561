"""What an operator asks of the gateway from another process, through the state."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from ..contract import SourceId
from ..toolkit.background import periodically
from .actions import DeleteSources
from .service import ContextChat
from .state import State

LOOK_SECONDS = 2.0
MOST_AT_ONCE = 1000


class Verb(StrEnum):
    """What is to be done with a source."""

    RETRY = "retry"
    """Try it now, if another try is due later."""
    DROP = "drop"
    """Take it out of the index, and do not try it again until Nextcloud sends it anew."""


@dataclass(frozen=True, slots=True)
class Command:
    """For one source."""

    verb: Verb
    source_id: SourceId
    number: int = 0
    """Of its row, once it was left."""


Listener = Callable[[Command], Awaitable[None]]


async def leave(state: State, commands: list[Command]) -> None:
    """For the gateway that runs, or the next one."""
    await state.execute_many(
        "insert into operator_commands (verb, source_id) values (?, ?)",
        [(command.verb, command.source_id) for command in commands],
    )


class Commands:
    """Carries out what was left."""

    def __init__(self, state: State, chat: ContextChat) -> None:
        self._state = state
        self._chat = chat
        self._listeners: list[Listener] = []

    def add_listener(self, listener: Listener) -> None:
        """Call it with each command, before anything is deleted: for whoever keeps sources that are to be loaded."""
        self._listeners.append(listener)

    async def announce(self) -> None:
        """Have the listeners know what was left while no gateway was running, before they begin. Raises what `State`
        raises."""
        for command in await self._left():
            await self._tell(command)

    async def run(self) -> None:
        """Ends by cancellation."""
        await periodically("carrying out commands of the operator", self._carry_out, LOOK_SECONDS, first=0)

    async def _carry_out(self) -> None:
        commands = await self._left()
        if not commands:
            return
        for command in commands:
            await self._tell(command)
        await self._chat.until_usable()
        await self._chat.apply_all(
            DeleteSources(frozenset({command.source_id})) for command in commands if command.verb is Verb.DROP
        )
        await self._state.execute_many(
            "delete from operator_commands where number = ?", [(command.number,) for command in commands]
        )

    async def _left(self) -> list[Command]:
        rows = await self._state.fetch("select * from operator_commands order by number limit ?", MOST_AT_ONCE)
        return [Command(Verb(str(verb)), SourceId(str(id_)), int(str(number))) for number, verb, id_ in rows]

    async def _tell(self, command: Command) -> None:
        for listener in self._listeners:
            await listener(command)
