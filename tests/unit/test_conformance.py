"""The kit passes the drivers that keep the contract and finds what is wrong with those that do not."""

import io
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import (
    AccessOp,
    Answer,
    Capabilities,
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
    StoredVersion,
    UserId,
)
from context_chat_backend.registry import driver_factory

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["reference", "builtin"])
async def test_a_shipped_driver_keeps_the_contract(name: str, tmp_path: Path) -> None:
    out = io.StringIO()
    passed = await conform(driver_factory(name)(tmp_path), out=out)
    assert passed, out.getvalue()
    assert " 0 skipped" in out.getvalue()


async def failures(driver: ReferenceDriver) -> set[str]:
    out = io.StringIO()
    await conform(driver, out=out)
    lines = out.getvalue().splitlines()
    return {after.strip().partition(":")[0] for line, after in pairwise(lines) if line.startswith("FAIL")}


class NoAccessFilter(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        found: list[Hit] = []
        for document in self._documents.values():
            found += await super().search(replace(query, user_id=min(document.readers)))
        return list({hit.source_id: hit for hit in found}.values())[: query.limit]


class ScopeInsteadOfAccess(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        if query.scope is None:
            return await super().search(query)
        return await NoAccessFilter.search(self, query)  # type: ignore[arg-type] # only `super()` differs


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


class HidesItsInventory(ReferenceDriver):
    capabilities = Capabilities(inventory=False)


class WarnsWithoutCure(ReferenceDriver):
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
    assert not await failures(KeepsReadersToItself())


class ChangesItsIdentity(ReferenceDriver):
    @property
    def identity(self) -> str:
        return str(len(self._documents))


@pytest.mark.parametrize(
    ("driver", "case"),
    [
        (NoAccessFilter, "a_new_source_is_found_by_its_readers"),
        (ScopeInsteadOfAccess, "a_scope_cannot_widen_access"),
        (ForgetsToRevoke, "a_revoked_reader_finds_nothing"),
        (KeepsOrphans, "the_last_reader_takes_the_source_along"),
        (SharesEqualBytes, "equal_bytes_are_two_sources"),
        (WidensOnReplace, "a_newer_version_replaces_text_and_readers"),
        (SwallowsNotFound, "access_of_an_unknown_source_is_not_found"),
        (FoldsUserIds, "strange_user_ids_stay_apart"),
        (DeletesByPrefix, "a_deleted_provider_leaves_the_others"),
        (KeepsRejectedText, "a_source_without_text_is_rejected"),
        (DropsOldestHits, "a_limit_is_kept"),
        (MiscountsEverything, "a_deleted_user_is_gone_everywhere"),
        (DeclaresAnswers, "answers_work_exactly_if_declared"),
        (ListsUnaskedSources, "inventory_describes_what_is_stored"),
        (ListsFirstReaders, "inventory_describes_what_is_stored"),
        (ListsOtherDigestsInBulk, "inventory_describes_what_is_stored"),
        (SkipsTooMuch, "inventory_describes_what_is_stored"),
        (HidesItsInventory, "inventory_describes_what_is_stored"),
        (WarnsWithoutCure, "check_answers_with_findings"),
        (ChangesItsIdentity, "the_identity_is_stable"),
    ],
)
async def test_the_kit_finds_a_broken_driver(driver: type[ReferenceDriver], case: str) -> None:
    assert case in await failures(driver())


def test_each_case_has_a_promise_and_a_name_of_its_own() -> None:
    assert all(case.promise.endswith(".") for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)
