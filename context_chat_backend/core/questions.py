"""Questions as they come from Nextcloud, brought into the form that drivers get, whichever way they came."""

from collections.abc import Sequence

from ..contract import ProviderId, ProviderScope, Scope, SourceId, SourceScope

MAX_QUESTION_BYTES = 512_000
"""Nextcloud lets no more through. What is longer is answered from its beginning."""


class ScopeError(ValueError):
    """A scope type without anything in its list, or an unknown one."""


def clean_question(text: str) -> str:
    """Cut where it is too long, and without half surrogate pairs, which cannot be sent anywhere."""
    return text.strip().encode("utf-8", "replace")[:MAX_QUESTION_BYTES].decode("utf-8", "ignore")


def scope_of(kind: str | None, ids: Sequence[str] | None) -> Scope:
    """Raises `ScopeError`."""
    if kind in {None, "none"}:
        return None
    if not ids:
        raise ScopeError(f"scopeType is {kind!r}, so scopeList must name at least one")
    match kind:
        case "provider":
            return ProviderScope(frozenset(map(ProviderId, ids)))
        case "source":
            return SourceScope(frozenset(map(SourceId, ids)))
        case _:
            raise ScopeError("scopeType must be none, provider or source")
