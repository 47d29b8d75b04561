"""What was done to each source of late, for actions that come back after newer ones.

A row whose answer was lost on its way, or that a gateway took and forgot, is handed out again after 24 hours, when
newer actions on the same sources were carried out long since. Carried out as it is, it would undo them. Its number
tells that it is late; what is left of it is what the newer ones would have left of it.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from ..contract import AccessOp, ProviderId, SourceId, UserId
from ..core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    provider_of,
)
from ..core.service import FILES
from ..core.sources import SourceTable
from ..core.state import State
from ..nextcloud.queues import LEASED_SECONDS
from ..toolkit.sqlite import Row
from .numbers import MARGIN_SECONDS, Numbers

TIDY_SECONDS = 600
WINDOW_SECONDS = 600
"""Before and after the time of a lease, in which actions are taken for those that were lost."""
LOST = "an answer with actions was lost"
"""Flag in the state: Unix seconds of each."""
MOST_LOST = 200
UNKNOWN = 2**62
"""In place of a number, above all of them."""
PAGE = 1000

Numbered = tuple[int, Action]
Statement = tuple[str, Iterable[Row]]

_NOTE = """
    insert into action_history values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    on conflict (scope, name, event, user_id) do update set
      number = excluded.number, allowed = excluded.allowed, at = excluded.at where excluded.number >= number
"""
_NEWER = """
    select event, user_id, number, allowed from action_history
     where number > ?1 and (scope = 'source' and name = ?2 or scope = 'provider' and name = ?3 or scope = 'everywhere')
"""
_CHANGED = """
    select 1 from action_history
     where number > ?1 and (scope = 'provider' and name = ?2 or scope = 'source' and name >= ?3 and name < ?4
       or scope = 'everywhere')
     limit 1
"""
_SINCE = """
    select event, user_id, number, allowed from action_history
     where at > ?1 and (scope = 'source' and name = ?2
       or scope = 'provider' and name = ?3 and event = 'user' or scope = 'everywhere')
