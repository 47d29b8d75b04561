"""Numbers, codes, addresses and names, and what people type for them."""

import itertools
import random

import pytest

from context_chat_backend.toolkit.indexing.words.identifiers import (
    LONGEST,
    Compound,
    compounds,
    is_distinctive,
    name,
    names,
    separated,
    windows,
)
from context_chat_backend.toolkit.indexing.words.tokens import question_tokens, text_tokens

SEPARATORS = ("-", "/", ".", "_", " ", "", "\u2013", ":", "\\", "\u2010")


def stored(text: str) -> set[str]:
    """What a text with this in it is found by."""
    found = compounds(text)
    return {*separated(found), *itertools.chain.from_iterable(each.identifiers() for each in found)}


def asked(text: str) -> set[str]:
    found = compounds(text)
    return {*windows(found), *stored(text)}


def whole(groups: tuple[str, ...]) -> str:
    return "#" + "".join(groups).lower()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("RE-2024-0815", [("re", "2024", "0815")]),
        ("(see: a_b.c)", [("see",), ("a", "b", "c")]),
        ("x <tag> List<Order>", [("x",), ("tag",), ("list",), ("order",)]),
        ("getUserName", [("get", "user", "name")]),
        ("AB12CD", [("ab", "12", "cd")]),
        ("e-mail, don't", [("e", "mail"), ("don", "t")]),
        ("1.234,56 €", [("1", "234", "56")]),
        ("a--b a----b", [("a", "b"), ("a",), ("b",)]),
        ("第3章", [("第",), ("3",), ("章",)]),
        ("हिन्दी", [("हिन्दी",)]),
        ("...", []),
        ("", []),
    ],
)
def test_a_text_is_taken_apart(text: str, parts: list[tuple[str, ...]]) -> None:
    assert [compound.parts for compound in compounds(text)] == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("house", ["house"]),
        ("e-mail", ["e", "mail", "email"]),
        ("RE-2024", ["re"]),
        ("a/b/c/d", ["a", "b", "c", "d"]),
        ("https://example.org/wordInside", ["https", "example", "org", "word", "inside"]),
    ],
)
def test_words_inside_are_words(text: str, words: list[str]) -> None:
    assert [word for compound in compounds(text) for word in compound.words] == words


def test_all_that_may_be_typed_for_an_identifier() -> None:
    assert stored("RE-2024-0815") == {"#re20240815", "#re2024", "#20240815", "#2024", "#0815"}
    assert stored("house") == set()
    assert stored("DE89 3704 0044 0532 0130 00") >= {"#de89370400440532013000", "#3704"}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("written", SEPARATORS)
def test_an_identifier_is_found_with_whatever_separators_it_is_typed(written: str, seed: int) -> None:
    rng = random.Random(seed)
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(rng.randrange(1, 4)))
    groups = (letters, *(f"{rng.randrange(1, 10 ** rng.randrange(2, 5)):03}" for _ in range(rng.randrange(1, 4))))
    text = stored(f"Our reference is {written.join(groups)}, please quote it.")
    for typed in SEPARATORS:
        question = asked(f"where is {typed.join(groups)} now?")
        assert whole(groups) in text & question, (written, typed, groups)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("0301 234 567", "0301234567"),
        ("+49 30 1234567", "030 1234567"),
        ("+49 30 123 45 67", "(030) 1234567 or 030/1234567"),
        ("030 1234567", "+49 30 1234567"),
        ("0049 30 1234567", "030/1234567"),
        ("1.234,56", "1,234.56"),
        ("1,234.56", "1234.56"),
        ("1234.56", "1 234,56"),
        ("1\u2019234.56", "1.234,56"),
        ("1.234,00", "1234"),
        ("Übersicht_2", "uebersicht 2"),
        ("Lukács-17", "LUKACS17"),
    ],
)
def test_numbers_have_several_spellings(text: str, question: str) -> None:
    common = stored(text) & asked(question)
    assert any(len(token) > len("#234") for token in common), (stored(text), asked(question))


@pytest.mark.parametrize(
    ("token", "distinctive"),
    [
        ("#0815", True),
        ("#re2024", False),
        ("#re20240815", True),
        ("#2024", False),
        ("#123", False),
        ("#v3", False),
        ("#ab123", True),
        ("=budget2027", True),
    ],
)
def test_what_shows_which_text_is_meant(token: str, distinctive: bool) -> None:
    assert is_distinctive(token) is distinctive


