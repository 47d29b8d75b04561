"""What texts are found by, and what questions look for, in every language and for every Unicode."""

import random
import time
from collections.abc import Callable

import pytest

from context_chat_backend.toolkit.indexing.words.languages import LANGUAGES, UNKNOWN
from context_chat_backend.toolkit.indexing.words.tokens import Tokens, question_tokens, text_tokens


def of_text(text: str, language: str = "en", title: str = "") -> Tokens:
    return text_tokens(title, text, language)


def all_of(tokens: Tokens) -> set[str]:
    return {*tokens.words, *tokens.slight, *tokens.identifiers}


def test_words_are_found_by_stem_and_beginning() -> None:
    tokens = of_text("The meetings were postponed")
    assert tokens.words == ["meet", "postpon", "~meetin", "~postpo"]
    assert tokens.slight == ["the", "were"]
    assert tokens.identifiers == []


def test_a_word_counts_as_often_as_it_occurs_and_an_identifier_once() -> None:
    tokens = of_text("tea tea tea 4711 4711")
    assert tokens.words.count("tea") == 3
    assert tokens.identifiers.count("#4711") == 1


@pytest.mark.parametrize(
    ("text", "question", "language"),
    [
        ("Die Betriebshaftpflichtversicherung zahlt.", "Versicherung", "de"),
        ("Zur Mitgliederversammlung", "Versammlungen", "de"),
        ("Das Sommerfest des Kindergartens", "Garten", "de"),
        ("Dienstreisen", "Reise", "de"),
        ("de zorgverzekering", "verzekering", "nl"),
        ("请把雨伞放在门口", "伞", "zh"),
        ("玄関に傘を置いた", "傘", "ja"),
        ("이 가게의 빵은", "빵", "ko"),
        ("도서관은 월요일에", "도서관", "ko"),
        ("ปิดห้องสมุดวันจันทร์", "ห้องสมุด", "th"),
        ("لم يستلم الفاتورة", "فاتورة", "ar"),
        ("הספרייה סגורה", "ספרייה", "he"),
        ("पुस्तकालय बंद है", "पुस्तकालय", "hi"),
        ("List<Lieferschein>", "lieferschein", "de"),
        ("<serverschluessel>", "Serverschlüssel", "de"),
        ("https://example.org/preise/uebersicht?id=1", "Übersicht", "de"),
        ("HOUSE", "house", "en"),
        ("ﬁle", "file", "en"),
        ("Mu\u0308lfeld", "Muelfeld", "de"),
        ("Mül\u00adfeld", "Mulfeld", "de"),
    ],
)
def test_a_word_is_found_in_another_form(text: str, question: str, language: str) -> None:
    assert all_of(of_text(text, language)) & all_of(question_tokens(question, language))


@pytest.mark.parametrize(
    ("text", "question", "language"),
    [
        ("house", "mouse", "en"),
        ("the", "a", "en"),
        ("RE-2024-0801", "0802", "en"),
        ("雨伞", "图书", "zh"),
        ("12", "120", "en"),
        ("Garten", "Karten", "de"),
    ],
)
def test_other_words_are_not(text: str, question: str, language: str) -> None:
    assert not all_of(of_text(text, language)) & all_of(question_tokens(question, language))


def test_only_languages_that_write_words_together_have_endings() -> None:
    assert any(token.startswith("<") for token in of_text("Haftpflichtversicherung", "de").slight)
    assert not any(token.startswith("<") for token in of_text("counterrevolution", "en").slight)


def test_a_name_of_a_document_is_distinctive_where_it_is_asked_for() -> None:
    text = of_text("nothing of it", title="files/Documents/Q3 report draft.txt")
    question = question_tokens("please open q3 report draft for me", "en")
    assert set(text.distinctive) & set(question.distinctive) == {"=q3reportdraft"}


