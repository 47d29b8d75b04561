"""Has new rules of the admin decide about what is known already."""

import logging

from ..contract import SourceId
from .rules import Rules
from .service import ContextChat
from .sources import SourceTable, Stage
from .state import State

PAGE = 500
"""Sources at a time: uploads of these wait meanwhile."""
DECIDED = "rules"
"""Flag in the state: the digest of the rules that decided last."""

log = logging.getLogger(__name__)


async def sweep(chat: ContextChat, sources: SourceTable, rules: Rules, state: State) -> None:
    """Nothing, unless the rules are others than the last time. Raises `DriverError`s; call it again then."""
    before = await state.flag(DECIDED)
    if before == rules.digest or (before is None and not rules):
        return
    log.info("the rules have changed: %d of them decide about all known sources", len(rules))
    after: SourceId | None = None
    while page := await sources.entries(after=after, limit=PAGE):
        decided = [entry.source_id for entry in page if entry.stage in (Stage.INDEXED, Stage.SKIPPED)]
        await chat.apply_rules(frozenset(decided))
        after = page[-1].source_id
    await state.set_flag(DECIDED, rules.digest)
    log.info("the rules have decided")
