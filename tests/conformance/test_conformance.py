"""The kit passes the drivers that keep the contract and finds what is wrong with those that do not."""

import io
import json
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.conformance import kit as kit_module
from context_chat_backend.conformance.capabilities import CAPABILITY_HEADER, capability_row
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.golden import SHIPPED, Disguise, recording
from context_chat_backend.conformance.reference import Document, ReferenceDriver
from context_chat_backend.conformance.runner import FOREIGN_ERROR, Report, Result, conform, open_stage, run_case
from context_chat_backend.contract import (
    AccessChange,
    AccessOp,
    Answer,
    Busy,
    Capabilities,
    Driver,
    Finding,
    Hit,
    Level,
    Misconfigured,
    NotFound,
    Outcome,
    ProviderId,
    Query,
    Rejected,
    Source,
    SourceId,
    Stored,
    StoredVersion,
    Unavailable,
    UserId,
)
from context_chat_backend.layers.layer import Layer
from context_chat_backend.registry import driver_factory
from tests.config import config

from ..wire import FOLDERS

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["reference", "builtin"])
async def test_a_shipped_driver_keeps_the_contract(name: str, empty_database: str, tmp_path: Path) -> None:
    out, variables = io.StringIO(), {"CCB_DB_URL": empty_database}
    passed = await conform(driver_factory(name)(config(tmp_path, variables)), out=out)
    assert passed, out.getvalue()
    needs_more = {"faults", "store"} if name == "reference" else {"faults", "store", "inventory"}
    skipped = sum(case.group in needs_more for case in CASES)
    assert f"{len(CASES) - skipped} passed, 0 failed, {skipped} skipped" in out.getvalue()


class SettlesLater(ReferenceDriver):
    """What is added shows a moment later, what is taken away is gone at once."""

    capabilities = Capabilities(settle_seconds=5.0)

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[tuple[SourceId, UserId, int], float] = {}

    async def search(self, query: Query) -> Sequence[Hit]:
        documents = self._documents
        grants = {(id_, user, each.source.modified) for id_, each in documents.items() for user in each.readers}
        now = anyio.current_time()
        self._since = {grant: self._since.get(grant, now) for grant in grants}
        shown = {grant for grant, since in self._since.items() if now - since > 0.01}
        hits = await super().search(replace(query, limit=10_000))
        return [
            hit for hit in hits if (hit.source_id, query.user_id, documents[hit.source_id].source.modified) in shown
        ][: query.limit]


async def test_a_driver_whose_writes_show_later_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit_module, "POLL_INTERVAL", 0.01)
    out = io.StringIO()
    assert await conform(SettlesLater(), out=out), out.getvalue()


async def report_on(driver: Driver, name: str) -> Report:
    (case,) = [case for case in CASES if case.name == name]
    async with open_stage(driver) as stage:
        return await run_case(case, stage)


