"""Scopes of questions and the sources of answers, with all their oddities.

From context_chat 5.4.0: `UtilController` and `MetadataService`.
"""

import re
from typing import Any

from tests.doubles.sim.http import Request
from tests.doubles.sim.model import FILES, descendants
from tests.doubles.sim.ocs import Answer
from tests.doubles.sim.php import Arguments, integer, values
from tests.doubles.sim.world import World

SITE = "https://nextcloud.test"
SOURCE_ID = re.compile(r"[a-zA-Z0-9_-]+__[a-zA-Z0-9_-]+: ([a-zA-Z0-9:-]+)")
OF_FILES = f"{FILES}: "


class _TypeError(Exception):
    """PHP's. The controllers catch it and answer 404."""


class Scopes:
    def __init__(self, world: World) -> None:
        self._world = world

    def resolve(self, request: Request, arguments: Arguments) -> Answer:
        """A folder becomes the files below it, everything else is passed on."""
        source_ids, user = arguments.array("source_ids"), arguments.text("userId")
        if user not in self._world.users:
            return Answer(404)
        found: list[str] = []
        for source_id in values(source_ids):
            if not isinstance(source_id, str):
                return Answer(404)
            found += self._resolved(source_id, user)
        return Answer(200, {"source_ids": found})

    def _resolved(self, source_id: str, user: str) -> list[str]:
        if not source_id.startswith(FILES):
            return [source_id]
        _, separator, item = source_id.partition(": ")
        if not separator:
            return []
        node = self._world.nodes.get(integer(item))
        if node and node.folder and user in node.users:
            return [f"{OF_FILES}{file.id}" for file in descendants(node, self._world.nodes.values())]
        return [source_id]

    def enrich(self, request: Request, arguments: Arguments) -> Answer:
        """Providers come first, then files; an odd id of a provider spoils everything."""
        sources, user = values(arguments.array("sources")), arguments.text("userId")
        try:
            source_ids = [_source_id(source) for source in sources]
            if len(set(source_ids)) != len(source_ids):
                self._world.lint("enrich_sources with the same id twice", str(source_ids[:5]))
            found = self._items(sources, source_ids)
        except _TypeError:
            return Answer(404)
        if user in self._world.users:
            found += self._files(source_ids, user)
        return Answer(200, {"sources": found})

    def _items(self, sources: list[Any], source_ids: list[str]) -> list[dict[str, str]]:
        """Their ids are those of their providers. Unknown providers are left out."""
        found = []
        for source, source_id in zip(sources, source_ids, strict=True):
            provider = source_id.split(": ", 1)[0]
            if source_id.startswith(OF_FILES) or provider not in self._world.content_providers:
                continue
            parts = SOURCE_ID.fullmatch(source_id)
            if not parts:
                raise _TypeError
            found.append(_item(provider, parts[1], _title(source)))
        return found

    def _files(self, source_ids: list[str], user: str) -> list[dict[str, str]]:
        """An odd id and all later ones are missing."""
        found = []
        for source_id in source_ids:
            if not source_id.startswith(OF_FILES):
                continue
            parts = SOURCE_ID.fullmatch(source_id)
            if not parts:
                break
            found.append(self._file(source_id, parts[1], user))
        return found

    def _file(self, source_id: str, item: str, user: str) -> dict[str, str]:
        node = self._world.nodes.get(integer(item))
        url = f"{SITE}/f/{item}"
        if node is None or user not in node.users:
            return {"id": source_id, "label": "Deleted file", "icon": _file_icon("file"), "url": url}
        return {"id": source_id, "label": node.name, "icon": _file_icon("folder") if node.folder else url, "url": url}


def _source_id(source: Any) -> str:
    if isinstance(source, str):  # an offset of a string
        raise _TypeError
    source_id = source.get("source_id") if isinstance(source, dict) else None
    if isinstance(source_id, list | dict):
        raise _TypeError
    return "" if source_id is None else str(source_id)


def _title(source: Any) -> str:
    title = source.get("title") if isinstance(source, dict) else None
    if not title:
        return ""
    return "Array" if isinstance(title, list | dict) else str(title)


def _item(provider: str, item: str, title: str) -> dict[str, str]:
    app, name = provider.split("__", 1)
    return {
        "id": provider,
        "label": f"{_capital(app)} - {_capital(name)}" + (title or f" #{item}"),
        "icon": f"/apps/{app}/img/app-dark.svg",
        "url": f"{SITE}/{app}/{item}",
    }


def _file_icon(name: str) -> str:
    return f"{SITE}/apps/core/img/filetypes/{name}.svg"


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
