"""What the driver over a store finds: by meaning, by words, by titles, and what it learns of the documents for that."""

import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from context_chat_backend.contract import AccessOp, Outcome, SourceId, SourceScope
from context_chat_backend.toolkit.catalogue import (
    Candidates,
    CatalogueDriver,
    ChunkRecord,
    DocumentKey,
    Match,
    WordQuery,
)
from context_chat_backend.toolkit.catalogue.catalogue import Readable
from context_chat_backend.toolkit.catalogue.ranking import Asked, ranked
from context_chat_backend.toolkit.indexing.words.terms import chunk_words, question_of, term
from context_chat_backend.toolkit.search.calibration import Calibration, Trial
from context_chat_backend.toolkit.search.calibrator import DRAWN, TRIED

from .catalogue_stage import ALICE, BOB, Stage, set_up
from .memory_store import MemoryStore, match_of
from .test_catalogue_driver import ONE

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

PATIENCE = 20
ENGLISH = "The captain of this ship has been looking for whales around the islands since {} o'clock."
GERMAN = "Der Kapitän dieses Schiffes sucht seit {} Uhr rund um die Inseln nach Walen und anderen Tieren."


class SparseStore(MemoryStore):
    """Keeps the gateway's terms."""

    asked: WordQuery | None = None

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        await self._begin("matching")
        self.asked = query
        reached = [
            chunk
            for chunk in self.visible.values()
            if chunk.group in candidates.groups or chunk.document in candidates.documents
        ]
        ranked = sorted(reached, key=lambda chunk: -bm25(chunk, query.weights))
        found = [chunk for chunk in ranked if bm25(chunk, query.weights) > 0][:limit]
        return [replace(match_of(chunk, query.embedding), similarity=None) for chunk in found]


class OwnWordsStore(MemoryStore):
    """Has a text search of its own, which knows words between blanks and tells nothing of languages."""

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        asked = set(query.text.lower().split())
        found = [
            (len(asked & set(chunk.text.lower().split())), chunk)
            for chunk in self.visible.values()
            if chunk.group in candidates.groups or chunk.document in candidates.documents
        ]
        ranked = [chunk for count, chunk in sorted(found, key=lambda each: -each[0]) if count][:limit]
        return [replace(match_of(chunk, query.embedding), similarity=None, language="") for chunk in ranked]


