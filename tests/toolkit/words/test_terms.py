"""Terms as numbers, BM25 as an inner product, and questions."""

import pytest

from context_chat_backend.toolkit.indexing.words.languages import stemmer
from context_chat_backend.toolkit.indexing.words.terms import (
    DIMENSIONS,
    MOST_TERMS,
    QUESTION_CHARS,
    SLIGHT,
    Question,
    Words,
    chunk_words,
    question_of,
    term,
)

ENGLISH = {"en": 100}
SENTENCE = "The gardener waters the roses in the morning because it is cooler then."


def of(text: str, title: str = "", heading: str = "") -> Words:
    return chunk_words(title, heading, text)


@pytest.mark.parametrize("token", ["", "a", "#0815", "~begin", "<end", "=name", "@2024-01", "文字", "x" * 1000])
def test_a_term_is_a_number_that_pgvector_can_take(token: str) -> None:
    assert 1 <= term(token) <= DIMENSIONS
    assert term(token) == term(token)


def test_numbers_of_terms_never_change() -> None:
    assert term("rose") == 587067637
    assert term("#re20240815") == 828275679


def test_terms_are_in_ascending_order_and_weights_between_0_and_1() -> None:
    for weights in (of(SENTENCE).weights, question_of(SENTENCE, ENGLISH).terms):
        assert list(weights) == sorted(weights)
    assert all(0 < weight < 1 for weight in of(SENTENCE).weights.values())


def test_what_occurs_more_often_weighs_more_and_in_a_longer_text_less() -> None:
    once, twice = of(f"{SENTENCE} tulip"), of(f"{SENTENCE} tulip tulip")
    longer = of(f"{SENTENCE * 20} tulip")
    tulip = term("tulip")
    assert longer.weights[tulip] < once.weights[tulip] < twice.weights[tulip]


@pytest.mark.parametrize("words", [of("tulip"), of(SENTENCE, title="tulip"), of(SENTENCE, heading="tulip")])
def test_text_title_and_heading_are_all_searched(words: Words) -> None:
    assert term("tulip") in words.weights


def test_a_short_text_is_in_the_language_of_the_one_before() -> None:
    assert chunk_words("", "", "ok", language="de").language == "de"
    assert chunk_words("", "", SENTENCE, language="de").language == "en"
    assert chunk_words("", "", "ok").language == ""


def worth(question: Question, word: str) -> float:
    return question.terms.get(term(word), 0)


def test_a_question_costs_no_more_for_characters_that_stand_for_many() -> None:
    assert len(question_of("\ufdfa" * 10_000, {}).terms) < QUESTION_CHARS


@pytest.mark.parametrize(
    ("text", "vague"),
    [
        ("What?", True),
        ("What is it about?", True),
        ("Was ist das?", True),
        ("", True),
        ("What is the budget?", False),
        ("2027?", False),
        ("Was ist das Budget?", False),
    ],
)
def test_a_question_of_stop_words_is_vague(text: str, vague: bool) -> None:
    assert question_of(text, {"en": 1, "de": 1}).vague is vague


def test_stop_words_of_a_question_are_worth_little() -> None:
    question = question_of("where is the rose and the tulip", ENGLISH)
    assert worth(question, "tulip") == 1
    assert worth(question, "the") == 2 * SLIGHT


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Could you tell me who sent the invoice RE-2024-0815 and when?", {"#re20240815", "#20240815", "#0815"}),
        ("what happened in 2024", set()),
        ("the tulip", {"tulip"}),
        ("the red tulip", set()),
        ("find report_final.pdf", {"#reportfinalpdf"}),
        ("on 17.03.2024?", {"@2024-03-17", "#17032024"}),
        ("", set()),
    ],
)
def test_what_shows_which_text_is_meant(text: str, tokens: set[str]) -> None:
    question = question_of(text, ENGLISH)
    possible = {term(token) for token in tokens}
    assert possible <= set(question.distinctive)
    assert set(question.distinctive) <= set(question.terms)
    if not tokens:
        assert not {term(token) for token in ("#2024", "red", "tulip")} & set(question.distinctive)


def test_the_rest_of_an_endless_question_is_left_out() -> None:
    filler = "word " * (QUESTION_CHARS // 5)
    assert worth(question_of(f"{filler} tulip", ENGLISH), "tulip") == 0
    assert len(question_of("4711-12 " * 100_000, ENGLISH).terms) < 10_000


@pytest.mark.parametrize("text", ["\ud800", "\0", "a\udfffb", "x" * 100_000, "\u0301" * 10_000])
def test_odd_texts_and_questions_have_terms_of_numbers_only(text: str) -> None:
    for weights in (of(text, text, text).weights, question_of(text, {}).terms):
        assert all(1 <= number <= DIMENSIONS for number in weights)


def test_a_name_is_found_in_the_form_that_it_has_in_each_language_of_the_texts() -> None:
    """Snowball takes the last letter of a name for an ending in one language, and not in another."""
    in_english, in_german = chunk_words("", "", "x", language="en"), chunk_words("", "", "x", language="de")
    assert in_english.weights == in_german.weights
    stems = {language: stemmer(language)(["gurvellunfos"])[0] for language in ("en", "de")}
    assert stems["en"] != stems["de"]
    for language in ("en", "de"):
        asked = question_of("gurvellunfos", {language: 9, ({"en", "de"} - {language}).pop(): 5})
        assert {term(stem) for stem in stems.values()} <= asked.terms.keys()
    assert term(stems["de"]) not in question_of("Where is gurvellunfos now?", {"en": 99, "de": 1}).terms


def test_no_text_has_more_terms_than_a_vector_can_hold() -> None:
    """A word-piece model takes an endless word for one token, so a chunk may have as many characters as it likes."""
    text = " ".join("-".join(f"{number:x}{part}" for part in range(8)) for number in range(3000))
    assert len(chunk_words("a" * 100_000, "", text).weights) <= MOST_TERMS
    assert len(question_of(text, ENGLISH).terms) <= MOST_TERMS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Where is invoice RE-2024-0815?", ["#re20240815"]),
        ("what about 4711 and lebenslauf_final_v2.txt", ["#4711", "#lebenslauffinalv2txt"]),
        ("the meeting on 15.08.2024", ["@2024-08-15"]),
        ("what changed in 2024 for 12 people?", []),
        ("Whales", []),
    ],
)
def test_what_a_question_names_is_what_was_typed_and_no_part_of_it(text: str, named: list[str]) -> None:
    asked = question_of(text, ENGLISH)
    assert asked.named == {term(token) for token in named}
    assert asked.named <= asked.typed.keys()
