"""`ccbe eval` as somebody runs it."""

import os
import sys
from pathlib import Path

import pytest

from context_chat_backend.cli.command import CANNOT_START, FAILURE, SUCCESS
from context_chat_backend.cli.evaluation.own import File, identifiers, names, sentences
from context_chat_backend.cli.evaluation.results import Asked, Results, SetResult, Store, read_results, write_results
from tests.cli.running import REPO, run, run_process
from tests.doubles.nextcloud import serving
from tests.doubles.reranker import FakeReranker

from .sets import small_set

LEAKY = """\
from tests.conformance.test_conformance import NoAccessFilter

def create(config):
    return NoAccessFilter()
"""


def leaky_distribution(folder: Path) -> Path:
    """A driver without an access filter, installed as those of other people are."""
    information = folder / "leaky-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "leaky.py").write_text(LEAKY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[context_chat_backend.drivers]\nleaky = leaky:create\n")
    return folder


def test_a_leak_fails_the_command(tmp_path: Path) -> None:
    driver = leaky_distribution(tmp_path / "driver")
    small_set(tmp_path / "small")
    done = run_process(
        *("eval", "run", "small", "--with", "RAG_BACKEND=leaky", "--share", "0", "--out", "found.json"),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([str(driver), str(REPO)]),
    )
    assert done.returncode == FAILURE, done.stderr
    assert "LEAK: reads-nothing may not read" in done.stdout
    (result,) = read_results(tmp_path / "found.json").sets
    assert len(result.leaks) > 1


def test_a_set_is_measured_and_the_gateway_is_gone(tmp_path: Path) -> None:
    small_set(tmp_path / "small")
    done = run(
        *("eval", "run", "small", "--out", "found.json", "--keep", "kept", "--rest", "1"),
        cwd=tmp_path,
        RAG_BACKEND="reference",
        NEXTCLOUD_URL="http://192.0.2.1",
    )
    assert done.returncode == SUCCESS, done.stderr
    assert done.stderr.count("loading 4 documents") == 2
    assert "small: 4 documents" in done.stdout
    assert "\n0 leaks\n" in done.stdout
    results = read_results(tmp_path / "found.json")
    assert results.backend == "reference"
    assert results.sets[0].store is Store.RESTED
    assert [each.values["recall@10"] for each in results.sets[0].asked] == [1, 1, 1, 1]
    assert (tmp_path / "kept" / "small" / "state.db").exists()