class WatchedStore(SparseStore):
    """Remembers which documents were looked into by their keys."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_into: list[str] = []

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        self.looked_into += candidates.documents
        return await super().nearest(embedding, candidates, limit)


def bm25(chunk: ChunkRecord, weights: Mapping[int, float]) -> float:
    return sum(worth * chunk.words.weights.get(term, 0.0) for term, worth in weights.items())


@pytest.fixture
def stage(catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with set_up(catalogue, tmp_path, monkeypatch) as stage:
        yield stage


@pytest.fixture(params=[MemoryStore, SparseStore, OwnWordsStore])
async def driver(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[CatalogueDriver]:
    stage.store = request.param()
    async with stage.driver() as driver:
        yield driver


async def until(stage: Stage, query: str) -> None:
    """Something in the background has come so far."""
    with anyio.fail_after(PATIENCE):
        while not stage.sql(query):  # noqa: ASYNC110 - the database tells nobody
            await anyio.sleep(0.02)


# -- words


async def test_the_only_text_with_the_number_comes_first_in_any_spelling(stage: Stage, driver: CatalogueDriver) -> None:
    for number in range(40):
        await driver.upsert(stage.source(number, [ALICE], f"Invoice RE-2024-{number:04d} of the harbour office"))
    for question in (
        "RE-2024-0031",
        "who sent the invoice re/2024/0031, and when exactly is it to be paid at the latest?",
    ):
        hits = await stage.hits(driver, ALICE, text=question, limit=5)
        assert hits[0].source_id == "files: 31"
    if not isinstance(stage.store, OwnWordsStore):  # which knows no parts of words, and has to find it by meaning
        for question in ("RE 2024 0031", "re20240031", "0031"):
            assert (await stage.hits(driver, ALICE, text=question, limit=60))[0].source_id == "files: 31"


async def test_a_store_gets_what_terms_are_worth_by_all_documents(stage: Stage) -> None:
    stage.store = store = SparseStore()
    async with stage.driver() as driver:
        for item in range(9):
            await driver.upsert(stage.source(item, [ALICE], "whale common" if item else "whale rare"))
        await stage.hits(driver, ALICE, text="common rare absent 4711")
    assert store.asked is not None
    worths = store.asked.weights
    assert worths[term("rare")] == pytest.approx(math.log(1 + (9 - 1 + 0.5) / 1.5))
    assert worths[term("common")] == pytest.approx(math.log(1 + (9 - 8 + 0.5) / 8.5))
    assert term("absent") not in worths
    assert term("#4711") in store.asked.identifiers


async def test_what_a_store_tells_of_languages_is_believed_and_found_out_where_it_tells_nothing(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1, [ALICE], GERMAN.format(7)))
    await driver.upsert(stage.source(2, [ALICE], "other"))
    driver._calibrator.remember({language: Trial(64, strength=0, own=0.5, others=0.5) for language in ("de", "en", "")})
    hits = await stage.hits(driver, ALICE, text="Welche Kapitäne suchten Wale?")
    assert hits[0].source_id == ONE


@pytest.mark.parametrize("name", ["part_" * 60 + "1", "a." * 60 + "1", "ab" + "_" * 300 + "1", "x@" * 60 + "1"])
def test_a_name_of_many_parts_takes_no_time(name: str) -> None:
    started = time.process_time()
    assert chunk_words(name, "", name).weights
    assert time.process_time() - started < 5


# -- titles


async def test_a_file_is_found_by_its_name(stage: Stage, driver: CatalogueDriver) -> None:
    for year in range(2000, 2060):
        await driver.upsert(
            stage.source(year, [ALICE], f"row {year}\nsums", title=f"files/Documents/Budget {year}.csv")
        )
    for question in ("find the file Budget 2027.csv", "budget 2027", "Budget_2027", "Please open Budget 2027 for me"):
        assert (await stage.hits(driver, ALICE, text=question, limit=5))[0].source_id == "files: 2027"


async def test_a_changed_title_alone_counts(stage: Stage, driver: CatalogueDriver) -> None:
    for item in range(60):
        await driver.upsert(stage.source(item, [ALICE], f"the same words {item}"))
    chunks, calls = dict(stage.store.accepted), stage.store.calls.searches
    assert await driver.upsert(stage.source(31, [ALICE], "the same words 31", title="lebenslauf_final_v3.txt")) is (
        Outcome.UNCHANGED
    )
    assert (stage.store.accepted, stage.store.calls.searches) == (chunks, calls)
    for question in ("lebenslauf_final_v3.txt", "where is the Lebenslauf?"):
        best = (await stage.hits(driver, ALICE, text=question, limit=3))[0]
        assert (best.source_id, best.title) == ("files: 31", "lebenslauf_final_v3.txt")


async def test_a_title_is_looked_for_among_what_the_user_may_read_only(stage: Stage) -> None:
    stage.store = store = WatchedStore()
    names = {1: [BOB], 2: [ALICE], 3: [ALICE, BOB]}
    async with stage.driver() as driver:
        for item, readers in names.items():
            await driver.upsert(stage.source(item, readers, "words", title="Salaries 2027.xlsx"))
        for item in range(10, 80):
            await driver.upsert(stage.source(item, [ALICE, BOB], "salaries 2027 and other words"))
        await driver.update_access(AccessOp.DENY, SourceId("files: 3"), {BOB})
        keys = dict(stage.rows("select source_id, document_key from ccb.documents"))
        store.looked_into.clear()
        assert await stage.found(driver, BOB, text="Salaries 2027.xlsx", limit=20) >= {ONE}
        assert set(store.looked_into) <= {keys[ONE]}
        scope = SourceScope(frozenset({SourceId("files: 10")}))
        assert await stage.found(driver, ALICE, text="Salaries 2027.xlsx", scope=scope) == {"files: 10"}
        assert await stage.found(driver, BOB, text="Salaries 2027.xlsx", limit=200) & {"files: 2", "files: 3"} == set()


async def test_titles_that_say_little_cost_no_search(stage: Stage) -> None:
    stage.store = store = WatchedStore()
    async with stage.driver() as driver:
        for item, word in enumerate(["whale", "island", "sing", "white", "other"] * 15):
            await driver.upsert(stage.source(item, [ALICE], word, title=f"notes on the sea {item}.md"))
        store.looked_into.clear()
        await stage.hits(driver, ALICE, text="on which of those islands did the white whale sing", limit=5)
    assert store.looked_into == []


async def test_the_title_of_a_document_that_is_gone_goes_with_it(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, [ALICE], title="Budget.csv"))
    await driver.upsert(stage.source(1, [ALICE], "new", title="Budget 2.csv", modified=2000))
    assert stage.sql("select count(*) from ccb.title_words") == 1
    await driver.delete({ONE})
    assert stage.rows("select doc_id from ccb.title_words union all select doc_id from ccb.samples") == []


# -- what an earlier version stored


VERSION_3 = """
    drop table ccb.title_words, ccb.samples, ccb.terms, ccb.counted_terms;
    alter table ccb.documents drop column words_title;
    delete from ccb.settings where key in ('samples', 'calibration');
    drop function public.ccb_expect_chunks;
    update ccb.settings set value = '3' where key = 'schema_version';
    update ccb.settings set value = 'others' where key = 'functions'"""


@pytest.mark.parametrize("kind", [MemoryStore, SparseStore, OwnWordsStore])
async def test_documents_of_before_get_their_words_counted_and_are_found_by_title(
    stage: Stage, kind: Callable[[], MemoryStore]
) -> None:
    stage.store = kind()
    async with stage.driver() as driver:
        for item in range(150):
            await driver.upsert(stage.source(item, [ALICE], f"whale\nnumber RE-{item:04d}", title=f"Budget {item}.csv"))
    stage.sql(VERSION_3)
    for _ in range(2):
        async with stage.driver() as driver:
            await until(stage, "select count(*) = 0 from ccb.documents where words_title is distinct from title")
            assert stage.sql("select count(*) from ccb.title_words") == 150
            assert stage.sql("select chunks from ccb.terms where term = 0") == 450  # and their titles
            assert (await stage.hits(driver, ALICE, text="Budget 77.csv", limit=5))[0].source_id == "files: 77"
            if kind is not MemoryStore:  # which finds by meaning only
                best = (await stage.hits(driver, ALICE, text="number re-0078", limit=5))[0]
                assert best.source_id == "files: 78"


# -- calibration


async def test_samples_are_chunks_of_each_language_with_a_sentence_and_no_more_than_are_wanted(stage: Stage) -> None:
    stage.sql("update ccb.settings set value = '20' where key = 'samples'")
    async with stage.driver() as driver:
        for item in range(10):
            text = "\n".join(f"{(GERMAN if item % 2 else ENGLISH).format(line)} Another sentence." for line in range(9))
            await driver.upsert(stage.source(item, [ALICE], text))
        samples = await stage.catalogue(driver).samples()
        chunks = list(stage.store.accepted.values())
        assert sorted(sample.language for sample in samples) == ["de"] * 20 + ["en"] * 20
        for sample in samples:
            assert any(np.allclose(chunk.embedding, sample.embedding, atol=1e-4) for chunk in chunks)
            assert sample.text.count(".") == 0
        await driver.delete({SourceId(f"files: {item}") for item in range(0, 10, 2)})
        assert {sample.language for sample in await stage.catalogue(driver).samples()} == {"de"}


def test_each_chunk_is_as_likely_a_sample_as_any_other(stage: Stage) -> None:
    """Those with the highest numbers are kept, however uploads are cut."""
    stage.sql("update ccb.settings set value = '10' where key = 'samples'")
    random.seed(1)
    draws = [random.random() for _ in range(200)]
    document = stage.sql(
        "insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash)"
        " values ('s', 'p', 't', 'text/plain', 1, 'h') returning doc_id"
    )
    for start in range(0, len(draws), 7):
        stage.sql(
            "select ccb.learn(%s, jsonb_build_object('chunks', 0, 'terms', '[]'::jsonb, 'samples',"
            " (select jsonb_agg(jsonb_build_object('language', 'en', 'draw', d, 'embedding', '[1]'::jsonb,"
            " 'sentence', '')) from unnest(%s::float8[]) d)))",
            *(document, draws[start : start + 7]),
        )
    kept = stage.sql("select array_agg(draw order by draw desc) from ccb.samples")
    assert kept == sorted(draws, reverse=True)[:10]


async def test_the_model_is_tried_in_the_languages_of_the_documents_and_that_is_remembered(stage: Stage) -> None:
    async with stage.driver() as driver:
        for item in range(8):
            text = "\n".join(ENGLISH.format(item * 100 + line) for line in range(16))
            await driver.upsert(stage.source(item, [ALICE], text))
        tried = f"select value::jsonb -> 'en' ->> 'sentences' = '{TRIED}' from ccb.settings where key = 'calibration'"
        await until(stage, tried)
        assert len(driver._calibrator.calibration.samples["en"]) <= DRAWN
        assert stage.sql("select count(*) from ccb.samples") == 8 * 16 >= TRIED
    async with stage.driver() as driver:
        assert driver._calibrator.calibration.trials["en"].sentences == TRIED
        assert "languages" in {finding.subject for finding in await driver.check()}


# -- ranking


def asked(question: str, **worths: float) -> Asked:
    weights = {term(word): worth for word, worth in worths.items()}
    sought = question_of(question, {"en": 1})
    words = WordQuery(text=question, weights=weights, identifiers=sought.distinctive, embedding=np.ones(1, np.float32))
    return Asked(words=words, unknown=0, question=sought, titled=(), calibration=Calibration(), limit=100)


def match(number: int, text: str = "", similarity: float | None = None, ordinal: int = 0) -> Match:
    return Match(
        document=DocumentKey(str(number)), ordinal=ordinal, heading="", text=text, language="en", similarity=similarity
    )


def readable(titles: Mapping[int, str], chunks: int = 9) -> dict[DocumentKey, Readable]:
    return {
        DocumentKey(str(number)): Readable(source_id=SourceId(str(number)), title=title, chunks=chunks)
        for number, title in titles.items()
    }


TITLES = readable(dict.fromkeys(range(1, 5), ""))


def test_a_chunk_that_was_found_in_two_ways_is_one_hit_with_its_similarity() -> None:
    question = asked("whale", whale=2.0)
    once = ranked([match(1, "whale", 0.6)], [], TITLES, question)
    assert ranked([match(1, "whale", 0.6)], [match(1, "whale")], TITLES, question) == once
    assert ranked([], [match(1, "whale"), match(1, "whale", 0.6)], TITLES, question) == once


def test_what_only_words_find_counts_as_the_last_of_the_nearest_by_meaning() -> None:
    question = asked("whale", whale=2.0)
    nearest = [match(1, "sea", 0.6), match(2, "sea", 0.3)]
    hits = ranked(nearest, [match(3, "whale")], TITLES, question)
    assert hits == ranked(nearest, [match(3, "whale", 0.3)], TITLES, question)
    assert hits != ranked(nearest, [match(3, "whale", 0.2)], TITLES, question)


def test_an_identifier_in_the_title_counts_as_one_in_the_text() -> None:
    nearest = [match(1, "the very whale 2027", 0.9), match(2, "rows", 0.1)]
    hits = ranked(nearest, [], readable({1: "", 2: "Budget 2027.csv"}), asked("Budget_2027.csv", whale=1.0))
    assert [hit.source_id for hit in hits] == ["2", "1"]


def test_only_chunks_of_readable_documents_are_ranked() -> None:
    nearest = [match(1, "whale", 0.9), match(7, "whale", 0.9), match(1, "whale", 0.9, ordinal=9)]
    assert [hit.source_id for hit in ranked(nearest, [match(8, "whale")], TITLES, asked("whale", whale=1.0))] == ["1"]
