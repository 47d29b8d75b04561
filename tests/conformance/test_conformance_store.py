"""The kit passes stores that keep their promises and finds what is wrong with others, which a catalogue would hide."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from context_chat_backend.conformance import kit as kit_module
from context_chat_backend.conformance.cases import CASES, Case
from context_chat_backend.conformance.cases.shelf import match_of, new_document, new_group
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.conformance.runner import Report, Result, open_stage, run_case
from context_chat_backend.contract import Busy, Misconfigured, Unavailable
from context_chat_backend.toolkit.catalogue import Candidates, ChunkRecord, Extent, GroupKey, Match, WordQuery
from context_chat_backend.toolkit.indexing.words.terms import chunk_words

from ..toolkit.catalogue_stage import Stage, set_up
from ..toolkit.memory_store import MemoryStore
from ..toolkit.test_schema import DIMENSION

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

STORE_CASES = [case for case in CASES if case.group == "store"]
BY_WORDS = {
    "a_search_by_words_stays_in_reach",
    "better_words_out_of_reach_do_not_crowd_out",
    "the_best_fitting_words_come_first",
}


@pytest.fixture
def stage(catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(kit_module, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr("context_chat_backend.conformance.cases.shelf.STORE_PATIENCE", 0.1)
    with set_up(catalogue, tmp_path, monkeypatch) as stage:
        yield stage


async def reports_on(stage: Stage, store: MemoryStore, cases: Iterable[Case] = STORE_CASES) -> list[Report]:
    async with open_stage(stage.make(store)) as opened:
        return [await run_case(case, opened) for case in cases]


async def report_on(stage: Stage, store: MemoryStore, name: str) -> Report:
    (report,) = await reports_on(stage, store, [case for case in STORE_CASES if case.name == name])
    return report


# ---------------------------------------------------------------------- stores that keep their promises


class WordStore(MemoryStore):
    """Searches by words, too."""

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        await self._begin("matching")
        return [match_of(chunk) for chunk in self.ranked(query.text) if within(candidates, chunk)][:limit]

    def ranked(self, text: str) -> list[ChunkRecord]:
        """All that have some of the words, best first."""
        asked = words(text)
        found = [chunk for chunk in self.visible.values() if asked & words(chunk.text)]
        return sorted(found, key=lambda chunk: (-len(asked & words(chunk.text)), len(chunk.text)))


class SmallStore(WordStore):
    """Takes and gives little at a time."""

    chunks_per_put = 2
    documents_per_call = 4
    chunks_per_call = 7
    matches_per_search = 5

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        assert limit <= self.matches_per_search
        return await super().nearest(embedding, candidates, limit)


class LateStore(WordStore):
    """Shows what was written at every third call."""

    settle_seconds = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.fall_behind()
        self._calls = 0

    async def _begin(self, name: str) -> None:
        self._calls += 1
        if self._calls % 3 == 0:
            self.show(lambda id_: True)

    async def chunk_count(self) -> int | None:
        await self._begin("chunk_count")
        return await super().chunk_count()


class BusyStore(WordStore):
    """Asks to repeat every other write."""

    def __init__(self) -> None:
        super().__init__()
        self._writes = 0

    async def _begin(self, name: str) -> None:
        self._writes += name in {"put", "regroup", "remove"}
        if name in {"put", "regroup", "remove"} and self._writes % 2:
            raise Busy("later", retry_after=0.01)


class CountsAbout(WordStore):
    async def chunk_count(self) -> int | None:
        return len(self.visible) + 7


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def within(candidates: Candidates, chunk: ChunkRecord) -> bool:
    return chunk.group in candidates.groups or chunk.document in candidates.documents


@pytest.mark.parametrize("store", [WordStore, SmallStore, LateStore, BusyStore, CountsAbout])
async def test_a_store_that_keeps_its_promises_passes_and_is_left_empty(stage: Stage, store: type[WordStore]) -> None:
    kept = store()
    reports = await reports_on(stage, kept)
    assert [(report.case.name, report.detail) for report in reports if report.result is not Result.PASS] == []
    assert kept.accepted == {}


async def test_a_store_without_words_or_a_count_is_not_asked_for_them(stage: Stage) -> None:
    class CountsNothing(MemoryStore):
        async def chunk_count(self) -> int | None:
            return None

    reports = await reports_on(stage, CountsNothing())
    assert {report.case.name for report in reports if report.result is Result.SKIP} == {
        *BY_WORDS,
        "the_chunk_count_follows",
    }
    assert [report.detail for report in reports if report.result is Result.FAIL] == []


async def test_the_cases_are_skipped_for_drivers_that_are_not_built_on_a_store() -> None:
    async with open_stage(ReferenceDriver()) as opened:
        reports = [await run_case(case, opened) for case in STORE_CASES]
    assert {report.result for report in reports} == {Result.SKIP}
    assert {report.detail for report in reports} == {"the driver is not built on a vector store"}


async def test_what_others_have_stored_stays_and_is_quoted_nowhere(stage: Stage) -> None:
    for store in (WordStore(), ForgetsTheFilter(), ForgetsTheFilterOfWords(), FiltersAfterwards()):
        theirs = ChunkRecord(
            document=new_document(),
            ordinal=0,
            group=GroupKey("7"),
            heading="",
            text="A whale of a secret.",
            embedding=np.full(DIMENSION, DIMENSION**-0.5, np.float32),
            words=chunk_words("", "", "A whale of a secret."),
        )
        store.accepted[theirs.id] = theirs
        reports = await reports_on(stage, store)
        assert store.accepted == {theirs.id: theirs}
        assert [report.detail for report in reports if "secret" in report.detail] == []


async def test_a_case_that_fails_by_an_error_leaves_nothing_behind(stage: Stage) -> None:
    def fail_searches(name: str) -> None:
        if name == "nearest":
            raise Unavailable("no")

    store = WordStore()
    store.before_call = fail_searches
    report = await report_on(stage, store, "a_search_by_meaning_stays_in_reach")
    assert report.result is Result.FAIL
    assert store.calls.put > 0
    assert store.accepted == {}


# ---------------------------------------------------------------------- stores that do not


class ForgetsTheFilter(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(embedding, self.everything(), limit)

    def everything(self) -> Candidates:
        return Candidates(groups=(new_group(),), documents=[chunk.document for chunk in self.visible.values()])


class LooksAtGroupsOnly(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(
            embedding, Candidates(groups=(*candidates.groups, new_group()), documents=()), limit
        )


class WantsBoth(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        reached = [chunk for chunk in self.visible.values() if within(candidates, chunk)]
        if candidates.groups and candidates.documents:
            reached = [c for c in reached if c.group in candidates.groups and c.document in candidates.documents]
        return [match_of(chunk) for chunk in reached][:limit]


class ForgetsTheFilterOfWords(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        return [match_of(chunk) for chunk in self.ranked(query.text)][:limit]


class FindsNoWords(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        return ()


class FiltersAfterwards(ForgetsTheFilter):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        best = await super().nearest(embedding, candidates, limit)
        return [match for match in best if within(candidates, self.visible[f"{match.document}#{match.ordinal:05d}"])]


class FiltersWordsAfterwards(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        return [match_of(chunk) for chunk in self.ranked(query.text)[:limit] if within(candidates, chunk)]


class FindsTheFarthest(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(-embedding, candidates, limit)


class IgnoresTheLimit(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(embedding, candidates, self.matches_per_search)


class TellsDistances(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        found = await super().nearest(embedding, candidates, limit)
        return [replace(match, similarity=1 - (match.similarity or 0.0)) for match in found]


class TellsSharesOfOne(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        found = await super().nearest(embedding, candidates, limit)
        return [replace(match, similarity=(1 + (match.similarity or 0.0)) / 2) for match in found]


class TellsNoSimilarity(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return [replace(match, similarity=None) for match in await super().nearest(embedding, candidates, limit)]


class TakesRanksForSimilarity(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        found = await super().matching(query, candidates, limit)
        return [replace(match, similarity=7.0 - place) for place, match in enumerate(found)]


class TakesAllForEnglish(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return [replace(match, language="en") for match in await super().nearest(embedding, candidates, limit)]


class RanksWordsBackwards(WordStore):
    def ranked(self, text: str) -> list[ChunkRecord]:
        return super().ranked(text)[::-1]


class IgnoresTheLimitOfWords(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().matching(query, candidates, self.matches_per_search)


class LooksAtFirstGroups(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(embedding, replace(candidates, groups=candidates.groups[:100]), limit)


class LooksAtFirstDocuments(WordStore):
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await super().nearest(embedding, replace(candidates, documents=candidates.documents[:500]), limit)


class RefusesLongFilters(WordStore):
    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        if len(candidates.groups) + len(candidates.documents) > 1000:
            raise Misconfigured("the filter is too long")
        return await super().matching(query, candidates, limit)


class ChangesTexts(WordStore):
    def changed(self, text: str) -> str:
        raise NotImplementedError

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await super().put([replace(chunk, text=self.changed(chunk.text)) for chunk in chunks])


class TrimsTexts(ChangesTexts):
    def changed(self, text: str) -> str:
        return text.strip()


class NormalizesTexts(ChangesTexts):
    def changed(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


class JoinsLines(ChangesTexts):
    def changed(self, text: str) -> str:
        return text.replace("\r\n", "\n")


class CutsTexts(ChangesTexts):
    def changed(self, text: str) -> str:
        return text[:1000]


class LosesHeadings(WordStore):
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await super().put([replace(chunk, heading="") for chunk in chunks])


class NumbersAnew(WordStore):
    """In the order of their names, in which 10 comes before 2."""

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        names = sorted(str(chunk.ordinal) for chunk in chunks)
        await super().put([replace(chunk, ordinal=names.index(str(chunk.ordinal))) for chunk in chunks])


class KeepsEveryUpload(WordStore):
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        self.accepted.update({uuid4().hex: chunk for chunk in chunks})


class KeepsTheFirstUpload(WordStore):
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await super().put([self.accepted.get(chunk.id, chunk) for chunk in chunks])


class KeepsTheFirstEmbedding(WordStore):
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await super().put([replace(chunk, embedding=self.accepted.get(chunk.id, chunk).embedding) for chunk in chunks])


class ReplacesDocuments(WordStore):
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await super().remove([Extent(document=chunks[0].document, chunks=1)])
        await super().put(chunks)


class RegroupsNothing(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        return True


class RegroupsFirstPage(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        return await super().regroup(documents[:10], group)


class RegroupsFirstChunks(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        for extent in documents:
            id_ = f"{extent.document}#00000"
            self.accepted[id_] = replace(self.accepted[id_], group=group)
        return True


class RegroupsTheWholeGroup(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        named = {extent.document for extent in documents}
        left = {chunk.group for chunk in self.accepted.values() if chunk.document in named}
        for id_, chunk in self.accepted.items():
            self.accepted[id_] = replace(chunk, group=group) if chunk.group in left else chunk
        return True


class CountsChangesOnly(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        named = {extent.document for extent in documents}
        changes = sum(chunk.document in named and chunk.group != group for chunk in self.accepted.values())
        await super().regroup(documents, group)
        return changes >= sum(extent.chunks for extent in documents)


class LosesEmbeddings(WordStore):
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        done = await super().regroup(documents, group)
        for extent in documents:
            for id_, chunk in self.accepted.items():
                if chunk.document == extent.document:
                    self.accepted[id_] = replace(chunk, embedding=chunk.embedding * (-1) ** chunk.ordinal)
        return done


class RemovesNothing(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        return


class RemovesFirstPage(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        await super().remove(documents[:10])


class RemovesFirstChunks(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        for extent in documents:
            self.accepted.pop(f"{extent.document}#00000", None)


class RemovesTheWholeGroup(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        named = {extent.document for extent in documents}
        groups = {chunk.group for chunk in self.accepted.values() if chunk.document in named}
        for id_ in [id_ for id_, chunk in self.accepted.items() if chunk.group in groups]:
            del self.accepted[id_]


class RemovesStrictly(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        stored = {chunk.document for chunk in self.accepted.values()}
        if any(extent.document not in stored for extent in documents):
            raise Misconfigured("no such document")
        await super().remove(documents)


class RemovesUntilSomethingIsMissing(WordStore):
    async def remove(self, documents: Sequence[Extent]) -> None:
        for extent in documents:
            for ordinal in range(extent.chunks):
                if self.accepted.pop(f"{extent.document}#{ordinal:05d}", None) is None:
                    return


class HoldsEverything(WordStore):
    async def holds(self, chunk: ChunkRecord) -> bool:
        return True


class HoldsNothing(WordStore):
    async def holds(self, chunk: ChunkRecord) -> bool:
        return False


class HoldsDocuments(WordStore):
    async def holds(self, chunk: ChunkRecord) -> bool:
        return any(other.document == chunk.document for other in self.accepted.values())


class CountsZero(WordStore):
    async def chunk_count(self) -> int | None:
        return 0


class CountsEverPut(WordStore):
    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        self._count += len(chunks)
        await super().put(chunks)

    async def chunk_count(self) -> int | None:
        return self._count


BROKEN: Mapping[type[WordStore], str] = {
    ForgetsTheFilter: "a_search_by_meaning_stays_in_reach",
    LooksAtGroupsOnly: "a_search_by_meaning_stays_in_reach",
    WantsBoth: "a_search_by_meaning_stays_in_reach",
    ForgetsTheFilterOfWords: "a_search_by_words_stays_in_reach",
    FindsNoWords: "a_search_by_words_stays_in_reach",
    FiltersAfterwards: "nearer_chunks_out_of_reach_do_not_crowd_out",
    FiltersWordsAfterwards: "better_words_out_of_reach_do_not_crowd_out",
    FindsTheFarthest: "the_nearest_come_first",
    IgnoresTheLimit: "the_nearest_come_first",
    TellsDistances: "similarities_are_cosines",
    TellsSharesOfOne: "similarities_are_cosines",
    TellsNoSimilarity: "similarities_are_cosines",
    TakesRanksForSimilarity: "similarities_are_cosines",
    TakesAllForEnglish: "a_language_comes_back_or_is_left_out",
    RanksWordsBackwards: "the_best_fitting_words_come_first",
    IgnoresTheLimitOfWords: "the_best_fitting_words_come_first",
    LooksAtFirstGroups: "many_groups_and_documents_fit_in_a_reach",
    LooksAtFirstDocuments: "many_groups_and_documents_fit_in_a_reach",
    RefusesLongFilters: "many_groups_and_documents_fit_in_a_reach",
    TrimsTexts: "text_heading_and_ordinal_come_back_unchanged",
    NormalizesTexts: "text_heading_and_ordinal_come_back_unchanged",
    JoinsLines: "text_heading_and_ordinal_come_back_unchanged",
    CutsTexts: "text_heading_and_ordinal_come_back_unchanged",
    LosesHeadings: "text_heading_and_ordinal_come_back_unchanged",
    NumbersAnew: "text_heading_and_ordinal_come_back_unchanged",
    KeepsEveryUpload: "chunks_put_again_replace_those_with_the_same_ids",
    KeepsTheFirstUpload: "chunks_put_again_replace_those_with_the_same_ids",
    KeepsTheFirstEmbedding: "chunks_put_again_replace_those_with_the_same_ids",
    ReplacesDocuments: "chunks_put_again_replace_those_with_the_same_ids",
    RegroupsNothing: "regroup_moves_all_chunks_of_its_documents_and_no_others",
    RegroupsFirstPage: "regroup_moves_all_chunks_of_its_documents_and_no_others",
    RegroupsFirstChunks: "regroup_moves_all_chunks_of_its_documents_and_no_others",
    RegroupsTheWholeGroup: "regroup_moves_all_chunks_of_its_documents_and_no_others",
    CountsChangesOnly: "regroup_may_be_repeated",
    LosesEmbeddings: "regroup_may_be_repeated",
    RemovesNothing: "remove_takes_all_chunks_of_its_documents_and_no_others",
    RemovesFirstPage: "remove_takes_all_chunks_of_its_documents_and_no_others",
    RemovesFirstChunks: "remove_takes_all_chunks_of_its_documents_and_no_others",
    RemovesTheWholeGroup: "remove_takes_all_chunks_of_its_documents_and_no_others",
    RemovesStrictly: "what_is_not_there_may_be_removed",
    RemovesUntilSomethingIsMissing: "what_is_not_there_may_be_removed",
    HoldsEverything: "what_the_store_holds_is_told",
    HoldsNothing: "what_the_store_holds_is_told",
    HoldsDocuments: "what_the_store_holds_is_told",
    CountsZero: "the_chunk_count_follows",
    CountsEverPut: "the_chunk_count_follows",
}


@pytest.mark.parametrize(("store", "name"), BROKEN.items())
async def test_the_kit_finds_a_broken_store(stage: Stage, store: type[WordStore], name: str) -> None:
    report = await report_on(stage, store(), name)
    assert report.result is Result.FAIL
    assert report.advice == report.case.remedy
    assert "Traceback" not in report.detail or "contract.errors" in report.detail, "it fails by an accident of the test"


def test_each_case_of_a_store_is_seen_to_fail() -> None:
    assert set(BROKEN.values()) == {case.name for case in STORE_CASES}
