"""Sets are read as they are published, and what is wrong in one is found."""

import gzip
import json
from pathlib import Path

import pytest

from context_chat_backend.cli.evaluation.access import EVERYTHING, NOTHING, access_lists
from context_chat_backend.cli.evaluation.collection import Document, Question, cut, read_collection, sample
from context_chat_backend.contract import Misconfigured

from .sets import DOCUMENTS, QUESTIONS, lines, small_set


def test_the_layout_of_beir_is_read(tmp_path: Path) -> None:
    collection = read_collection(small_set(tmp_path / "small"))
    assert collection.name == "small"
    assert collection.documents["bread"] == Document("bread", "Bread", "Bread is baked from flour and water.", 2)
    assert [dict(question.grades) for question in collection.questions] == [{"whale": 2, "shark": 1}, {"bread": 1}]
    assert collection.questions[1].answer == "Bread is baked from flour."


def test_files_may_be_compressed_and_have_splits(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as file:
        file.write('{"id": 7, "text": "seven"}\n\n{"id": 8, "text": "eight"}\n')
    (tmp_path / "queries.jsonl").write_text('{"id": "a", "text": "7?"}\n')
    (tmp_path / "queries_train.jsonl").write_text('{"id": "b", "text": "8?"}\n{"id": "c", "text": "9?"}\n')
    (tmp_path / "qrels.tsv").write_text("query\tdoc\tgrade\na\t7\t1\n")
    (tmp_path / "qrels_train.tsv").write_text("query\tdoc\tgrade\nb\t8\t1\nb\t7\t0\nc\t7\t0\n")
    assert [question.id for question in read_collection(tmp_path).judged] == ["a"]
    train = read_collection(tmp_path, "train")
    assert [(question.id, dict(question.grades)) for question in train.judged] == [("b", {"8": 1})]
    with pytest.raises(Misconfigured, match=r"--split dev needs a file qrels_dev\.tsv or qrels/dev\.tsv"):
        read_collection(tmp_path, "dev")


def test_questions_may_name_their_evidence(tmp_path: Path) -> None:
    """As those of MultiHop-RAG do."""
    corpus = [{"url": f"https://news.example/{name}", "title": name, "body": f"About {name}."} for name in "abc"]
    both = [{"url": corpus[0]["url"], "fact": "x"}, {"url": corpus[2]["url"], "fact": "y"}, {"title": "c"}]
    questions = [
        {"query": "a and c?", "answer": "Yes", "question_type": "comparison_query", "evidence_list": both},
        {"question": "d?", "answer": "Insufficient information.", "question_type": "null_query", "evidence_list": []},
    ]
    (tmp_path / "corpus.json").write_text(json.dumps(corpus))
    (tmp_path / "MultiHopRAG.json").write_text(json.dumps(questions))
    collection = read_collection(tmp_path)
    (question,) = collection.judged
    assert question.id == "1"
    assert question.kind == "comparison_query"
    assert question.grades == {"https://news.example/a": 1, "https://news.example/c": 1}
    assert [each.answer for each in collection.questions] == ["Yes", "Insufficient information."]
    assert collection.documents["https://news.example/b"].text == "About b."


def test_evidence_that_is_missing_is_told(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "small")
    (folder / "qrels" / "test.tsv").unlink()
    question = {"text": "?", "evidence_list": [{"url": "whale"}, {"url": "giraffe"}]}
    (folder / "queries.jsonl").write_text(lines([QUESTIONS[0], question]))
    collection = read_collection(folder)
    assert [dict(each.grades) for each in collection.judged] == [{"whale": 1}]
    assert [Path(place).name for place in collection.unknown] == ["queries.jsonl:2"]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "b"\n', r"corpus\.jsonl:2: not JSON"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n\n{"_id": "b"}\n', r"corpus\.jsonl:3: text: Field required"),
        ("corpus.jsonl", '{"text": "x"}\n', r"corpus\.jsonl:1: _id: Field required"),
        ("corpus.jsonl", '["a", "x"]\n', r"corpus\.jsonl:1: Input should be"),
        ("corpus.jsonl", lines([*DOCUMENTS, DOCUMENTS[0]]), r"corpus\.jsonl:5: there is a document 'whale' already"),
        ("corpus.jsonl", "", r"corpus\.jsonl: no documents"),
        ("queries.jsonl", '{"_id": "1", "text": " "}\n', r"queries\.jsonl:1: text: "),
        ("queries.jsonl", lines([*QUESTIONS, QUESTIONS[1]]), r"queries\.jsonl:3: there is a question '2' already"),
        ("qrels/test.tsv", "1\twhale\t1\n1 shark 1\n", r"test\.tsv:2: expected question, document and grade"),
        ("qrels/test.tsv", "q\td\tg\n1\twhale\tgood\n", r"test\.tsv:2: the grade is no whole number"),
        ("qrels/test.tsv", "1\twhale\t1\n1\twhale\t2\n", r"test\.tsv:2: this document was given another grade"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, file: str, text: str, expected: str) -> None:
    folder = small_set(tmp_path / "small")
    (folder / file).write_text(text)
    with pytest.raises(Misconfigured, match=expected):
        read_collection(folder)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "small")
    (folder / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "\xff"}\n')
    with pytest.raises(Misconfigured, match=r"corpus\.jsonl cannot be read"):
        read_collection(folder)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(b"not compressed")
    with pytest.raises(Misconfigured, match=r"corpus\.jsonl\.gz cannot be read"):
        read_collection(folder)


def test_judgements_of_what_is_missing_are_left_out_and_told(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "small")
    (folder / "qrels" / "test.tsv").write_text("1\twhale\t1\n1\tgiraffe\t1\n9\twhale\t1\n")
    collection = read_collection(folder)
    assert [question.id for question in collection.judged] == ["1"]
    assert [Path(place).name for place in collection.unknown] == ["test.tsv:2", "test.tsv:3"]


def test_a_set_without_judgements_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "small")
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(Misconfigured, match="no qrels file"):
        read_collection(folder)


# ---------------------------------------------------------------------- chance

MANY = {str(number): Document(str(number), "", "x", number) for number in range(1, 401)}
ASKED = [Question(str(number), "?", grades={str(number): 1, str(number + 200): 1}) for number in range(1, 101)]


def test_a_sample_is_always_the_same_and_a_larger_one_holds_it() -> None:
    ten, twenty = sample(ASKED, 10), sample(ASKED, 20)
    assert len(ten) == 10
    assert ten == sample(ASKED, 10) != ASKED[:10]
    assert {question.id for question in ten} < {question.id for question in twenty}


def test_what_is_relevant_survives_a_cut() -> None:
    kept = cut(MANY, ASKED[:5], 50)
    assert len(kept) == 50
    assert kept == cut(MANY, ASKED[:5], 50)
    assert {id_ for question in ASKED[:5] for id_ in question.grades} < {document.id for document in kept}
    assert len(cut(MANY, ASKED, 50)) == 200


def test_whoever_asks_may_read_what_is_relevant_and_not_everything() -> None:
    access = access_lists(MANY.values(), ASKED, 0.3)
    assert all(access.may_read(access.asker(question), document) for question in ASKED for document in question.grades)
    for reader in access.names:
        readable = sum(access.may_read(reader, document) for document in MANY)
        assert 0.25 < readable / len(MANY) < 0.5
    assert all(access.may_read(EVERYTHING, document) for document in MANY)
    assert not any(access.may_read(NOTHING, document) for document in MANY)
    assert not access.may_read(EVERYTHING, "files__default: 1")
    assert access == access_lists(MANY.values(), ASKED, 0.3)