@pytest.mark.parametrize(
    ("written", "is_address"),
    [
        ("report.pdf", True),
        ("final_v3.txt", True),
        ("ann@example.org", True),
        ("user_name", True),
        ("example.org", True),
        ("e-mail", False),
        ("1.5", False),
        ("house", False),
        ("z.B", False),
    ],
)
def test_addresses(written: str, is_address: bool) -> None:
    (compound,) = compounds(written)
    assert compound.is_address is is_address


@pytest.mark.parametrize(
    ("title", "token"),
    [
        ("files/Documents/Budget 2027.csv", "=budget2027"),
        ("Budget 2027", "=budget2027"),
        ("files/a.b/Quarterly Report.final.docx", "=quarterlyreportfinal"),
        ("C:\\Users\\ann\\my notes.txt", "=mynotes"),
        ("Übergabe Köln.txt", "=ubergabekoln"),
        ("files/contract.txt", None),
        ("", None),
        ("/", None),
        (" ".join(["long"] * 50), None),
        ("x" * LONGEST + " y", None),
    ],
)
def test_the_name_of_a_document(title: str, token: str | None) -> None:
    assert list(name(title)) == ([token] if token else [])


@pytest.mark.parametrize(
    "typed", ["plan.html", "B/plan.html", "c/B/plan.html", "Files/A/c/b/PLAN.html", "What does plan.html say?"]
)
@pytest.mark.parametrize("title", ["files/a/c/B/plan.html", "files\\a\\c\\b\\plan.html", "/Files/A/C/b//Plan.HTML"])
def test_a_document_in_folders_is_found_by_its_path_or_the_end_of_that(title: str, typed: str) -> None:
    asked = question_tokens(typed, "en")
    assert asked.named
    assert set(asked.named) <= set(text_tokens(title, "", "en").identifiers)


@pytest.mark.parametrize("typed", ["plan.htm", "a/plan.html", "other/plan.html"])
def test_nor_by_another(typed: str) -> None:
    asked = question_tokens(typed, "en")
    assert not set(asked.named) <= set(text_tokens("files/a/c/B/plan.html", "", "en").identifiers)


@pytest.mark.parametrize(
    "question",
    [
        "budget 2027",
        "find the file Budget 2027.csv",
        "where is budget_2027?",
        "Wo ist Budget-2027 von Ann?",
        "files/Documents/Budget 2027.csv",
    ],
)
def test_a_name_is_found_in_a_question(question: str) -> None:
    assert "=budget2027" in set(names(compounds(question), frozenset()))


def test_words_that_say_nothing_are_no_name() -> None:
    stop_words = frozenset({"to", "do", "what", "is"})
    assert "=todo" not in set(names(compounds("what is to do today"), stop_words))
    assert "=todotoday" not in set(names(compounds("what is to do today"), stop_words))
    assert "=todobuyfreshmilk" in set(names(compounds("to do buy fresh milk"), stop_words))


def test_a_phrase_of_two_words_is_no_name() -> None:
    assert not set(names(compounds("what is information science"), frozenset({"what", "is"})))


def test_parts_of_a_date_are_no_identifiers() -> None:
    assert stored("17.03.2024") == {"#17032024"}
    assert stored("Protokoll-2024-05-17.txt") >= {"#protokoll20240517txt", "#20240517"}


def test_a_blank_joins_numbers_and_a_line_does_not() -> None:
    assert "#12345678" in stored("1234 5678")
    assert "#12345678" not in stored("1234\n5678")
    assert "#12345678" not in stored("1234 and 5678")


def test_a_question_of_many_numbers_has_few_tokens() -> None:
    numbers = " ".join(map(str, range(1000, 3000)))
    assert len(asked(numbers)) < 15 * 2000


def test_encoded_data_has_few_tokens() -> None:
    rng = random.Random(1)
    blob = "".join(rng.choice("ABCDEFabcdef0123456789") for _ in range(20_000))
    assert len(stored(blob)) < len(blob) / 2
    assert max(map(len, stored(blob)), default=0) <= LONGEST + 1


def test_a_compound_knows_whether_a_blank_is_before_it() -> None:
    found = compounds("a b, c  d")
    assert [compound.follows for compound in found] == [False, True, False, False]
    assert isinstance(found[0], Compound)