def test_what_is_distinctive_comes_longest_first() -> None:
    assert question_tokens("RE-2024-0815", "en").distinctive == ["#re20240815", "#20240815", "#0815"] or (
        question_tokens("RE-2024-0815", "en").distinctive[0] == "=re20240815"
    )


ODD = [
    "",
    "\0",
    "\ud800",
    "a\udfffb \ud800\udc00",
    "x" * 100_000,
    "ü" * 100_000,
    "1" * 100_000,
    "a1" * 50_000,
    "a-" * 50_000,
    "文" * 100_000,
    "ก" * 100_000,
    "e" + "\u0301" * 10_000,
    "क" + "\u094d" * 10_000,
    "\u0301" * 10_000,
    "\u200b" * 10_000,
    "שלום עליכם \u202e RE-2024-0815 \u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 e\u20e3",
    "\U0010ffff\U000e0001",
    "\ufdfa" * 1_000,
    "ﷺ ½ ㎏ ① Ⅷ ﬃ",
    "\n\r\t\v\f\x85\u2028\u2029",
    "<" * 10_000,
    "@" * 10_000 + "a.b",
]


@pytest.mark.parametrize("language", ["en", "de", "he", "ar", UNKNOWN])
@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_no_text_is_too_odd(text: str, language: str) -> None:
    for tokens in (of_text(text, language, title=text), question_tokens(text[:10_000], language)):
        assert "" not in all_of(tokens)


@pytest.mark.parametrize("language", sorted({*LANGUAGES, UNKNOWN}))
def test_random_unicode_has_tokens_in_every_language(language: str) -> None:
    rng = random.Random(language)
    planes = (range(0x20, 0x2FF), range(0x300, 0x3000), range(0x3000, 0xE000), range(0x10000, 0x1F000))
    for _ in range(20):
        text = "".join(chr(rng.choice(rng.choice(planes))) if rng.random() < 0.8 else " " for _ in range(300))
        of_text(text, language)
        question_tokens(text, language)


@pytest.mark.parametrize("seed", range(10))
def test_every_word_of_a_text_is_found_by_itself(seed: int) -> None:
    rng = random.Random(seed)
    alphabet = "abcdefghiklmnoprstuwäöüßéñç"
    words = ["".join(rng.choice(alphabet) for _ in range(rng.randrange(2, 15))) for _ in range(50)]
    for language in ("de", "en", "fr", UNKNOWN):
        stored = all_of(of_text(" ".join(words), language))
        for word in words:
            assert all_of(question_tokens(word, language)) & stored, word


GROWING: dict[str, Callable[[int], str]] = {
    "words": lambda n: "Some ordinary words with Ümläuts. " * n,
    "numbers": lambda n: "12.345,67 RE-2024-0815 12.3.2024 " * n,
    "one word": lambda n: "abcdefgh" * 4 * n,
    "one number": lambda n: "12345678" * 4 * n,
    "hyphens": lambda n: "ab-" * 10 * n,
    "dots": lambda n: "a.b@c_" * 5 * n,
    "marks": lambda n: "a" + "\u0301" * 30 * n,
    "no blanks": lambda n: "文字没有空格的文本" * 4 * n,
    "months": lambda n: "march april 2024 de 12 " * n,
    "years": lambda n: "2024 " * 6 * n,
    "at signs": lambda n: "a@" * 15 * n,
}


@pytest.mark.parametrize("kind", GROWING)
@pytest.mark.parametrize("tokens", [lambda text: text_tokens("", text, "de"), lambda text: question_tokens(text, "de")])
def test_time_grows_with_the_text_only(kind: str, tokens: Callable[[str], Tokens]) -> None:
    def seconds(count: int) -> float:
        text = GROWING[kind](count)
        start = time.process_time()
        tokens(text)
        return time.process_time() - start

    seconds(50)
    less = min(seconds(200) for _ in range(3))
    more = min(seconds(800) for _ in range(2))
    assert more < 4 * 3 * less + 0.01
