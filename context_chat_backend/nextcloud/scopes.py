"""What Context Chat knows of sources: which are in a folder, and how to show them."""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from .client import NextcloudClient
from .errors import Failed, Missing
from .ids import is_source_id
from .queues import APP


class Scopes:
    """Methods raise `NextcloudError`s."""

    def __init__(self, nextcloud: NextcloudClient) -> None:
        self._nextcloud = nextcloud

    async def resolve(self, source_ids: Sequence[str], user_id: str) -> list[str]:
        """Folders as the files in them; all others as they are."""
        try:
            data = await self._nextcloud.call(
                "POST", f"{APP}/resolve_scope_list", json={"source_ids": list(source_ids), "userId": user_id}
            )
        except Missing:  # what it says of any error of its own
            return list(source_ids)
        match data:
            case {"source_ids": list(resolved) | {**resolved}}:
                return [str(each) for each in (resolved.values() if isinstance(resolved, dict) else resolved)]
            case _:
                raise Failed("Nextcloud's answer has no source_ids")

    async def describe(self, sources: Iterable[tuple[str, str]], user_id: str) -> list[str]:
        """Of ids with titles, empty where unknown, what a client shows: JSON with id, label, icon and url. In their
        order; those that Nextcloud cannot describe are left out."""
        # one id of another form would cost the others their descriptions
        titles = {id_: title for id_, title in sources if is_source_id(id_)}
        if not titles:
            return []
        asked = [{"source_id": id_} | ({"title": title} if title else {}) for id_, title in titles.items()]
        data = await self._nextcloud.call("POST", f"{APP}/enrich_sources", json={"sources": asked, "userId": user_id})
        match data:
            case {"sources": list(described)}:
                return [json.dumps(each) for each in _in_order(titles, described)]
            case _:
                raise Failed("Nextcloud's answer has no sources")


def _in_order(ids: Iterable[str], described: Sequence[Any]) -> list[dict[str, Any]]:
    """Nextcloud names files by their ids, and items of an app by its provider only, but those in the order asked."""
    by_name: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
    for each in described:
        match each:
            case {"id": str(name), "label": _, "icon": _, "url": _}:
                by_name[name].append(each)
    names = (id_ if id_ in by_name else id_.partition(": ")[0] for id_ in ids)
    return [by_name[name].popleft() for name in names if by_name[name]]
