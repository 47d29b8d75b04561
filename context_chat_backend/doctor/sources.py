"""Sources: what could not be read when it came, and may be readable now."""

from collections import Counter
from collections.abc import Mapping, Sequence

import anyio
from anyio import to_thread

from ..contract import Finding
from ..core.rereading import WhatReads
from ..core.sources import SourceTable, Unread
from ..core.state import State
from ..gateway import Plan
from ..pull.intake import MODE, PULL, PUSH
from ..storage import state_file
from .findings import ok, warning

MOST_TYPES = 5
AGAIN = {
    PUSH: "Have Nextcloud send them again: `occ context_chat:scan USER` for each user.",
    PULL: "Have Nextcloud queue them again: `occ context_chat:reindex` (Context Chat 5.5). With 5.4, which cannot, "
    "each comes again when it changes.",
    None: "Have Nextcloud send them again: `occ context_chat:scan USER` for each user (Context Chat up to 5.3), or "
    "`occ context_chat:reindex` (from 5.5 on).",
}
NAMED = "`ccbe sources list --readable-now` names them, and `ccbe sources drop ID` forgets one that is gone."


async def check_sources(plan: Plan, variables: Mapping[str, str]) -> list[Finding]:
    """Nothing where no gateway has run yet."""
    file = state_file(plan.settings.app_persistent_storage)
    if not await anyio.Path(file).exists():
        return []
    async with State(file) as state:
        unread = await SourceTable(state).unread()
        mode = await state.flag(MODE) if plan.settings.intake == "auto" else plan.settings.intake
    what_reads = await to_thread.run_sync(WhatReads.installed, plan.driver.capabilities, variables)
    return [unread_finding(unread, what_reads, mode)]


def unread_finding(unread: Sequence[Unread], what_reads: WhatReads, mode: str | None) -> Finding:
    """`mode` is how work arrives, None where that is not known."""
    types: Counter[str] = Counter()
    for each in unread:
        if what_reads.may_read(each.mime_type, each.reader):
            types[each.mime_type] += each.count
    if not types:
        return ok("sources", "none waits for a reader that is here now")
    named = [f"{count:,} {mime_type}" for mime_type, count in types.most_common(MOST_TYPES)]
    others = sum(types.values()) - sum(count for _, count in types.most_common(MOST_TYPES))
    listed = ", ".join([*named, *([f"{others:,} of other types"] if others else [])])
    text = f"{types.total():,} that could not be read when they came may be readable now: {listed}"
    return warning("sources", text, f"{AGAIN[mode]} {NAMED}")
