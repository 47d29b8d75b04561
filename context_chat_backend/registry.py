"""Finds the driver that `RAG_BACKEND` names and imports no other."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from .contract import DriverFactory, Misconfigured

ENTRY_POINTS = "context_chat_backend.drivers"
"""Group under which other distributions announce their drivers."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A driver of this distribution."""

    target: str
    """`module:factory`"""
    hint: str
    """Shown when its import fails."""


SHIPPED: Mapping[str, Shipped] = MappingProxyType(
    {
        "builtin": Shipped("backends.builtin.driver:create", "Install the project with `uv sync`."),
        "pinecone": Shipped(
            "backends.pinecone.driver:create", "Install its SDK: pip install 'context-chat-gateway[pinecone]'."
        ),
        "r2r": Shipped("backends.r2r.driver:create", "It is part of the distribution."),
        "reference": Shipped("context_chat_backend.conformance.reference:create", "It is part of the package."),
        "supabase": Shipped(
            "backends.supabase.driver:create", "Install its SDK: pip install 'context-chat-gateway[supabase]'."
        ),
    }
)


def driver_factory(name: str) -> DriverFactory:
    """The factory of a driver. Raises `Misconfigured` with a suggestion when there is none of that name."""
    if (shipped := SHIPPED.get(name)) is not None:
        return _load(name, EntryPoint(name, shipped.target, ENTRY_POINTS), shipped.hint)
    installed = entry_points(group=ENTRY_POINTS)
    if name in installed.names:
        entry = installed[name]
        return _load(name, entry, f"It comes from {_distribution(entry)}; reinstall that.")
    raise Misconfigured(_unknown(name))


def driver_names() -> list[str]:
    """All names that `RAG_BACKEND` may have here."""
    return sorted({*SHIPPED, *entry_points(group=ENTRY_POINTS).names})


def _load(name: str, entry: EntryPoint, hint: str) -> DriverFactory:
    try:
        factory: DriverFactory = getattr(import_module(entry.module), entry.attr)
    except Exception as error:  # whatever the code of others does when it is imported
        raise Misconfigured(f"RAG_BACKEND={name} cannot be loaded: {error}. {hint}") from error
    return factory


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "another distribution"


def _unknown(name: str) -> str:
    names = driver_names()
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return f"RAG_BACKEND={name} is not known.{guess} Known: {', '.join(names)}."
