"""Every property is tried with both models that are shipped, and with characters."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tokenizers import Tokenizer

from context_chat_backend.toolkit.indexing.embed.shipped import e5, minilm
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.indexing.split import MAX_CHARS_PER_TOKEN, Chunk, Splitter

CAPACITY = 254
CHARS = 1000

ENGLISH = (
    "The harbour of Valparaíso was silent. Nobody had seen the grey ship come in.\nIt carried tea, salt; no news.\n\n"
)
CHINESE = "維基大典集天下知識於一爐眾人皆可編纂。春眠不覺曉處處聞啼鳥。\n"
CODE = "def area(width: int) -> int:\n    return width * 2  # twice\n\n\n"
MARKDOWN = (
    "# Harbour\n\nShips *come* and [go](https://example.org).\n\n## Tea\n\n- black\n- green\n\n"
    "| sort | price |\n|------|-------|\n| oolong | 12 |\n\n```python\nprint('tea')\n```\n\n"
)

TEXTS = {
    "english": ENGLISH * 300,
    "chinese": CHINESE * 600,
    "code": CODE * 300,
    "markdown": MARKDOWN * 150,
    "one line": ENGLISH.replace("\n", " ") * 300,
    "no blank": "x" * 50_000,
    "hex": random.Random(1).randbytes(20_000).hex(),
    "emoji": "👩‍👩‍👧😀🇨🇱" * 2_000,
    "long words": ("w" * 5_000 + " ") * 8,
    "punctuation": "!?" * 5_000,
    "blank lines": "a" + "\n" * 50_000 + "b",
    "gaps": ("a" + "\n" * 90 + " \n" * 200) * 100,
    "short": "one",
    "thai": "วาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุดเท่าที่เคยมีมา " * 300,
    "thai without blanks": "วาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุด" * 300,
    "japanese": "シロナガスクジラは史上最大の動物である。「大きい！」と言った。" * 400,
    "accents": ("e\u0301" * 30 + " ") * 300,
    "invisible": "a\u200b" * 5_000,
    "control characters": "\0\x01w\x07 " * 3_000,
    "open code": "```\n~~~\n" * 3_000,
    "quotes": "> a\n>> b\nc\n" * 3_000,
}


@pytest.fixture(scope="module", params=["minilm", "e5"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return (minilm if request.param == "minilm" else e5)().tokenizer()


@pytest.fixture(scope="module")
def by_tokens(tokenizer: Tokenizer) -> Splitter:
    return Splitter(CAPACITY, tokenizer)


@pytest.fixture(scope="module")
def by_characters() -> Splitter:
    return Splitter(CHARS)


@pytest.fixture(scope="module", params=["tokens", "characters"])
def splitter(request: pytest.FixtureRequest, by_tokens: Splitter) -> Splitter:
    return by_tokens if request.param == "tokens" else Splitter(CHARS)


def without_blanks(text: str) -> str:
    return "".join(text.split())


def texts(splitter: Splitter, *sections: Section | str, title: str = "") -> list[str]:
    given = [Section(section) if isinstance(section, str) else section for section in sections]
    return [chunk.text for chunk in splitter.split(given, title)]


def tokens(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize("name", TEXTS)
def test_chunks_in_order_hold_every_character_but_blanks(splitter: Splitter, name: str) -> None:
    chunks = list(splitter.split([Section(TEXTS[name])]))
    assert without_blanks("".join(chunk.text for chunk in chunks)) == without_blanks(TEXTS[name])
    assert all(chunk.text and chunk.text == chunk.text.strip() for chunk in chunks)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))


@pytest.mark.parametrize("name", TEXTS)
def test_no_chunk_has_more_characters_than_the_capacity(by_characters: Splitter, name: str) -> None:
    chunks = by_characters.split([Section(TEXTS[name], ("Tea",) * 3)], "files/A name.pdf")
    assert max(len(by_characters.embedded(chunk)) for chunk in chunks) <= CHARS


@pytest.mark.parametrize("name", TEXTS)
def test_the_model_reads_every_chunk_to_its_end(by_tokens: Splitter, tokenizer: Tokenizer, name: str) -> None:
    chunks = list(by_tokens.split([Section(TEXTS[name], ("Outer", "Inner"))], "files/A name.pdf"))
    assert max(tokens(tokenizer, by_tokens.embedded(chunk)) for chunk in chunks) <= CAPACITY
    assert max(len(chunk.text) for chunk in chunks) <= CAPACITY * MAX_CHARS_PER_TOKEN


@pytest.mark.parametrize("name", ["english", "chinese", "japanese", "one line"])
def test_chunks_are_at_least_half_full(by_tokens: Splitter, tokenizer: Tokenizer, name: str) -> None:
    sizes = [tokens(tokenizer, text) for text in texts(by_tokens, TEXTS[name])]
    assert min(sizes[:-1]) >= CAPACITY // 2 - 2
    assert sum(sizes) / len(sizes) > 0.7 * CAPACITY


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_blank_text_has_no_chunks(splitter: Splitter, text: str) -> None:
    assert texts(splitter, text) == []
    assert texts(splitter, text, text) == []


def test_a_capacity_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        Splitter(7)


def test_threads_may_share_a_splitter(splitter: Splitter) -> None:
    expected = texts(splitter, TEXTS["english"])
    with ThreadPoolExecutor(4) as pool:
        assert all(result == expected for result in pool.map(lambda _: texts(splitter, TEXTS["english"]), range(8)))


PARTS = [
    "the ",
    "whale ",
    "12.5 ",
    ". ",
    "\n",
    "\n\n",
    "鲸",
    "。",
    "ไทย",
    "😀",
    "e\u0301",
    "ﬁ",
    "\u200b",
    "\x01",
    "> ",
    "```\n",
]


def random_text(rng: random.Random, parts: int) -> str:
    return "".join(rng.choices(PARTS, k=rng.randint(1, parts)))


def random_sections(rng: random.Random) -> list[Section]:
    texts = [random_text(rng, rng.choice([5, 50, 3000])) for _ in range(12)]
    return [
        Section(
            text,
            tuple(f"h {random_text(rng, 8)}" for _ in range(rng.randint(0, 3))) if rng.random() < 0.7 else ("A", "B"),
            " ".join(random_text(rng, 100).split()) if rng.random() < 0.3 else "",
        )
        for text in texts
        if text.strip()
    ]


@pytest.mark.parametrize("seed", range(30))
def test_random_documents_are_whole_and_read_to_their_end(tokenizer: Tokenizer, seed: int) -> None:
    rng = random.Random(seed)
    sections, capacity = random_sections(rng), rng.choice([40, 100, 254])
    splitter = Splitter(capacity, tokenizer)
    chunks = list(splitter.split(sections, f"files/{random_text(rng, 20)}.txt"))
    assert all(tokens(tokenizer, splitter.embedded(chunk)) <= capacity for chunk in chunks)
    missing = Counter("".join(section.text for section in sections)) - Counter("".join(chunk.text for chunk in chunks))
    assert all(character.isspace() for character in missing)


# ---------------------------------------------------------------------- boundaries


def test_paragraphs_come_before_sentences_and_those_before_lines_and_words() -> None:
    splitter = Splitter(40)
    assert texts(splitter, "One two three.\nFour five.\n\nSix seven eight. Nine ten eleven.") == [
        "One two three.\nFour five.",
        "Six seven eight. Nine ten eleven.",
    ]
    assert texts(splitter, "One two three four five. Six seven\neight nine ten.") == [
        "One two three four five.",
        "Six seven\neight nine ten.",
    ]
    assert texts(splitter, "one two three four five\nsix seven eight nine ten") == [
        "one two three four five",
        "six seven eight nine ten",
    ]
    assert texts(splitter, "one, two three four five six seven eight nine") == [
        "one, two three four five six seven eight",
        "nine",
    ]


def test_a_point_within_a_sentence_does_not_end_it() -> None:
    text = "The whale weighs, e.g. here, no less than 100 tons or so."
    assert texts(Splitter(40), text)[0] == "The whale weighs, e.g. here,"


@pytest.mark.parametrize("mark", ["。", "！", "？", "।", "؟"])
def test_sentences_of_other_scripts_end_without_a_blank(mark: str) -> None:
    sentence = "鲸" * 29 + mark
    assert texts(Splitter(50), sentence * 3) == [sentence] * 3


@pytest.mark.parametrize("sentence", ["Whales are big animals. ", "鲸" * 20 + "。"])
def test_a_sentence_that_ends_at_the_limit_fits(sentence: str) -> None:
    assert texts(Splitter(len(sentence.strip())), sentence * 3) == [sentence.strip()] * 3


def test_a_mark_behind_the_limit_is_no_boundary() -> None:
    assert texts(Splitter(20), "鲸" * 12 + "，" + "鲸" * 7 + "。")[0] == "鲸" * 12 + "，"


def test_thai_is_cut_at_its_blanks(by_tokens: Splitter) -> None:
    sentence = "วาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุด"
    assert {piece for text in texts(by_tokens, f"{sentence} " * 100) for piece in text.split()} == {sentence}


def test_words_stay_whole_also_where_blocks_meet(splitter: Splitter) -> None:
    words = [f"word{number}" for number in range(20_000)]
    assert [word for text in texts(splitter, " ".join(words)) for word in text.split()] == words


def test_code_stays_in_one_piece_where_it_fits() -> None:
    code = "```python\nfirst = 1\n\nsecond = 2\n\nthird = 3\n```"
    for before in range(40, 100, 7):
        chunks = texts(Splitter(100), f"{'x' * before}\n\n{code}\n\n{'y ' * 80}")
        assert sum(code in chunk for chunk in chunks) == 1, before


def test_code_that_does_not_fit_is_cut_at_its_lines() -> None:
    lines = [f"value_{number} = compute({number}, {number})" for number in range(40)]
    chunks = texts(Splitter(200), "\n".join(["```", *lines, "```"]))
    assert [line for chunk in chunks for line in chunk.split("\n")][1:-1] == lines


def test_a_mail_is_cut_where_another_one_is_quoted() -> None:
    answer, question = "Yes. " * 10, "\n".join("> Shall we? " * 3 for _ in range(3))
    older = "\n".join(">> Who? " * 3 for _ in range(3))
    chunks = texts(Splitter(150), f"{answer}\n{question}\n{older}")
    assert chunks == [answer.strip(), question.strip(), older.strip()]


# ---------------------------------------------------------------------- headings and titles


def small(*path: str) -> Section:
    return Section(f"About {path[-1]}.", path)


def test_small_sections_under_one_heading_are_one_chunk_that_names_them(splitter: Splitter) -> None:
    sections = [small("Sea", "Tea"), small("Sea", "Salt"), small("Sea", "Salt", "White")]
    (chunk,) = splitter.split(sections)
    assert chunk == Chunk(0, "Sea", "Tea\nAbout Tea.\n\nSalt\nAbout Salt.\n\nWhite\nAbout White.")


def test_small_chapters_are_one_chunk(splitter: Splitter) -> None:
    (chunk,) = splitter.split([small("Tea"), small("Salt")])
    assert (chunk.heading, chunk.text) == ("", "Tea\nAbout Tea.\n\nSalt\nAbout Salt.")


def test_sections_of_different_chapters_are_not_joined(splitter: Splitter) -> None:
    chunks = list(splitter.split([small("Sea", "Tea"), small("Land", "Hay")]))
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("Sea › Tea", "About Tea."),
        ("Land › Hay", "About Hay."),
    ]


def test_a_large_section_keeps_its_heading_and_its_text(splitter: Splitter) -> None:
    large = "The whale dives deep. " * 30
    chunks = list(splitter.split([small("Sea", "Tea"), Section(large, ("Sea", "Whale")), small("Sea", "Salt")]))
    assert [chunk.heading for chunk in chunks] == ["Sea › Tea", "Sea › Whale", "Sea › Salt"]


def test_pages_under_the_same_heading_are_one_text(splitter: Splitter) -> None:
    pages = [Section(f"Page {number}. {'The whale dives. ' * 5}", ("Sea",)) for number in range(200)]
    chunks = list(splitter.split(pages))
    assert len(chunks) < 120
    assert {chunk.heading for chunk in chunks} == {"Sea"}


def test_many_lines_with_headings_do_not_make_a_chunk_each(splitter: Splitter) -> None:
    sections = [small("Sea", f"Item {number}") for number in range(1000)]
    chunks = list(splitter.split(sections))
    assert len(chunks) < 100
    together = "\n".join(chunk.text for chunk in chunks)
    assert all(f"Item {number}\nAbout Item {number}." in together for number in range(1000))


def test_a_heading_without_end_is_cut_above_the_text_and_whole_in_it(splitter: Splitter) -> None:
    heading = "Whale " * 2_000 + "end"
    chunks = list(splitter.split([Section("Text.", (heading,)), Section("More. " * 400, (heading, "Sub"))]))
    assert all(len(chunk.heading) <= 300 for chunk in chunks)
    assert sum("end" in chunk.text for chunk in chunks) == 1
    assert without_blanks(heading) in without_blanks("".join(chunk.text for chunk in chunks))


def test_of_many_headings_the_innermost_are_shown(splitter: Splitter) -> None:
    headings = [f"Heading {number}" for number in range(100)]
    chunks = list(splitter.split([Section("Text.", tuple(headings)), Section("More. " * 400, tuple(headings))]))
    for chunk in chunks:
        assert chunk.heading.endswith("Heading 98 › Heading 99")
        assert 250 < len(chunk.heading) <= 300
    shown = chunks[0].heading.split(" › ")
    lines = [line for chunk in chunks for line in chunk.text.split("\n") if line.startswith("Heading")]
    assert lines == headings[: -len(shown)]


def test_sections_of_a_thousand_levels_take_no_time(splitter: Splitter) -> None:
    headings = tuple(f"{number} {'whale ' * 20}" for number in range(1000))
    start = time.process_time()
    chunks = list(splitter.split(Section(f"Text {number}.", headings) for number in range(100)))
    chunks += splitter.split(Section(f"Text {number}.", (*headings, f"Heading {number}")) for number in range(100))
    assert time.process_time() - start < 5
    assert sum("Text 99." in chunk.text for chunk in chunks) == 2


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("files/2024/Offer 3.final.docx", "Offer 3.final"),
        ("Re: and/or", "Re: and/or"),
        ("notes", "notes"),
        ("a\nb.txt", "a b"),
        ("x" * 1000 + ".txt", "x" * 100),
        ("", ""),
    ],
)
def test_what_is_embedded_begins_with_the_name_and_the_headings(splitter: Splitter, title: str, shown: str) -> None:
    (chunk,) = splitter.split([Section("About it.", ("Sea", "Tea"))], title)
    assert (chunk.title, chunk.heading, chunk.text) == (title, "Sea › Tea", "About it.")
    assert splitter.embedded(chunk).split("\n") == [*filter(None, [shown]), "Sea › Tea", "About it."]


def test_without_title_and_heading_the_text_is_embedded_as_it_is(splitter: Splitter) -> None:
    assert splitter.embedded(Chunk(0, "", "About it.")) == "About it."


def test_title_and_headings_never_take_more_than_a_fourth(by_tokens: Splitter, tokenizer: Tokenizer) -> None:
    title, heading = "鲸" * 100 + ".txt", ("ß" * 140, "ü" * 140)
    chunks = list(by_tokens.split([Section("the " * 1000, heading)], title))
    assert len(chunks) <= 1000 / (CAPACITY * 3 // 4 - 2) + 1
    assert all(tokens(tokenizer, by_tokens.embedded(chunk)) <= CAPACITY for chunk in chunks)


# ---------------------------------------------------------------------- tables

HEADER = "name\tprice\tweight"


def rows(count: int) -> list[str]:
    return [f"tea {number}\t{number * 3} EUR\t{number} kg" for number in range(count)]


def test_every_chunk_of_a_table_has_whole_rows_under_the_header(splitter: Splitter) -> None:
    lines = rows(500)
    chunks = texts(splitter, Section("\n".join(lines), ("Prices",), HEADER))
    assert len(chunks) > 5
    assert {chunk.split("\n")[0] for chunk in chunks} == {HEADER}
    assert [line for chunk in chunks for line in chunk.split("\n")[1:]] == lines


def test_a_small_table_stays_with_its_neighbours(splitter: Splitter) -> None:
    table = Section("\n".join(rows(2)), ("Prices",), HEADER)
    (chunk,) = splitter.split([Section("As of today:", ("Prices",)), table])
    assert chunk.text == "\n".join(["As of today:", "", HEADER, *rows(2)])


@pytest.mark.parametrize("cells", [1, 5, 20, 60, 400])
@pytest.mark.parametrize("width", [1, 10, 40, 200, 3000])
@pytest.mark.parametrize("separator", ["\t", " | ", ";"])
def test_a_table_is_not_multiplied_and_nothing_of_it_is_lost(
    by_characters: Splitter, cells: int, width: int, separator: str
) -> None:
    header = separator.join(f"column{number}" for number in range(cells))
    lines = [f"r{number}{'v' * width}" for number in range(300)]
    chunks = texts(by_characters, Section("\n".join(lines), (), header))
    assert sum(map(len, chunks)) <= 1.35 * (len(header) + sum(len(line) + 1 for line in lines))
    assert max(map(len, chunks)) <= CHARS
    joined = without_blanks("".join(chunks))
    assert without_blanks(header) in joined
    if width < CHARS // 2:
        assert all(f"\n{line}\n" in f"\n{chunk}\n" for line in lines for chunk in chunks if f"{line[:8]}" in chunk)
    assert joined.count("v") == 300 * width


def test_a_row_that_does_not_fit_is_cut_under_the_header(by_characters: Splitter) -> None:
    chunks = texts(by_characters, Section("word " * 1000, (), "a header"))
    assert all(chunk.startswith("a header\nword") for chunk in chunks)


# ---------------------------------------------------------------------- time

HOSTILE: dict[str, Callable[[int], str]] = {
    "one word": lambda size: "x" * size,
    "emoji": lambda size: "😀" * size,
    "words": lambda size: "word " * (size // 5),
    "line breaks": lambda size: "\n" * size + "x",
    "blanks and line breaks": lambda size: ("x" + "\n" * 9 + " " * 90) * (size // 100),
    "open code": lambda size: "```x\n~~~y\n" * (size // 10),
    "quotes": lambda size: "> a\n>> b\n" * (size // 9),
    "sentences": lambda size: '."' * (size // 2),
}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_with_the_length_only(splitter: Splitter, name: str) -> None:
    """Eight times the text may take at most twelve times as long."""
    shorter, longer = (timed(splitter, HOSTILE[name](size)) for size in (500_000, 4_000_000))
    assert longer < 12 * shorter + 1


def timed(splitter: Splitter, text: str) -> float:
    start = time.perf_counter()
    pieces = texts(splitter, text)
    elapsed = time.perf_counter() - start
    assert without_blanks("".join(pieces)) == without_blanks(text)
    return elapsed


@pytest.mark.slow
@pytest.mark.alone
def test_a_hundred_thousand_sections_take_seconds(splitter: Splitter) -> None:
    start = time.perf_counter()
    same = list(splitter.split(Section(f"line {number}", ("Sea",)) for number in range(100_000)))
    other = list(splitter.split(Section(f"line {number}", ("Sea", f"{number}")) for number in range(100_000)))
    assert time.perf_counter() - start < 120
    assert len(same) < 10_000
    assert len(other) < 20_000
