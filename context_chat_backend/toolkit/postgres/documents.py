"""Documents and their readers: a typed client of the functions in `sql/access`, which hold all rules."""

from collections.abc import AsyncIterator, Iterable, Mapping, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import anyio
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ...contract import (
    AccessChange,
    AccessOp,
    DriverError,
    Outcome,
    ProviderId,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    Unavailable,
    UserId,
)
from ..search.calibration import Trial
from .functions import Functions

T = TypeVar("T")

USER_PAGE, PROVIDER_PAGE = 500, 2000
"""Rows per call of the paged deletions: each call stays far below usual statement timeouts."""
DISCARD_SECONDS = 2.0
WORDS_CHARS = 10_000
"""The rest of a longer question is not looked for by words: PostgreSQL refuses 1 MB of them, and stores look through
what they get before they answer anybody else."""


class Decision(StrEnum):
    """What a version that came needs, by what is stored of its source."""

    UNCHANGED = "unchanged"
    """The stored version is not older: the readers were added."""
    REFRESHED = "refreshed"
    """An older version has the same text: it now has the new time and exactly the new readers."""
    INDEX = "index"
    """The new version has to be indexed."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What `Documents.begin` found."""

    state: Decision
    ticket: str | None = None
    """For publishing, with `INDEX`: void as soon as anything else happens to the source."""
    retitled: bool = False
    """With `UNCHANGED`: the words of the stored version are still those of another title."""