def test_a_stage_is_measured(tmp_path: Path) -> None:
    small_set(tmp_path / "small")
    reranker = FakeReranker()
    with serving(reranker) as url:
        stage = ("CC_STAGES=rerank", "CC_RERANK_API=tei", f"CC_RERANK_BASE_URL={url}")
        options = [word for assignment in stage for word in ("--with", assignment)]
        done = run("eval", "run", "small", *options, cwd=tmp_path, RAG_BACKEND="reference")
    assert done.returncode == SUCCESS, done.stderr
    assert reranker.requests


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere"], "nowhere: a set has a file corpus.jsonl"),
        (["run", "small", "--out", "nowhere/found.json"], "no such folder"),
        (["run", "small", "small"], "need different names"),
        (["run", "small", "--with", "RAG_BACKEND=refrence"], "Did you mean 'reference'"),
        (["compare", "nowhere.json", "nowhere.json"], "nowhere.json cannot be read"),
        (["compare", "small/corpus.jsonl", "small/corpus.jsonl"], "is no file of `ccbe eval run --out`"),
        (["own", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_cannot_be_done_is_explained(tmp_path: Path, arguments: list[str], expected: str) -> None:
    small_set(tmp_path / "small")
    done = run("eval", *arguments, cwd=tmp_path)
    assert done.returncode == CANNOT_START
    assert expected in done.stderr


def test_without_its_packages_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("compare", "measures"):
        monkeypatch.delitem(sys.modules, f"context_chat_backend.cli.evaluation.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    done = run("eval", "compare", "a.json", "b.json", cwd=tmp_path)
    assert done.returncode == CANNOT_START
    assert "ir_measures is not installed: pip install 'context-chat-gateway[eval]'" in done.stderr


# ---------------------------------------------------------------------- compare


def results(
    folder: Path,
    name: str,
    values: dict[str, float],
    *,
    corpus: str = "same",
    sets: str = "small",
    store: Store = Store.FRESH,
) -> str:
    asked = [
        Asked(question=question, kind="", reads="all", user="u", seconds=0.1, found=["a"], values={"nDCG@10": value})
        for question, value in values.items()
    ]
    result = SetResult(
        name=sets, corpus=corpus, documents=1, rejected=[], load_seconds=1, store=store, asked=asked, leaks=[]
    )
    write_results(folder / name, Results(version="1", backend="builtin", changed=[], sets=[result]))
    return name


BEFORE = {"1": 0.5, "2": 0.75, "3": 1.0}


@pytest.mark.parametrize(
    ("after", "tolerance", "status"),
    [
        ({"1": 0.5, "2": 0.75, "3": 1.0}, "0", SUCCESS),
        ({"3": 1.0, "2": 1.0, "1": 1.0}, "0", SUCCESS),
        ({"1": 0.5, "2": 0.75, "3": 0.91}, "0.05", SUCCESS),
        ({"1": 0.5, "2": 0.75, "3": 0.91}, "0.02", FAILURE),
        ({"1": 1.0, "2": 0.75, "3": 0.25}, "0.05", FAILURE),
    ],
)
def test_a_mean_that_falls_beyond_the_tolerance_fails(
    tmp_path: Path, after: dict[str, float], tolerance: str, status: int
) -> None:
    files = results(tmp_path, "a.json", BEFORE), results(tmp_path, "b.json", after)
    done = run("eval", "compare", *files, "--tolerance", tolerance, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert ("WORSE" in done.stdout) == (status == FAILURE)
    assert "0.7500" in done.stdout


def test_only_the_same_questions_on_the_same_documents_are_compared(tmp_path: Path) -> None:
    before = results(tmp_path, "a.json", BEFORE)
    fewer = results(tmp_path, "b.json", {"1": 1.0})
    other = results(tmp_path, "c.json", BEFORE, corpus="other")
    missing = results(tmp_path, "d.json", BEFORE, sets="large")
    for after, expected in ((fewer, "other questions"), (other, "other documents"), (missing, "no results of the set")):
        done = run("eval", "compare", before, after, cwd=tmp_path)
        assert done.returncode == CANNOT_START
        assert expected in done.stderr


def test_a_store_that_has_rested_is_told_from_a_fresh_one(tmp_path: Path) -> None:
    files = results(tmp_path, "a.json", BEFORE), results(tmp_path, "b.json", BEFORE, store=Store.RESTED)
    done = run("eval", "compare", *files, cwd=tmp_path)
    assert done.returncode == SUCCESS
    assert "A is of a fresh store, B of a rested one" in done.stderr


# ---------------------------------------------------------------------- own


def file(name: str, text: str) -> File:
    return File(Path(name), name, "text/plain", text)


FILES = (
    file(
        "a/Travel_report-2026.md", "To Kiel. We met the builders of the new boat, K-77 type. Home by train, seat 1234."
    ),
    file("b/Travel_report-2026.txt", "We paid with card 1234.\nIn Kiel the weather was too bad for a walk.\nEnd."),
    file("c/empty.txt", "Nothing of any length."),
)


def test_names_are_asked_for_as_people_write_them() -> None:
    first, second, third = names(FILES)
    assert first.text == second.text == "Travel report 2026"
    assert set(first.grades) == {"a/Travel_report-2026.md", "b/Travel_report-2026.txt"}
    assert third.text == "empty"


def test_a_sentence_from_the_middle_is_asked_for() -> None:
    first, second = sentences(FILES)
    assert first.text == "We met the builders of the new boat, K-77 type."
    assert second.text == "In Kiel the weather was too bad for a walk."
    assert set(second.grades) == {"b/Travel_report-2026.txt"}


def test_only_an_identifier_that_a_single_file_has_is_asked_for() -> None:
    (only,) = identifiers(FILES)
    assert (only.text, set(only.grades)) == ("K-77", {"a/Travel_report-2026.md"})


def test_own_files_are_loaded_and_looked_for(tmp_path: Path) -> None:
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "boat.md").write_text("The boat was built in Kiel by three brothers. Its number is KI-4471.")
    (tmp_path / "mine" / "deep" / "recipe.txt").write_text("Knead the dough of rye for ten minutes at least. Salt.")
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    done = run("eval", "own", "mine", cwd=tmp_path, RAG_BACKEND="reference")
    assert done.returncode == SUCCESS, done.stderr
    assert "photo.jpg is left out: type not supported: image/jpeg" in done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["sentence"] == ["2", "100.0%", "100.0%"]
    assert rows["identifier"] == ["1", "100.0%", "100.0%"]
    assert "\n0 leaks\n" in done.stdout