class NoAccessFilter(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        found: list[Hit] = []
        for document in self._documents.values():
            found += await super().search(replace(query, user_id=min(document.readers)))
        return list({hit.source_id: hit for hit in found}.values())[: query.limit]


class ScopeInsteadOfAccess(NoAccessFilter):
    async def search(self, query: Query) -> Sequence[Hit]:
        search = super().search if query.scope is not None else super(NoAccessFilter, self).search
        return await search(query)


class ForgetsToRevoke(ReferenceDriver):
    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await super().update_access(op, source_id, user_ids if op is AccessOp.ALLOW else frozenset())


class KeepsOrphans(ReferenceDriver):
    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await super().set_access(source_id, user_ids or {UserId("nobody")})


class SharesEqualBytes(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        digest = await source.content.sha256()
        for document in list(self._documents.values()):
            same = await document.source.content.sha256() == digest
            if same and document.source.id != source.id:
                await self.update_access(AccessOp.ALLOW, document.source.id, source.user_ids)
                return Outcome.CREATED
        return await super().upsert(source)


class WidensOnReplace(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        readers = stored.readers if stored else frozenset()
        return await super().upsert(replace(source, user_ids=source.user_ids | readers))


class SwallowsNotFound(ReferenceDriver):
    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        try:
            await super().set_access(source_id, user_ids)
        except NotFound:
            return


class FoldsUserIds(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        return await super().upsert(replace(source, user_ids=frozenset(UserId(u.lower()) for u in source.user_ids)))

    async def search(self, query: Query) -> Sequence[Hit]:
        return await super().search(replace(query, user_id=UserId(query.user_id.lower())))


class DeletesByPrefix(ReferenceDriver):
    async def delete_provider(self, provider: ProviderId) -> None:
        await self.delete({id_ for id_ in self._documents if id_.startswith(provider)})


class KeepsRejectedText(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        before = dict(self._documents)
        try:
            return await super().upsert(source)
        except Rejected:
            self._documents = before
            raise


class DropsOldestHits(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        return (await super().search(query))[-1:]


class MiscountsEverything(ReferenceDriver):
    async def count(self) -> Mapping[ProviderId, int]:
        return dict.fromkeys(await super().count(), 100)


class DeclaresAnswers(ReferenceDriver):
    capabilities = Capabilities(answers=True)

    async def answer(self, query: Query) -> Answer:
        return Answer(text="made up", source_ids=())


class ListsUnaskedSources(ReferenceDriver):
    def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        return super().inventory(None, skip=skip, bulk=bulk)


class ListsFirstReaders(ReferenceDriver):
    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        async for stored in super().inventory(source_ids, skip=skip, bulk=bulk):
            yield replace(stored, user_ids=self._documents[stored.source_id].source.user_ids)


class ListsOtherDigestsInBulk(ReferenceDriver):
    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        async for stored in super().inventory(source_ids, skip=skip, bulk=bulk):
            yield replace(stored, sha256=stored.sha256.upper()) if bulk else stored


class SkipsTooMuch(ReferenceDriver):
    def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        return super().inventory(source_ids, skip=2 * skip, bulk=bulk)


class WarnsWithoutRemedy(ReferenceDriver):
    async def check(self) -> Sequence[Finding]:
        return [Finding(level=Level.WARNING, subject="rights", text="too many")]


class KeepsReadersToItself(ReferenceDriver):
    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        if bulk:
            raise Misconfigured("an export needs a superuser")
        async for stored in super().inventory(source_ids, skip=skip):
            yield replace(stored, user_ids=None)


async def test_an_inventory_need_not_tell_readers_nor_have_an_export() -> None:
    report = await report_on(KeepsReadersToItself(), "inventory_describes_what_is_stored")
    assert report.result is Result.PASS, report.detail


async def test_a_driver_need_not_have_an_inventory() -> None:
    report = await report_on(Layer(ReferenceDriver()), "inventory_describes_what_is_stored")
    assert report.result is Result.SKIP, report.detail


class ChangesItsIdentity(ReferenceDriver):
    @property
    def identity(self) -> str:
        return str(len(self._documents))


class UpdatesSharedText(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        before = self._documents.get(source.id)
        outcome = await super().upsert(source)
        if outcome is Outcome.UPDATED and before is not None:
            text = self._documents[source.id].text
            for id_, document in self._documents.items():
                self._documents[id_] = replace(document, text=text if document.text == before.text else document.text)
        return outcome


class RevokesLate(ReferenceDriver):
    """Within the time that it declares."""

    capabilities = Capabilities(settle_seconds=2.0)

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[UserId, Sequence[Hit]] = {}

    async def search(self, query: Query) -> Sequence[Hit]:
        before, self._seen[query.user_id] = self._seen.get(query.user_id, ()), await super().search(query)
        found = {hit.source_id for hit in self._seen[query.user_id]}
        return [*self._seen[query.user_id], *(hit for hit in before if hit.source_id not in found)][: query.limit]


class FiltersAfterwards(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        readers = {user for document in self._documents.values() for user in document.readers}
        best: dict[SourceId, Hit] = {}
        for user in sorted(readers):
            best |= {hit.source_id: hit for hit in await super().search(Query(user_id=user, text=query.text, limit=99))}
        first = sorted(best.values(), key=lambda hit: -hit.score)[: query.limit]
        return [hit for hit in first if self._documents[hit.source_id].visible_to(query)]


class CutsIds(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        return await super().upsert(replace(source, id=SourceId(source.id[:255])))

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await super().delete({SourceId(source_id[:255]) for source_id in source_ids})


class NormalizesIds(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        return await super().upsert(replace(source, id=SourceId(unicodedata.normalize("NFC", source.id))))


class NormalizesUsers(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        users = frozenset(UserId(unicodedata.normalize("NFC", user)) for user in source.user_ids)
        return await super().upsert(replace(source, user_ids=users))

    async def search(self, query: Query) -> Sequence[Hit]:
        return await super().search(replace(query, user_id=UserId(unicodedata.normalize("NFC", query.user_id))))


class DeletesUsersByPrefix(ReferenceDriver):
    async def delete_user(self, user_id: UserId) -> None:
        for id_, document in list(self._documents.items()):
            await self.set_access(id_, {user for user in document.readers if not user.startswith(user_id)})


class KeepsOrphansOfUsers(ReferenceDriver):
    async def delete_user(self, user_id: UserId) -> None:
        for id_, document in self._documents.items():
            self._documents[id_] = replace(document, readers=document.readers - {user_id})


class KeepsOrphansOfProviders(ReferenceDriver):
    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        for id_, document in self._documents.items():
            if document.source.provider == provider:
                readers = document.readers | user_ids if op is AccessOp.ALLOW else document.readers - user_ids
                self._documents[id_] = replace(document, readers=frozenset(readers))


class QuotesDocuments(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        if source.mime_type == "application/json":
            raise Rejected(f"no JSON: {(await source.content.path()).read_text()}")
        return await super().upsert(source)


class AlwaysPending(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        outcome = await super().upsert(source)
        return Outcome.PENDING if outcome is Outcome.CREATED else outcome


class SpoilsTitles(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        return await super().upsert(replace(source, title=source.title.encode().decode("latin-1")))


class SplitsIntoParagraphs(ReferenceDriver):
    """As a driver does that keeps the contract."""

    async def search(self, query: Query) -> Sequence[Hit]:
        wanted = set(query.text.split())
        hits = [
            replace(hit, ordinal=ordinal, text=text, score=len(wanted & set(text.split())))
            for hit in await super().search(replace(query, limit=10_000))
            for ordinal, text in enumerate(hit.text.split("\n\n"))
        ]
        return self.numbered(sorted(hits, key=lambda hit: -hit.score)[: query.limit])

    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return hits


class NumbersNothing(SplitsIntoParagraphs):
    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return [replace(hit, ordinal=0) for hit in hits]


class NumbersByRank(SplitsIntoParagraphs):
    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return [replace(hit, ordinal=rank) for rank, hit in enumerate(hits)]


class NumbersFromTheEnd(SplitsIntoParagraphs):
    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return [replace(hit, ordinal=1000 - hit.ordinal) for hit in hits]


class NumbersFromMinusOne(SplitsIntoParagraphs):
    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return [replace(hit, ordinal=hit.ordinal - 1) for hit in hits]


class HasNoHeadings(SplitsIntoParagraphs):
    def numbered(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return [replace(hit, heading=cast("str", None)) for hit in hits]


async def test_a_driver_that_finds_many_chunks_of_a_source_tells_their_places() -> None:
    report = await report_on(SplitsIntoParagraphs(), "hits_tell_their_place_in_the_document")
    assert report.result is Result.PASS, report.detail


class AlwaysIndexes(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        self._documents.pop(source.id, None)
        return await super().upsert(source)


class IndexesEqualVersions(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is not None and stored.source.modified == source.modified:
            source = replace(source, modified=source.modified + 1, user_ids=source.user_ids | stored.readers)
        return await super().upsert(source)


class KeepsTitles(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is not None and stored.source.modified == source.modified:
            source = replace(source, title=stored.source.title)
        return await super().upsert(source)


class WaitsForever(ReferenceDriver):
    @property
    def waiting(self) -> int:
        return 1


class RenamesBackwards(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is not None and stored.source.modified > source.modified:
            source = replace(source, modified=stored.source.modified)
        return await super().upsert(source)


class SkipsEqualBytes(ReferenceDriver):
    """Without storing that there is a newer version."""

    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is not None and stored.sha256 == await source.content.sha256():
            newer = source.modified > stored.source.modified
            readers = source.user_ids if newer else stored.readers | source.user_ids
            await self.set_access(source.id, readers)
            return Outcome.UPDATED if newer else Outcome.UNCHANGED
        return await super().upsert(source)


class RejectsOnce(ReferenceDriver):
    def __init__(self) -> None:
        super().__init__()
        self._rejected: set[SourceId] = set()

    async def upsert(self, source: Source) -> Outcome:
        if source.id in self._rejected:
            return Outcome.UNCHANGED
        try:
            return await super().upsert(source)
        except Rejected:
            self._rejected.add(source.id)
            raise


class CountsChunks(ReferenceDriver):
    async def count(self) -> Mapping[ProviderId, int]:
        counts: Counter[ProviderId] = Counter()
        for document in self._documents.values():
            counts[document.source.provider] += 1 + len(document.text) // 1000
        return counts


class SwallowsRefusals(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        try:
            return await super().upsert(source)
        except Rejected:
            return Outcome.UPDATED


class KeepsOldReaders(ReferenceDriver):
    """Until the new version is there, which may be never."""

    async def upsert(self, source: Source) -> Outcome:
        before = dict(self._documents)
        try:
            return await super().upsert(source)
        except Unavailable:
            self._documents = before
            raise


class RemovesBeforeItReads(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is None or stored.source.modified >= source.modified:
            return await super().upsert(source)
        await self.delete({source.id})
        await anyio.lowlevel.checkpoint()
        await source.content.path()
        await anyio.lowlevel.checkpoint()
        await super().upsert(source)
        return Outcome.UPDATED


class ShowsBothVersions(ReferenceDriver):
    def __init__(self) -> None:
        super().__init__()
        self._old: Document | None = None

    async def upsert(self, source: Source) -> Outcome:
        self._old = self._documents.get(source.id)
        outcome = await super().upsert(source)
        await anyio.sleep(0.02)
        self._old = None
        return outcome

    async def search(self, query: Query) -> Sequence[Hit]:
        hits = list(await super().search(query))
        if self._old is not None and self._old.visible_to(query):
            source = self._old.source
            hits.append(
                Hit(source_id=source.id, title=source.title, ordinal=0, heading="", text=self._old.text, score=0)
            )
        return hits


class HasOneSourceInHand(ReferenceDriver):
    _current: Source

    async def upsert(self, source: Source) -> Outcome:
        self._current = source
        await anyio.lowlevel.checkpoint()
        return await super().upsert(replace(source, content=self._current.content, title=self._current.title))


class KeepsHundredReaders(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        return await super().upsert(replace(source, user_ids=frozenset(sorted(source.user_ids)[:100])))


class AllowsStrictly(ReferenceDriver):
    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        document = self._documents.get(source_id)
        if op is AccessOp.ALLOW and document is not None and user_ids <= document.readers:
            raise Rejected("they have access")
        await super().update_access(op, source_id, user_ids)


class DeniesStrictly(ReferenceDriver):
    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        document = self._documents.get(source_id)
        if op is AccessOp.DENY and document is not None and not user_ids & document.readers:
            raise NotFound("they have no access")
        await super().update_access(op, source_id, user_ids)


class StopsAtTheUnknown(ReferenceDriver):
    async def change_access(self, changes: Sequence[AccessChange]) -> None:
        known = [change for change in changes if change.source_id in self._documents]
        await super().change_access(known if len(known) == len(changes) else changes[: len(changes) // 2])


class SetsByAdding(ReferenceDriver):
    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        stored = self._documents.get(source_id)
        await super().set_access(source_id, user_ids | (stored.readers if stored and user_ids else set()))


class FindsOnePage(ReferenceDriver):
    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        left = 2
        async for stored in super().find(provider=provider, user_id=user_id):
            if left:
                yield stored
            left = max(0, left - 1)


class DeletesStrictly(ReferenceDriver):
    async def delete(self, source_ids: Set[SourceId]) -> None:
        if not source_ids <= self._documents.keys():
            raise NotFound("some of them are not stored")
        await super().delete(source_ids)


class RanksBackwards(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        hits = await super().search(replace(query, limit=10_000))
        return [replace(hit, score=-hit.score) for hit in reversed(hits)][: query.limit]


class RefusesQuotes(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        if '"' in query.text:
            raise Misconfigured("syntax error")
        return await super().search(query)


class TakesNothing(ReferenceDriver):
    capabilities = Capabilities(max_source_bytes=0)


class SettlesNever(ReferenceDriver):
    capabilities = Capabilities(settle_seconds=86_400)


class ShoutsTypes(ReferenceDriver):
    capabilities = Capabilities(mime_types=frozenset({"Text/Plain; charset=utf-8"}))


class ReadsArchives(ReferenceDriver):
    capabilities = Capabilities(mime_types=frozenset({"text/plain", "text/markdown", "application/zip"}))


class ForgetsOnUnion(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        outcome = await super().upsert(source)
        if outcome is Outcome.UNCHANGED:
            await self.set_access(source.id, source.user_ids)
        return outcome


class KeepsDeletedReaders(ReferenceDriver):
    def __init__(self) -> None:
        super().__init__()
        self._ever: dict[SourceId, frozenset[UserId]] = {}

    async def upsert(self, source: Source) -> Outcome:
        if source.id in self._documents:
            return await super().upsert(source)
        self._ever[source.id] = self._ever.get(source.id, frozenset()) | source.user_ids
        return await super().upsert(replace(source, user_ids=self._ever[source.id]))


class IsAlwaysBusy(ReferenceDriver):
    async def upsert(self, source: Source) -> Outcome:
        raise Busy("try again later", retry_after=60)


class AnswersWithoutText(ReferenceDriver):
    capabilities = Capabilities(answers=True)

    async def answer(self, query: Query) -> Answer:
        return Answer(text="", source_ids=tuple(hit.source_id for hit in await self.search(query)))


class DropsUnicodeUsers(ReferenceDriver):
    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await super().update_access(op, source_id, {user for user in user_ids if user.isascii()})


class DeletesNothing(ReferenceDriver):
    async def delete(self, source_ids: Set[SourceId]) -> None:
        return None


BROKEN: Mapping[type[ReferenceDriver], str] = {
    # isolation
    NoAccessFilter: "a_new_source_is_found_by_its_readers",
    SharesEqualBytes: "equal_bytes_are_two_sources",
    UpdatesSharedText: "an_update_of_one_of_two_equal_sources_leaves_the_other",
    RevokesLate: "a_revoked_hit_is_never_seen",
    ScopeInsteadOfAccess: "a_scope_cannot_widen_access",
    FiltersAfterwards: "what_others_may_read_does_not_crowd_out",
    KeepsDeletedReaders: "a_deleted_source_does_not_come_back_with_its_readers",
    KeepsOrphans: "the_last_reader_takes_the_source_along",
    KeepsOrphansOfUsers: "the_last_reader_takes_the_source_along",
    KeepsOrphansOfProviders: "the_last_reader_takes_the_source_along",
    FoldsUserIds: "strange_user_ids_stay_apart",
    NormalizesUsers: "strange_user_ids_stay_apart",
    CutsIds: "source_ids_are_kept_byte_for_byte",
    NormalizesIds: "source_ids_are_kept_byte_for_byte",
    DeletesUsersByPrefix: "wide_changes_keep_to_names_byte_for_byte",
    QuotesDocuments: "errors_do_not_quote_documents",
    # indexing
    AlwaysPending: "a_new_source_is_created",
    SpoilsTitles: "hits_carry_id_title_and_text",
    NumbersNothing: "hits_tell_their_place_in_the_document",
    NumbersByRank: "hits_tell_their_place_in_the_document",
    NumbersFromTheEnd: "hits_tell_their_place_in_the_document",
    NumbersFromMinusOne: "hits_tell_their_place_in_the_document",
    HasNoHeadings: "hits_tell_their_place_in_the_document",
    AlwaysIndexes: "the_same_version_again_changes_nothing",
    ForgetsOnUnion: "a_version_that_is_not_newer_adds_readers",
    KeepsTitles: "a_renamed_source_has_the_new_title",
    RenamesBackwards: "a_renamed_source_has_the_new_title",
    WaitsForever: "what_waits_for_its_meaning_gets_it",
    IndexesEqualVersions: "a_version_that_is_not_newer_adds_readers",
    WidensOnReplace: "a_newer_version_replaces_text_and_readers",
    SkipsEqualBytes: "a_touched_source_has_the_new_readers",
    RejectsOnce: "every_upsert_may_be_repeated",
    CountsChunks: "a_long_source_is_one_source",
    KeepsRejectedText: "a_source_without_text_is_rejected",
    SwallowsRefusals: "a_version_whose_content_is_refused_removes_the_old_one",
    KeepsOldReaders: "a_failed_update_leaves_the_old_version_to_readers_of_both",
    RemovesBeforeItReads: "a_cancelled_upsert_leaves_a_consistent_state",
    ShowsBothVersions: "a_replacement_is_one_step",
    HasOneSourceInHand: "sources_can_be_indexed_at_the_same_time",
    KeepsHundredReaders: "a_source_may_have_many_readers",
    # access
    AllowsStrictly: "allowing_adds_readers",
    ForgetsToRevoke: "a_revoked_reader_finds_nothing",
    DeniesStrictly: "denying_twice_is_fine",
    SetsByAdding: "setting_makes_readers_exact",
    StopsAtTheUnknown: "many_changes_do_what_each_of_them_does",
    SwallowsNotFound: "access_of_an_unknown_source_is_not_found",
    FindsOnePage: "a_provider_wide_change_reaches_each_source_of_it",
    # deletion
    DeletesStrictly: "unknown_things_can_be_deleted",
    DeletesByPrefix: "a_deleted_provider_leaves_the_others",
    MiscountsEverything: "a_deleted_user_is_gone_everywhere",
    # search
    DropsOldestHits: "a_limit_is_kept",
    RanksBackwards: "the_fitting_source_comes_first",
    RefusesQuotes: "odd_questions_do_no_harm",
    # capabilities
    TakesNothing: "declarations_make_sense",
    SettlesNever: "declarations_make_sense",
    ShoutsTypes: "declarations_make_sense",
    DeclaresAnswers: "answers_work_exactly_if_declared",
    ReadsArchives: "unsupported_types_are_not_indexed",
    ListsUnaskedSources: "inventory_describes_what_is_stored",
    ListsFirstReaders: "inventory_describes_what_is_stored",
    ListsOtherDigestsInBulk: "inventory_describes_what_is_stored",
    SkipsTooMuch: "inventory_describes_what_is_stored",
    WarnsWithoutRemedy: "check_answers_with_findings",
    ChangesItsIdentity: "the_identity_is_stable",
    # golden HTTP
    IsAlwaysBusy: "recorded_uploads_are_loaded",
    AnswersWithoutText: "recorded_questions_are_answered",
    DropsUnicodeUsers: "recorded_access_changes_are_applied",
    DeletesNothing: "recorded_deletions_are_applied",
}
ALSO: Sequence[tuple[type[ReferenceDriver], str]] = [
    (DeniesStrictly, "every_access_change_may_be_repeated"),
    (DeletesStrictly, "every_deletion_may_be_repeated"),
    (SpoilsTitles, "recorded_titles_come_back"),
    (WidensOnReplace, "random_operations_agree_with_the_reference_driver"),
]


@pytest.mark.parametrize(("driver", "name"), [*BROKEN.items(), *ALSO])
async def test_the_kit_finds_a_broken_driver(
    driver: type[ReferenceDriver], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit_module, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr("context_chat_backend.conformance.cases.indexing.MEANING_PATIENCE", 0.1)
    report = await report_on(driver(), name)
    assert report.result is Result.FAIL
    assert "Traceback" not in report.detail or "contract.errors" in report.detail, "it fails by an accident of the test"


def test_each_case_is_seen_to_fail() -> None:
    seen = {*BROKEN.values(), *(name for _, name in ALSO)}
    elsewhere = {"faults", "store"}  # see test_conformance_faults.py, test_conformance_store.py
    assert seen == {case.name for case in CASES if case.group not in elsewhere}


# ---------------------------------------------------------------------- how it is told


def test_each_case_has_a_promise_a_cure_and_a_name_of_its_own() -> None:
    assert [case.name for case in CASES if not case.promise.endswith(".")] == []
    assert [case.name for case in CASES if not case.remedy.endswith(".")] == []
    assert len({case.name for case in CASES}) == len(CASES)


def test_isolation_comes_first() -> None:
    assert list(dict.fromkeys(case.group for case in CASES)) == [
        "isolation",
        "indexing",
        "access",
        "deletion",
        "search",
        "capabilities",
        "inventory",
        "store",
        "congruence",
        "faults",
        "golden HTTP",
    ]


async def test_a_failure_is_told_with_its_remedy_and_counted_in_its_group() -> None:
    out = io.StringIO()
    assert not await conform(WarnsWithoutRemedy(), name="warner", out=out)
    lines = out.getvalue().splitlines()
    (case,) = [case for case in CASES if case.name == "check_answers_with_findings"]
    place = lines.index(f"FAIL  capabilities  {case.promise}")
    assert lines[place + 1].startswith("      check_answers_with_findings: the finding 'rights'")
    assert lines[place + 2] == f"      -> {case.remedy}"
    assert "capabilities       4      1       0" in lines
    table = f"{CAPABILITY_HEADER}{capability_row('warner', WarnsWithoutRemedy.capabilities)}"
    assert out.getvalue().endswith(f"\n\n{table}")


class FallsOver(ReferenceDriver):
    async def check(self) -> Sequence[Finding]:
        raise KeyError("level")


async def test_an_error_that_no_contract_knows_is_told_as_a_bug_of_the_driver() -> None:
    out = io.StringIO()
    assert not await conform(FallsOver(), out=out)
    (case,) = [case for case in CASES if case.name == "check_answers_with_findings"]
    assert "KeyError: 'level'" in out.getvalue()
    assert f"      -> {FOREIGN_ERROR}\n" in out.getvalue()
    assert case.remedy not in out.getvalue()


async def test_an_error_of_the_contract_in_the_wrong_place_is_told_with_the_cure_of_the_case() -> None:
    report = await report_on(RefusesQuotes(), "odd_questions_do_no_harm")
    assert "Misconfigured" in report.detail
    assert report.advice == report.case.remedy


async def test_the_kit_leaves_nothing_behind() -> None:
    driver = ReferenceDriver()
    await conform(driver, out=io.StringIO())
    assert await driver.count() == {}


@pytest.mark.parametrize(
    ("limit", "shown"), [(None, "any"), (100 * 2**20, "100 MiB"), (2**20 + 1, "1048577 bytes")], ids=str
)
def test_the_largest_source_is_told_as_it_is(limit: int | None, shown: str) -> None:
    row = capability_row("mine", Capabilities(max_source_bytes=limit, settle_seconds=2.5, mime_types={"b/c", "a/b"}))
    assert row == f"| mine | no, the gateway does | within 2.5 s | {shown} | a/b, b/c |\n"


# ---------------------------------------------------------------------- the recordings


def test_no_recording_exists_twice() -> None:
    names = [file.name for folder in FOLDERS for file in folder.iterdir()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", sorted({Path(file.name).stem for file in SHIPPED.iterdir()}))
def test_no_recording_touches_what_others_have_stored(name: str) -> None:
    recorded = recording(name)
    body = Disguise().body(recorded.body)
    assert len(body) == len(recorded.body)
    assert not [id_ for id_ in (b"files__default", b"mail__mail", b"admin", b"O'Brien") if id_ in body]
    assert recorded.target not in {"/deleteProvider", "/deleteUser", "/updateAccessProvider"}


def test_a_disguise_is_as_long_in_utf_8_and_in_json() -> None:
    disguise = Disguise()
    body = disguise.body('jörg,用户一,with space "j\\u00f6rg","\\u7528\\u6237\\u4e00"'.encode())
    raw, escaped = body.decode().split(' "', 1)
    assert raw == ",".join(disguise.name(name) for name in ("jörg", "用户一", "with space"))
    assert json.loads(f'["{escaped}]') == [disguise.name("jörg"), disguise.name("用户一")]
    assert len(raw.encode()) == len("jörg,用户一,with space".encode())