class Documents:
    """What builtin, Supabase and every catalogue have in common. Safe for any number of tasks.

    Methods raise what `Functions.call` raises, and `Rejected` for ids that no PostgreSQL can store.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    async def begin(self, source: Source, content_hash: str, *, ticket: str | None = None) -> Begun:
        """Decide what this version of a source needs, and do what needs no chunks.

        Meant for `INDEX`: until the new version is published, the older one is found by those of its readers who may
        read the new one too. `content_hash` stands for the text: equal hashes mean equal chunks.

        `ticket` is that of a former try, which failed. Raises `Overtaken` if it is void.
        """
        description = {**source_argument(source, content_hash), "ticket": ticket}
        return read(await self._change("ccb_begin_upsert", p_source=description), BEGUN)

    @asynccontextmanager
    async def discarded_on_failure(self, document: int) -> AsyncIterator[None]:
        """Give up what is staged under this number if the block fails or is cancelled."""
        try:
            yield
        except BaseException:
            # what cannot be given up now is found by nobody, and removed by `collect_garbage`
            with anyio.move_on_after(DISCARD_SECONDS, shield=True), suppress(DriverError):
                await self._change("ccb_discard_staged", p_doc_id=document)
            raise

    async def delete(self, source_ids: Set[SourceId]) -> None:
        """Remove sources, also those being staged; unknown ids are fine."""
        read(await self._change("ccb_delete_sources", p_source_ids=storable(source_ids)), INTEGER)

    async def delete_older(self, source_id: SourceId, modified: int) -> None:
        """Remove the stored version if it is older than `modified`, a version that cannot be indexed."""
        name = _text("source id", source_id)
        read(await self._change("ccb_delete_older", p_source_id=name, p_modified=modified), YES_OR_NO)

    async def delete_provider(self, provider: ProviderId) -> None:
        """Remove every source of a provider, also those being staged."""
        name = _text("provider", provider)
        removed: int = PROVIDER_PAGE
        while removed == PROVIDER_PAGE:
            answer = await self._change("ccb_delete_provider", p_provider=name, p_limit=PROVIDER_PAGE)
            removed = read(answer, INTEGER)

    async def delete_user(self, user_id: UserId) -> None:
        """Remove a reader everywhere; sources that nobody else may read are deleted."""
        name = _text("user id", user_id)
        left: int = USER_PAGE
        while left == USER_PAGE:
            left = read(await self._change("ccb_delete_user", p_uid=name, p_limit=USER_PAGE), INTEGER)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        """Make the readers exactly `user_ids`; none deletes the source. False if it is not stored."""
        return await self._change_access("set", source_id, user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        """Add or remove readers; a source that loses its last reader is deleted. False if it is not stored."""
        return await self._change_access(op.value, source_id, user_ids)

    async def change_access(self, changes: Iterable[AccessChange]) -> None:
        """Change the readers of many sources in one step, each of another one; unknown ones are fine."""
        arguments = [_change_argument(change) for change in changes if _can_store(change.source_id)]
        if arguments:
            read(await self._change("ccb_change_access", p_changes=arguments), INTEGER)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        """The same for every source of a provider."""
        users, name = storable(user_ids), _text("provider", provider)
        after: int | None = 0
        while after is not None:
            answer = await self._change(
                "ccb_update_access_provider", p_op=op.value, p_users=users, p_provider=name, p_after=after
            )
            after = read(answer, NEXT)["next"]

    async def count(self) -> Mapping[ProviderId, int]:
        """Stored sources per provider; providers without any are missing."""
        return read(await self._functions.call("ccb_count_documents"), COUNTS)

    async def status(self) -> Mapping[str, Any]:
        """What the database is: `store_id`, versions, embedding model and dimension, all as text."""
        return read(await self._functions.call("ccb_status"), OBJECT)

    async def keep_trials(self, model: str, trials: Mapping[str, Trial]) -> None:
        """How well the embedding model of the store knows languages: comes back in the status."""
        await self._functions.call("ccb_calibrate", p_model=model, p_found=TRIALS.dump_python(trials))

    async def collect_garbage(self, *, older_than: str = "1 day") -> None:
        """Drop what was left by uploads that were begun longer ago and abandoned. Meant for once a day."""
        await self._change("ccb_collect_garbage", p_older_than=older_than)

    async def _change(self, function: str, /, **arguments: object) -> Any:
        """Call a function that may change what is stored."""
        return await self._functions.call(function, **arguments)

    async def _change_access(self, op: str, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        users, source = _readers(op, user_ids), _text("source id", source_id)
        return read(await self._change("ccb_update_access", p_op=op, p_users=users, p_source_id=source), YES_OR_NO)


class _NextAnswer(TypedDict):
    next: int | None


BOOLEAN = TypeAdapter(bool, config=ConfigDict(strict=True))
INTEGER = TypeAdapter(int, config=ConfigDict(strict=True))
YES_OR_NO = TypeAdapter(bool, config=ConfigDict(strict=True))
OBJECT = TypeAdapter(dict[str, Any])
OUTCOME = TypeAdapter(Outcome)
TRIALS: TypeAdapter[Mapping[str, Trial]] = TypeAdapter(dict[str, Trial])
BEGUN, NEXT, COUNTS = TypeAdapter(Begun), TypeAdapter(_NextAnswer), TypeAdapter(dict[ProviderId, int])


def read(answer: Any, expected: TypeAdapter[T]) -> T:
    """An answer of the form that the function has. Raises `Unavailable` for others: with Supabase something in between
    may answer in its place, and must not be taken for a success."""
    try:
        return expected.validate_python(answer)
    except ValidationError:
        raise Unavailable("the database gave an answer of another form than its functions have") from None


def trials_in(status: Mapping[str, Any]) -> Mapping[str, Trial]:
    """What the status remembers of `keep_trials`."""
    return read(from_json(status["calibration"]), TRIALS)


def source_argument(source: Source, content_hash: str) -> dict[str, object]:
    """A source as the functions take it. Raises `Rejected` if it cannot be stored."""
    return {
        "source_id": _text("source id", source.id),
        "provider": _text("provider", source.provider),
        "title": _text("title", source.title),
        "type": _text("type", source.mime_type),
        "modified": source.modified,
        "content_hash": content_hash,
        "users": sorted(_text("user id", user) for user in source.user_ids),
    }


def who_and_where(query: Query) -> dict[str, object]:
    """User and scope of a query as the functions take them. Raises `Rejected` for ids that nothing stored can have."""
    scope = query.scope
    return {
        "p_user": _text("user id", query.user_id),
        "p_providers": storable(scope.providers) if isinstance(scope, ProviderScope) else None,
        "p_sources": storable(scope.sources) if isinstance(scope, SourceScope) else None,
    }


def storable(texts: Iterable[str]) -> list[str]:
    """Without those that cannot be stored, and so are not; sorted."""
    return sorted(text for text in texts if _can_store(text))


def words_of(question: str) -> str:
    """The words of a question to be looked for, without what PostgreSQL cannot take."""
    return question[:WORDS_CHARS].replace("\0", " ").encode("utf-8", "replace").decode()


def _change_argument(change: AccessChange) -> dict[str, object]:
    op = "set" if change.op is None else change.op.value
    return {"op": op, "users": _readers(op, change.user_ids), "source_id": change.source_id}


def _readers(op: str, user_ids: Set[UserId]) -> list[str]:
    users = storable(user_ids)
    if op == "set" and user_ids and not users:  # must not look like "nobody", which deletes
        raise Rejected("none of the user ids can be stored")
    return users


def _can_store(text: str) -> bool:
    """PostgreSQL stores neither NUL nor lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _text(what: str, text: str) -> str:
    if not _can_store(text):
        raise Rejected(f"a {what} holds characters that the database cannot store")
    return text
