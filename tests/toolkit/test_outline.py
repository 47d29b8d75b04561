"""What stands under which headings, in all kinds of texts; nothing is lost on the way."""

import sys

import pytest

from context_chat_backend.toolkit.indexing.extract.outline import Block, Heading, Table, as_text, clean, outlined
from context_chat_backend.toolkit.indexing.section import Section

from .documents import EPUB, epub, sections


def test_a_section_stands_under_the_headings_above_it() -> None:
    blocks: list[Block] = [Heading(1, "A"), "one", Heading(2, "B"), "two", "three", Heading(1, "C"), "four"]
    assert list(outlined(blocks)) == [
        Section("one", ("A",)), Section("two\n\nthree", ("A", "B")), Section("four", ("C",))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([Heading(1, "A")], [Section("A")]),
        ([Heading(1, "A"), Heading(1, "B"), "text"], [Section("A"), Section("text", ("B",))]),
        ([Heading(1, "A"), Heading(2, "B")], [Section("B", ("A",))]),
        ([Heading(1, "A"), Heading(2, "B"), Heading(2, "C")], [Section("B\n\nC", ("A",))]),
        ([Heading(1, "A"), " \x00 "], [Section("A")]),
        (["text", Heading(3, "A")], [Section("text\n\nA")]),
    ],
)
def test_a_heading_with_nothing_below_it_is_text(blocks: list[Block], expected: list[Section]) -> None:
    assert list(outlined(blocks)) == expected


def test_a_blank_heading_ends_those_of_its_level() -> None:
    blocks: list[Block] = [Heading(1, "A"), Heading(2, "B"), "one", Heading(2, " "), "two", Heading(1, ""), "three"]
    assert list(outlined(blocks)) == [Section("one", ("A", "B")), Section("two", ("A",)), Section("three")]


def test_a_heading_that_repeats_the_one_above_is_left_out() -> None:
    assert list(outlined([Heading(0, "A"), Heading(1, "A"), "one"])) == [Section("one", ("A",))]


def test_a_very_long_heading_is_text() -> None:
    assert list(outlined([Heading(1, "A" * 300), "one"])) == [Section("A" * 300 + "\n\none")]


def test_a_heading_is_one_line_of_text() -> None:
    assert list(outlined([Heading(1, " A\r\n\tb\x07\u2028c "), "one"])) == [Section("one", ("A b c",))]


def test_every_character_is_kept_but_those_that_are_no_text() -> None:
    newlines = {*"\n\r\v\f\x85\u2028\u2029"}
    left_out = {*map(chr, range(0xD800, 0xE000)), *map(chr, range(0x20)), *"\x7f\ufeff\ufffe\uffff"} - {"\t"} - newlines
    for char in map(chr, range(sys.maxunicode + 1)):
        expected = "\n" if char in newlines else "" if char in left_out else char
        assert clean(f"a{char}b") == f"a{expected}b", hex(ord(char))
    assert clean("a\r\nb\r\r\nc\n\rd") == "a\nb\n\nc\n\nd"


def test_a_table_keeps_its_header_apart() -> None:
    blocks: list[Block] = ["one", Table("a | b", "1 | 2"), Table("a | b", "3 | 4"), Table("c | d", "5 | 6"), "two"]
    assert list(outlined(blocks)) == [
        Section("one"), Section("1 | 2\n3 | 4", (), "a | b"), Section("5 | 6", (), "c | d"), Section("two")
    ]  # fmt: skip


def test_a_long_section_comes_in_parts() -> None:
    parts = list(outlined([Heading(1, "A"), *["word " * 10_000] * 10]))
    assert len(parts) > 1
    assert {part.headings for part in parts} == {("A",)}
    assert sum(part.text.count("word") for part in parts) == 100_000


def test_as_one_text_nothing_is_missing_and_headings_are_not_repeated() -> None:
    tables: list[Block] = [Heading(2, "B"), Table("x | y", "1 | 2"), Heading(2, "C"), Table("x | y", "3 | 4")]
    blocks: list[Block] = [Heading(1, "A"), "one", *tables, Heading(1, "D")]
    assert as_text(outlined(blocks)) == "A\n\none\n\nB\n\nx | y\n1 | 2\n\nC\n\nx | y\n3 | 4\n\nD"


MARKDOWN = """---
title: front
---
# One #
text
```
# no heading
```
Two words
---
* item
---
more
### Deep ###
#hashtag
    # code
| a | b |
| --- | --- |
"""
ORG = "#+TITLE: Book\n* TODO One :tag:\ntext\n#+begin_src sh\n* no heading\n#+end_src\n** Two\n*bold* text\n"
RST = (
    "=====\nTitle\n=====\n\nOne\n---\n\ntext\n\nTwo\n---\n\n::\n\n    code\n    ----\n\n"
    "Deep\n~~~~\n\n- a\n\n----\n\nmore\n"
)
HTML = (
    "<title>Page</title><h1>One <b>bold</b></h1><p>text<h2><a>Two</a></h2><svg><title>no</title></svg>more"
    "<div><h3>Deep</h3></div>rest<h1></h1><h6>Last"
)


@pytest.mark.parametrize(
    ("mime_type", "data", "expected"),
    [
        ("text/markdown", MARKDOWN, [
            ((), "---\ntitle: front\n---"),
            (("One",), "text\n```\n# no heading\n```"),
            (("One", "Two words"), "* item\n---\nmore"),
            (("One", "Two words", "Deep"), "#hashtag\n    # code\n| a | b |\n| --- | --- |"),
        ]),
        ("text/markdown", "One\n===\ntext\nTwo\n\n\n~~~\n# no\n```\n~~~\n", [
            (("One",), "text\nTwo\n\n\n~~~\n# no\n```\n~~~"),
        ]),
        ("text/org", ORG, [
            (("Book", "TODO One"), "text\n#+begin_src sh\n* no heading\n#+end_src"),
            (("Book", "TODO One", "Two"), "*bold* text"),
        ]),
        ("text/x-rst", RST, [
            (("Title", "One"), "text"),
            (("Title", "Two"), "::\n\n    code\n    ----"),
            (("Title", "Two", "Deep"), "- a\n\n----\n\nmore"),
        ]),
        ("text/html", HTML, [
            (("Page", "One bold"), "text"),
            (("Page", "One bold", "Two"), "no\n\nmore"),
            (("Page", "One bold", "Two", "Deep"), "rest"),
            (("Page",), "Last"),
        ]),
        (EPUB, epub({"b.html": "<h1>Second</h1>two", "a.html": "<h1>First</h1>one<h2>Sub</h2>sub", "c.html": "notes"},
                    order=["a.html", "b.html"]), [
            (("A Book", "First"), "one"),
            (("A Book", "First", "Sub"), "sub"),
            (("A Book", "Second"), "two\n\nnotes"),
        ]),
    ],
)  # fmt: skip
def test_headings_are_found(mime_type: str, data: str | bytes, expected: list[tuple[tuple[str, ...], str]]) -> None:
    assert [(section.headings, section.text) for section in sections(data, mime_type)] == expected


@pytest.mark.parametrize("mime_type", ["text/markdown", "text/org", "text/x-rst", "text/html"])
def test_very_long_lines_take_no_time(mime_type: str) -> None:
    for line in ("# " + " " * 300_000 + "x", "* " + " " * 300_000 + "x", "=" * 300_000, "#" * 300_000):
        assert sections(f"{line}\nend", mime_type)[-1].text.endswith("end")