"""
SOURCE, PROVIDER, EVERYWHERE = "source", "provider", "everywhere"
DECIDED, LEASED, USER = "decided", "leased", "user"
"""The events that are kept, each the newest of its kind: all readers of the source were decided, or it was deleted; it
was taken from the queue; one user was given or denied access."""


@dataclass(slots=True)
class Newer:
    """What was done to one source after a late action was queued."""

    decided: bool = False
    leased: bool = False
    users: dict[UserId, tuple[int, bool]] = field(default_factory=dict)
    """Who was given access (True) or denied it since then, with the number of the last such action."""

    def note_user(self, user_id: UserId, number: int, allowed: bool) -> None:
        if number > self.users.get(user_id, (0, False))[0]:
            self.users[user_id] = number, allowed

    def applied_to(self, action: SetAccess | UpdateAccess) -> Action | None:
        """What is left of an earlier change of readers. Nobody is given access to a row that was taken since then: its
        readers came with it, and nobody knows whether they are those of before."""
        if self.decided:
            return None
        if isinstance(action, SetAccess):
            return SetAccess(self._after(action.user_ids), action.source_id)
        left = action.user_ids - self.users.keys()
        if not left or (self.leased and action.op is AccessOp.ALLOW):
            return None
        return UpdateAccess(action.op, left, action.source_id)

    def _after(self, readers: frozenset[UserId]) -> frozenset[UserId]:
        given = {user_id for user_id, (_, allowed) in self.users.items() if allowed}
        return (readers | given) - (self.users.keys() - given)


class History:
    """Call `open` before anything else. Every method raises what `State` raises."""

    def __init__(self, state: State, sources: SourceTable) -> None:
        self.numbers = Numbers(state)
        self._state = state
        self._sources = sources
        self._tidy_at = 0.0
        self._lost_at: list[float] = []
        self._found = False
        """Whether what was lost has come back."""

    async def open(self) -> None:
        """Remember what was done before a restart."""
        await self.numbers.open()
        self._lost_at = json.loads(await self._state.flag(LOST) or "[]")

    # ------------------------------------------------------------------ writing

    def of_actions(self, actions: Iterable[Numbered]) -> Statement:
        """A statement with its rows that keeps what was carried out."""
        now = time.time()
        return _NOTE, [
            (scope, name, event, user_id, number, allowed, now)
            for number, action in actions
            for scope, name, event, user_id, allowed in _events(action)
        ]

    def of_leases(self, sources: Iterable[tuple[SourceId, bool]]) -> Statement:
        """The same for rows of the documents queue, which were handed out when all actions that were carried out had
        been queued. With True, all readers of the source at that moment came with its row."""
        now = time.time()
        if self._found:
            self._found, self._lost_at = False, [moment for moment in self._lost_at if now < moment + LEASED_SECONDS]
        number = UNKNOWN if self._lost_at else self.numbers.highest
        sources = list(sources)
        events = [(source_id, LEASED) for source_id, _ in sources]
        events += [(source_id, DECIDED) for source_id, exact in sources if exact]
        return _NOTE, [(SOURCE, source_id, event, "", number, None, now) for source_id, event in events]

    async def narrowed(self, source_id: SourceId, readers: frozenset[UserId], since: float) -> frozenset[UserId]:
        """Who of the readers that an app submitted may still read the source, by the actions that were carried out
        after `since` (Unix seconds): nobody knows whether they came before the submission or after it. None of them if
        it was deleted."""
        rows = await self._state.fetch(_SINCE, since, source_id, provider_of(source_id))
        users = Newer()
        decided: list[tuple[int, bool]] = []
        for event, user_id, number, allowed in rows:
            if event == USER:
                users.note_user(UserId(str(user_id)), int(str(number)), bool(allowed))
            elif event == DECIDED:
                decided.append((int(str(number)), allowed is None))
        for number, was_set in decided:
            given = {user for user, (at, allowed) in users.users.items() if allowed and at >= number}
            readers = readers & given if was_set else frozenset()
        return readers - {user for user, (_, allowed) in users.users.items() if not allowed}

    async def forget(self) -> None:
        """Numbers have started again, so that no order can be told from them."""
        self.numbers.forget()
        await self._state.execute("delete from action_history")

    async def tidy_up(self) -> None:
        """Forget what no action can come back for. Call it only after a batch in which none was late."""
        now = time.time()
        if now >= self._tidy_at:
            await self._state.execute("delete from action_history where at < ?", now - LEASED_SECONDS - MARGIN_SECONDS)
            self._tidy_at = now + TIDY_SECONDS

    # ------------------------------------------------------------------ reading

    async def note_lost(self) -> None:
        """An answer with actions may have been lost: until the next ones come, nobody knows which numbers are older
        than what is leased now."""
        self._lost_at = [*self._lost_at, time.time()][-MOST_LOST:]
        await self._state.set_flag(LOST, json.dumps(self._lost_at))

    async def may_be_lost_ones(self, first: int) -> bool:
        """Whether actions that come now, from number `first` on, may be those of an answer that was lost."""
        now = time.time()
        if any(abs(now - moment - LEASED_SECONDS) <= WINDOW_SECONDS for moment in self._lost_at):
            self._found = True
            return True
        if self._lost_at:
            await self._state.execute("update action_history set number = ? where number = ?", first - 1, UNKNOWN)
            await self._state.set_flag(LOST, "[]")
            self._lost_at = []
        return False

    async def left_of(self, number: int, action: Action) -> AsyncIterator[Action]:
        """What is to be done now with an action that should have been carried out long ago."""
        match action:
            case DeleteProvider(provider) | UpdateProviderAccess(_, _, provider) if await self._changed_since(
                number, provider
            ):
                async for part in self._one_by_one(action, provider):
                    async for left in self.left_of(number, part):
                        yield left
            case DeleteSources(source_ids):
                kept = {source_id for source_id in source_ids if (await self._newer(number, source_id)).leased}
                if kept < source_ids:
                    yield DeleteSources(source_ids - kept)
            case SetAccess() | UpdateAccess():
                changed = (await self._newer(number, action.source_id)).applied_to(action)
                if changed is not None:
                    yield changed
            case _:
                yield action

    async def _changed_since(self, number: int, provider: ProviderId) -> bool:
        first, behind_last = f"{provider}: ", f"{provider}:!"
        rows = await self._state.fetch(_CHANGED, number, provider, first, behind_last)
        return bool(rows)

    async def _one_by_one(self, action: Action, provider: ProviderId) -> AsyncIterator[Action]:
        """The same to each known source of the provider."""
        after: SourceId | None = None
        while page := await self._sources.entries(provider=provider, after=after, limit=PAGE):
            for entry in page:
                if isinstance(action, UpdateProviderAccess):
                    yield UpdateAccess(action.op, action.user_ids, entry.source_id)
                else:
                    yield DeleteSources(frozenset({entry.source_id}))
            after = page[-1].source_id

    async def _newer(self, number: int, source_id: SourceId) -> Newer:
        newer = Newer()
        for event, user_id, at, allowed in await self._state.fetch(_NEWER, number, source_id, provider_of(source_id)):
            newer.decided |= event == DECIDED
            newer.leased |= event == LEASED
            if event == USER:
                newer.note_user(UserId(str(user_id)), int(str(at)), bool(allowed))
        return newer


Event = tuple[str, str, str, str, bool | None]
"""Scope, name, event, user, and whether that user was given access."""


def _events(action: Action) -> Iterable[Event]:
    match action:
        case DeleteSources(source_ids):
            return [(SOURCE, source_id, DECIDED, "", False) for source_id in source_ids]
        case SetAccess(user_ids, source_id):
            named = () if provider_of(source_id) == FILES else user_ids  # of files Nextcloud knows them, see `narrowed`
            users: list[Event] = [(SOURCE, source_id, USER, user_id, True) for user_id in named]
            return [(SOURCE, source_id, DECIDED, "", None), *users]
        case DeleteProvider(provider):
            return [(PROVIDER, provider, DECIDED, "", None)]
        case UpdateAccess(op, user_ids, source_id):
            return [(SOURCE, source_id, USER, user_id, op is AccessOp.ALLOW) for user_id in user_ids]
        case UpdateProviderAccess(op, user_ids, provider):
            return [(PROVIDER, provider, USER, user_id, op is AccessOp.ALLOW) for user_id in user_ids]
        case DeleteUser(user_id):
            return [(EVERYWHERE, "", USER, user_id, False)]
