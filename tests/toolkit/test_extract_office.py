"""Texts and slides of office programs: what people read in them, once, in its order, and nothing else."""

import io
import struct
import zipfile
from collections.abc import Mapping

import pytest

from context_chat_backend.toolkit.indexing.extract.formats import Unreadable
from context_chat_backend.toolkit.indexing.section import Section

from .documents import (
    DOC,
    DOCX,
    EPUB,
    ODP,
    ODT,
    PPT,
    PPTX,
    RTF,
    XLSX,
    A,
    docx,
    epub,
    ole,
    opendocument,
    package,
    paragraph,
    pptx,
    relations,
    sections,
    shape,
    text,
    word_table,
    zipped,
)

# Word


def run(content: str) -> str:
    return f"<w:r>{content}</w:r>"


def box(content: str) -> str:
    """A text box as Word writes it: for itself, and for programs of before 2010."""
    inside = f"<w:txbxContent>{paragraph(content)}</w:txbxContent>"
    return run(
        f'<mc:AlternateContent><mc:Choice Requires="wps">{inside}</mc:Choice>'
        f"<mc:Fallback><w:pict>{inside}</w:pict></mc:Fallback></mc:AlternateContent>"
    )


def ruby(content: str, aid: str) -> str:
    base = f"<w:rubyBase>{run(f'<w:t>{content}</w:t>')}</w:rubyBase>"
    return f"<w:ruby><w:rubyPr/><w:rt>{run(f'<w:t>{aid}</w:t>')}</w:rt>{base}</w:ruby>"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (run("<w:t>RE</w:t><w:noBreakHyphen/><w:t>0815</w:t>"), "RE-0815"),
        (run("<w:t>Donau</w:t><w:softHyphen/><w:t>dampf</w:t>"), "Donaudampf"),
        (run("<w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:cr/><w:t>d</w:t>"), "a\tb\nc\nd"),
        ("<w:ins>" + run("<w:t>new</w:t>") + "</w:ins><w:del>" + run("<w:delText>old</w:delText>") + "</w:del>", "new"),
        ("<w:moveFrom>" + run("<w:t>x</w:t>") + "</w:moveFrom><w:moveTo>" + run("<w:t>y</w:t>") + "</w:moveTo>", "y"),
        (run("<w:instrText>PAGE</w:instrText><w:t>7</w:t>"), "7"),
        (f'<w:hyperlink r:id="x">{run("<w:t>link</w:t>")}</w:hyperlink>', "link"),
        (f"<w:sdt><w:sdtPr/><w:sdtContent>{run('<w:t>field</w:t>')}</w:sdtContent></w:sdt>", "field"),
        (run('<w:sym w:font="Symbol" w:char="00B1"/><w:t>5</w:t><w:sym w:font="Wingdings" w:char="F0FC"/>'), "±5"),
        (run("<w:t>before</w:t>") + box("in the box") + run("<w:t> after</w:t>"), "before after\n\nin the box"),
        ('<m:oMath xmlns:m="x"><m:r><m:t>a=b</m:t></m:r></m:oMath>', "a=b"),
        (run('<w:t>a</w:t><w:sym w:font="x" w:char="?"/><w:t>b</w:t>'), "a b"),
        (run(ruby("東", "とう") + ruby("京", "きょう")), "東京"),
    ],
)
def test_a_paragraph_is_read_as_it_is_shown(content: str, read: str) -> None:
    assert text(docx(paragraph(content)), DOCX) == read


@pytest.mark.parametrize("main", ["word/document.xml", "word/document2.xml", "word/Main Part.xml"])
def test_the_main_part_is_found_by_its_relation(main: str) -> None:
    assert text(docx(paragraph("text"), main), DOCX) == "text"


def test_a_package_without_relations_and_with_backslashes_is_read() -> None:
    body = docx(paragraph("text"))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        document = archive.read("word/document.xml")
    assert text(zipped({"word\\Document.xml": document}), DOCX) == "text"


def test_strict_documents_are_read() -> None:
    strict = "http://purl.oclc.org/ooxml"
    document = (
        f'<w:document xmlns:w="{strict}/wordprocessingml/main"><w:body>{paragraph("Head", "h")}{paragraph("text")}'
        "</w:body></w:document>"
    )
    styles = (
        f'<w:styles xmlns:w="{strict}/wordprocessingml/main"><w:style w:styleId="h"><w:name w:val="heading 1"/>'
        "</w:style></w:styles>"
    )
    kinds = f"{strict}/officeDocument/relationships"
    links = '<Relationships><Relationship Id="a" Type="{}/{}" Target="{}"/></Relationships>'
    data = zipped({
        "_rels/.rels": links.format(kinds, "officeDocument", "/word/document.xml"),
        "word/document.xml": document,
        "word/_rels/document.xml.rels": links.format(kinds, "styles", "styles.xml"),
        "word/styles.xml": styles,
    })  # fmt: skip
    assert sections(data, DOCX) == [Section("text", ("Head",))]


STYLES = """
<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Own"><w:name w:val="Kapitel"/><w:basedOn w:val="berschrift1"/></w:style>
<w:style w:styleId="Outlined"><w:name w:val="Rubrik"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
<w:style w:styleId="NoMore"><w:basedOn w:val="Own"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>
<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:styleId="Loop"><w:name w:val="loop"/><w:basedOn w:val="Loop"/></w:style>
"""


@pytest.mark.parametrize(
    ("style", "properties", "headings"),
    [
        ("berschrift1", "", ("Top", "head")),
        ("Own", "", ("Top", "head")),
        ("Outlined", "", ("Top", "head")),
        ("NoMore", "", ("Top",)),
        ("Loop", "", ("Top",)),
        ("Unknown", "", ("Top",)),
        ("", '<w:outlineLvl w:val="0"/>', ("Top", "head")),
        ("Own", '<w:outlineLvl w:val="9"/>', ("Top",)),
    ],
)
def test_headings_are_told_by_styles_in_any_language(style: str, properties: str, headings: tuple[str, ...]) -> None:
    body = paragraph("Top", "Titel") + paragraph("head", style, properties) + paragraph("text")
    *_, last = sections(docx(body, styles=STYLES), DOCX)
    assert last.headings == headings
    assert last.text.endswith("text")


def test_levels_nest() -> None:
    body = "".join(
        paragraph(name, style)
        for name, style in [
            ("A", "Own"),
            ("one", ""),
            ("B", "Outlined"),
            ("two", ""),
            ("C", "berschrift1"),
            ("three", ""),
        ]
    )
    assert sections(docx(body, styles=STYLES), DOCX) == [
        Section("one", ("A",)), Section("two", ("A", "B")), Section("three", ("C",))
    ]  # fmt: skip


def test_notes_and_comments_stand_where_they_are_referred_to() -> None:
    body = (
        paragraph(run('<w:t>one</w:t><w:footnoteReference w:id="2"/>'))
        + paragraph(run('<w:t>two</w:t><w:endnoteReference w:id="2"/>'))
        + paragraph(run('<w:t>three</w:t><w:commentReference w:id="0"/>'))
    )
    notes = '<w:{0} w:id="2">{1}</w:{0}><w:{0} w:id="3">{2}</w:{0}>'
    document = docx(
        body,
        footnotes=notes.format("footnote", paragraph("a footnote"), paragraph("an orphan")),
        endnotes=notes.format("endnote", paragraph("an endnote"), paragraph("")),
        comments=f'<w:comment w:id="0">{paragraph("a comment")}</w:comment>',
    )
    assert text(document, DOCX).split("\n\n") == [
        "one", "a footnote", "two", "an endnote", "three", "a comment", "an orphan"
    ]  # fmt: skip


def test_rows_of_a_table_are_kept_together_below_their_header() -> None:
    table = word_table(("Sort", "Price"), ("oolong", "12"), ("assam", "7"))
    assert sections(docx(paragraph("before") + table + paragraph("after")), DOCX) == [
        Section("before"), Section("oolong | 12\nassam | 7", (), "Sort | Price"), Section("after")
    ]  # fmt: skip
    marked = word_table(("1", "2"), ("3", "4"), header=True)
    assert sections(docx(marked), DOCX) == [Section("3 | 4", (), "1 | 2")]


def word_cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(content)}</w:tc>"


def controlled(content: str) -> str:
    return f"<w:sdt><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def test_tables_within_content_controls_and_with_deleted_rows_are_read() -> None:
    wide = word_cell("wide", '<w:gridSpan w:val="2"/>')
    rows = [
        controlled(f"<w:tr>{''.join(map(word_cell, '123'))}</w:tr>"),
        f"<w:tr><w:trPr><w:del/></w:trPr>{word_cell('gone')}{word_cell('gone')}</w:tr>",
        f"<w:tr>{wide}{controlled(word_cell('x'))}</w:tr>",
    ]
    assert text(docx(controlled(f"<w:tbl>{''.join(rows)}</w:tbl>")), DOCX) == "1 | 2 | 3\nwide |  | x"


def test_notes_with_the_id_of_another_are_read() -> None:
    body = paragraph(run('<w:t>one</w:t><w:footnoteReference w:id="2"/>')) + paragraph("two")
    notes = "".join(f'<w:footnote w:id="2">{paragraph(each)}</w:footnote>' for each in ("a note", "another"))
    assert text(docx(body, footnotes=notes), DOCX).split("\n\n") == ["one", "a note", "another", "two"]


def test_notes_that_only_notes_refer_to_are_read() -> None:
    notes = "".join(
        f'<w:footnote w:id="{id_}">{paragraph(run(f"<w:t>{words}</w:t>{reference}"))}</w:footnote>'
        for id_, words, reference in [(1, "an orphan", '<w:footnoteReference w:id="2"/>'), (2, "its note", "")]
    )
    assert text(docx(paragraph("one"), footnotes=notes), DOCX).split("\n\n") == ["one", "an orphan", "its note"]


def test_paragraphs_of_a_table_that_are_in_no_cell_are_read() -> None:
    rows = [
        paragraph("above"),
        f"<w:tr>{word_cell('1')}{controlled(paragraph('2'))}</w:tr>",
        f"<w:tr>{paragraph('3')}{word_cell('4')}</w:tr>",
    ]
    assert text(docx(f"<w:tbl>{''.join(rows)}</w:tbl>"), DOCX) == "above\n1 | 2\n3 | 4"


def test_headings_within_a_layout_table_are_headings() -> None:
    body = f"<w:tbl><w:tr><w:tc>{paragraph('Head', 'Own')}{paragraph('text')}</w:tc></w:tr></w:tbl>"
    assert sections(docx(body, styles=STYLES), DOCX) == [Section("text", ("Head",))]


def test_a_document_within_the_document_is_read() -> None:
    data = package(
        "word/document.xml",
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><w:body><w:altChunk r:id="c"/>'
        "</w:body></w:document>",
        {"c": ("aFChunk", "chunk.html")},
        {"word/chunk.html": "<h1>Head</h1><p>inside"},
    )
    assert sections(data, DOCX) == [Section("inside", ("Head",))]


def test_diagrams_and_charts_are_read() -> None:
    words = f'<x xmlns:a="{A}"><a:p><a:r><a:t>in a diagram</a:t></a:r></a:p></x>'
    chart = (
        '<c:x xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart">'
        "<c:strCache><c:pt><c:v>North</c:v></c:pt></c:strCache></c:x>"
    )
    data = package(
        "word/document.xml",
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"/>',
        {"d": ("diagramData", "diagrams/data1.xml"), "c": ("chart", "charts/chart1.xml")},
        {"word/diagrams/data1.xml": words, "word/charts/chart1.xml": chart},
    )
    assert text(data, DOCX) == "in a diagram\n\nNorth"


# Slides


def slide_cell(content: str) -> str:
    return f"<a:tc><a:txBody><a:p><a:r><a:t>{content}</a:t></a:r></a:p></a:txBody></a:tc>"


def slide_table(rows: str) -> str:
    data = f"<a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData></a:graphic>"
    return f"<p:graphicFrame>{data}</p:graphicFrame>"


def test_slides_have_titles_tables_and_notes() -> None:
    rows = [("Sort", "Price"), ("oolong", "12"), ("assam", "7")]
    table = slide_table("".join(f"<a:tr>{''.join(map(slide_cell, row))}</a:tr>" for row in rows))
    group = f"<p:grpSp>{shape('grouped')}</p:grpSp>"
    both = (
        f'<mc:AlternateContent><mc:Choice Requires="x">{shape("once")}</mc:Choice>'
        f"<mc:Fallback>{shape('once')}</mc:Fallback></mc:AlternateContent>"
    )
    slides = pptx(
        shape("a line\nanother", "body") + shape("First", "ctrTitle") + shape("3", "sldNum") + shape("foot", "ftr"),
        shape("untitled") + group + both + shape("foot", "ftr"),
        shape("Tables", "title") + table,
        shape("Empty", "title"),
        notes={1: shape("say this", "body") + shape("1", "sldNum") + shape("foot", "ftr")},
    )
    assert sections(slides, PPTX) == [
        Section("a line\nanother\n\nfoot\n\nsay this", ("First",)),
        Section("untitled\n\ngrouped\n\nonce"),
        Section("oolong | 12\nassam | 7", ("Tables",), "Sort | Price"),
        Section("Empty"),
    ]


def test_equations_of_slides_are_read_once() -> None:
    equation = '<m:oMath xmlns:m="x"><m:r><m:t>E=mc</m:t></m:r></m:oMath>'
    both = (
        f'<mc:AlternateContent><mc:Choice Requires="a14">{equation}</mc:Choice>'
        "<mc:Fallback><a:r><a:t>(a picture)</a:t></a:r></mc:Fallback></mc:AlternateContent>"
    )
    data = pptx(shape("x").replace("</a:r>", f"</a:r>{both}", 1))
    assert text(data, PPTX) == "xE=mc"


def test_slides_come_in_the_order_of_the_presentation() -> None:
    with zipfile.ZipFile(io.BytesIO(pptx(shape("one"), shape("two"), shape("three")))) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    links = {
        "s1": ("slide", "slides/slide3.xml"),
        "s2": ("slide", "slides/slide1.xml"),
        "s3": ("slide", "slides/slide2.xml"),
    }
    parts["ppt/_rels/presentation.xml.rels"] = relations(links)
    assert text(zipped(parts), PPTX) == "three\n\none\n\ntwo"


# OpenDocument


def odf_row(*cells: str) -> str:
    inside = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
    return f"<table:table-row>{inside}</table:table-row>"


def odf_box(content: str, label: str = "") -> str:
    inside = f"<draw:text-box><text:p>{content}</text:p></draw:text-box><svg:title>{label}</svg:title>"
    return f"<draw:frame>{inside}</draw:frame>"


NOTE = "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a note</text:p></text:note-body>"


def test_a_text_of_open_document_is_read() -> None:
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:p text:style-name="P1">Book</text:p>'
        '<text:h text:outline-level="1">One</text:h>'
        '<text:p>a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d<text:span> e</text:span>'
        f"{NOTE}</text:note><office:annotation><text:p>a comment</text:p></office:annotation> f</text:p>"
        '<text:h text:outline-level="2">Two</text:h>'
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list><table:table>"
        f"<table:table-header-rows>{odf_row('1', '2')}</table:table-header-rows>{odf_row('3', '4')}</table:table>"
        f"<text:p>x{odf_box('in a box', 'label')}y</text:p>"
    )
    automatic = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    data = opendocument("text", body, automatic, styles="<style:footer><text:p>foot</text:p></style:footer>")
    assert sections(data, ODT) == [
        Section("a  b\tc\nd e f\n\na note\n\na comment", ("Book", "One")),
        Section("item", ("Book", "One", "Two")),
        Section("3 | 4", ("Book", "One", "Two"), "1 | 2"),
        Section("xy\n\nin a box\n\nlabel", ("Book", "One", "Two")),
        Section("foot"),
    ]


def odf_table(*rows: str) -> str:
    return f"<table:table>{''.join(rows)}</table:table>"


def test_what_stands_beside_the_cells_of_open_document_is_read() -> None:
    comment = "<office:annotation><text:p>a comment</text:p></office:annotation>"
    body = odf_table(odf_row(f"1{NOTE}</text:note>", f"2{comment}"), odf_row("3", f"4{odf_box('in a box')}"))
    assert text(opendocument("text", body), ODT) == "1 | 2\n3 | 4\n\na note\n\na comment\n\nin a box"


@pytest.mark.parametrize("others", [(), ("3",)])
def test_tables_within_tables_of_open_document_are_read_once(others: tuple[str, ...]) -> None:
    inner = f"<table:table-cell>{odf_table(odf_row('1', '2'), odf_row('one', 'two'))}</table:table-cell>"
    outer = odf_row(*others).replace("</table:table-row>", f"{inner}</table:table-row>")
    found = text(opendocument("text", odf_table(outer, odf_row(*others, "5"))), ODT)
    assert [found.count(word) for word in ("1", "2", "one", "two", "5")] == [1] * 5


def test_margins_of_all_pages_of_open_document_are_read_once() -> None:
    names = ["header", "header-left", "header-first", "footer", "footer-left", "footer-first"]
    margins = "".join(f"<style:{name}><text:p>{name} text</text:p></style:{name}>" for name in names)
    data = opendocument("text", "<text:p>body</text:p>", styles=margins * 2)
    assert text(data, ODT).split("\n\n") == ["body", *(f"{name} text" for name in names)]


def test_lines_of_a_title_are_words_of_their_own() -> None:
    title = "<text:p>One</text:p><text:p>Two<text:line-break/>Three<text:s/>Four</text:p>"
    page = f'<draw:page><draw:frame presentation:class="title"><draw:text-box>{title}</draw:text-box></draw:frame>'
    data = opendocument("presentation", f"{page}{odf_box('body')}</draw:page>")
    assert sections(data, ODP) == [Section("body", ("One Two Three Four",))]


def test_reading_aids_of_open_document_are_left_out() -> None:
    word = "".join(
        f"<text:ruby><text:ruby-base>{base}</text:ruby-base><text:ruby-text>{aid}</text:ruby-text></text:ruby>"
        for base, aid in (("東", "とう"), ("京", "きょう"))
    )
    assert text(opendocument("text", f"<text:p>{word}</text:p>"), ODT) == "東京"


# Books


def test_a_chapter_that_is_no_text_spoils_no_book() -> None:
    book = epub({"1.html": "<p>one", "2.html": bytes(range(256)) * 20, "3.html": "<p>three"})
    assert text(book, EPUB) == "A Book\n\none\n\nthree"


def repacked(book: bytes, part: str, old: str, new: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert old in parts[part]
    return zipped({**parts, part: parts[part].replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id="2.html"', 'id="1.html"'),
        (' id="2.html"', ""),
        ('href="2.html"', 'href="2.html#top"'),
        ('href="1.html" media-type="application/xhtml+xml"', 'href="1.html#top" media-type="x"'),
        ("</manifest>", '<item id="a" href="./1.html" media-type="text/html"/></manifest>'),
        ("</manifest>", '<item href="2.html#top" media-type="text/html"/></manifest>'),
    ],
)
def test_chapters_of_a_book_whose_list_is_broken_are_read_once(old: str, new: str) -> None:
    book = epub({"1.html": "<p>one", "2.html": "<p>two"})
    assert text(repacked(book, "OEBPS/book.opf", old, new), EPUB) == "A Book\n\none\n\ntwo"


@pytest.mark.parametrize("kind", ["application/pdf", ""])
def test_a_book_that_is_packed_in_other_forms_as_well_is_read(kind: str) -> None:
    other = f'<rootfile full-path="book.pdf" media-type="{kind}"/>'
    book = repacked(epub({"1.html": "<p>one"}), "META-INF/container.xml", "<rootfiles>", f"<rootfiles>{other}")
    assert text(book, EPUB) == "A Book\n\none"


@pytest.mark.parametrize(("what", "is_encrypted"), [("OEBPS/1.html", True), ("OEBPS/font.otf", False)])
def test_a_book_with_encrypted_chapters_is_called_so(what: str, is_encrypted: bool) -> None:
    reference = f'<encryption><CipherData><CipherReference URI="{what}"/></CipherData></encryption>'
    with zipfile.ZipFile(io.BytesIO(epub({"1.html": "<p>one"}))) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    data = zipped({**parts, "META-INF/encryption.xml": reference})
    if is_encrypted:
        with pytest.raises(Unreadable, match="encrypted"):
            text(data, EPUB)
    else:
        assert text(data, EPUB) == "A Book\n\none"


def test_slides_of_open_document_are_read() -> None:
    page = (
        "<draw:page><draw:frame><draw:text-box><text:p>text</text:p></draw:text-box></draw:frame>"
        '<draw:frame presentation:class="title"><draw:text-box><text:p>Head</text:p></draw:text-box></draw:frame>'
        "<presentation:notes><draw:frame><draw:text-box><text:p>notes</text:p></draw:text-box></draw:frame></presentation:notes>"
        "</draw:page>"
    )
    assert sections(opendocument("presentation", page), ODP) == [Section("text\n\nnotes", ("Head",))]


# Rich text


def rich(content: bytes) -> bytes:
    return (
        rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}{\f1\fcharset238 Arial CE;}{\f2\fcharset128 MS;}}"
        rb"{\colortbl;\red0;}{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 Kapitel;}{\s2 heading 2;}}"
        rb"{\info{\title no}}{\*\generator no;}" + content + b"}"
    )


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (rb"Gr\'f6\'dfe", "Größe"),
        (rb"\f1 Prosz\'ea{\f0  \'ea}", "Proszę ê"),
        (rb"\f2 \'83A\'83\'42", "アィ"),
        (rb"\uc1\u8364?5 \uc2\u8364\'80\'80 \u-10179??\u-8704??", "€5 € 😀"),
        (rb"well\_known soft\-ly \{x\}\~y \emdash\tab z", "well-known softly {x}\xa0y —\tz"),
        (b"one\\par two\\line three\r\nfour", "one\n\ntwo\nthreefour"),
        (rb"a{\deleted gone}b{\deleted\deleted0 c}", "abc"),
        (rb'{\field{\*\fldinst HYPERLINK "x"}{\fldrslt the link}}{\*\unknown no}', "the link"),
        (rb"before{\pict\wmetafile8 0123456789}{\pict\bin9 {}\\}{}}{} after", "before after"),
        (rb"before{\*\datastore \} no \\{no}\{\bin1 }\bin3 {{{no}}{\*\unknown} after", "before after"),
        (rb"before{\*\unknown\u8364}after{\pict\bin999 no", "beforeafter"),
        (rb"text{\footnote\pard a note{\b  of two}\par} more\par{\header top\par}{\footer end}next",
         "text more\n\na note of two\n\nnext\n\ntop\n\nend"),
        (rb"\trowd\intbl a\cell\pard\intbl b\par c\cell\row\trowd 1\cell 2\cell\row\pard after",
         "a | b c\n1 | 2\n\nafter"),
        (rb"{\shp{\*\shpinst{\sp{\sn no}{\sv no}}{\shptxt in a box\par}}{\shprslt no}}text", "text\n\nin a box"),
        (rb"\deleted gone\plain  kept", "kept"),
        (rb"\f1 \'ea\plain  \'ea", "ę ê"),
        (rb"{\header\trowd Name\cell Nr\cell\row\trowd Town\cell 2\cell\row\trowd Shop\cell 3\cell\row\pard}a\par",
         "a\n\nName | Nr\nTown | 2\nShop | 3"),
        (rb"{\header\pard\s1 Top\par}a\par", "a\n\nTop"),
        (rb"{\*\htmltag <b>}\htmlrtf {\plain gone\htmlrtf0 kept", "kept"),
        (rb"broken }}} \'zz {\b end", "broken"),
    ],
)  # fmt: skip
def test_rich_text_is_read_as_it_is_shown(content: bytes, read: str) -> None:
    found = text(rich(content), RTF)
    assert found.startswith(read)
    assert "no" not in found.replace("note", "").replace("known", "")


def test_what_is_left_out_of_rich_text_changes_no_style() -> None:
    content = rb"{\stylesheet{\s7{\*\keycode\s8}heading 1;}}\pard\s7 One\par\pard a\par\pard\s8 b"
    assert sections(rich(content), RTF) == [Section("a\n\nb", ("One",))]


def test_headings_of_rich_text_are_told_by_styles_and_levels() -> None:
    content = rb"\pard\s1 One\par\pard a\par\pard\s2 Two\par\pard b\par\pard\outlinelevel0 Three\par\pard c"
    assert sections(rich(content), RTF) == [
        Section("a", ("One",)), Section("b", ("One", "Two")), Section("c", ("Three",))
    ]  # fmt: skip


# What was before 2007


def word97(body: str, *, flags: int = 0x0200, pieces: int = 2, notes: str = "") -> bytes:
    """In pieces, in turn of one byte and of two bytes a character, stored in reverse order."""
    content = body + notes
    size = -(-len(content) // pieces)
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    stream = bytearray(struct.pack("<HH6xH", 0xA5EC, 0x00C1, flags).ljust(0x200, b"\0"))
    places = {}
    for number, part in reversed(list(enumerate(parts))):
        wide = number % 2 == 1
        places[number] = len(stream) if wide else len(stream) * 2 | 0x4000_0000
        stream += part.encode("utf-16-le" if wide else "cp1252")
        stream += bytes(len(stream) % 2)
    positions = [min(size * number, len(content)) for number in range(len(parts) + 1)]
    plc = struct.pack(f"<{len(positions)}I", *positions)
    plc += b"".join(struct.pack("<HIH", 0, places[number], 0) for number in range(len(parts)))
    clx = b"\x01\x02\x00ab\x02" + struct.pack("<I", len(plc)) + plc
    stream[0x01A2:0x01AA] = struct.pack("<II", 8, len(clx))
    return ole({"WordDocument": bytes(stream), "1Table": bytes(8) + clx})


def test_an_old_word_document_is_read_from_its_pieces() -> None:
    body = 'Größe\x0b1\x1e2\rsee \x13 HYPERLINK "\x13 PAGE \x147\x15" \x14the link\x15 soft\x1fly\ra\x07b\x07\x07end\r'
    assert text(word97(body), DOC).split("\n\n") == ["Größe", "1-2", "see the link softly", "a | b", "end"]


def test_an_encrypted_old_word_document_is_called_so() -> None:
    with pytest.raises(Unreadable, match="encrypted"):
        text(word97("secret", flags=0x0300), DOC)


def record(kind: int, content: bytes, *, container: bool = False, instance: int = 0) -> bytes:
    return struct.pack("<HHI", instance << 4 | (0xF if container else 0), kind, len(content)) + content


def atom(value: str, kind: int) -> bytes:
    wide = any(ord(char) > 0xFF for char in value)
    content = record(4000, value.encode("utf-16-le")) if wide else record(4008, value.encode("latin-1"))
    return record(3999, struct.pack("<I", kind)) + content


def powerpoint(token: int = 0xE391C05F) -> bytes:
    """Two slides, the first one saved twice, with a title in the outline and a box of its own; a master; notes."""

    def slide(kind: int, *boxes: str) -> bytes:
        drawn = b"".join(record(0xF00D, atom(each, 4), container=True) for each in (*boxes, "*"))
        return record(kind, record(1036, drawn, container=True), container=True)

    def listed(instance: int, *pages: tuple[int, bytes]) -> bytes:
        entries = b"".join(record(1011, struct.pack("<I16x", id_)) + texts for id_, texts in pages)
        return record(4080, entries, container=True, instance=instance)

    document = record(
        1000,
        listed(1, (9, atom("Click to edit the title", 0)))
        + listed(0, (2, atom("Erste Größe", 0) + atom("Zeile α", 1)), (3, atom("Second", 6)))
        + listed(2, (4, b"")),
        container=True,
    )
    stream, offsets = bytearray(document), {}
    for id_, content in [
        (2, slide(1006, "stale box")), (3, slide(1006)), (4, slide(1008, "notes")), (9, slide(1016, "master"))
    ]:  # fmt: skip
        offsets[id_] = len(stream)
        stream += content

    def saved(entries: Mapping[int, int], before: int) -> int:
        directory = len(stream)
        stream.extend(record(6002, b"".join(struct.pack("<II", 1 << 20 | id_, at) for id_, at in entries.items())))
        edit = len(stream)
        stream.extend(record(4085, struct.pack("<IIII12x", 0, 0, before, directory)))
        return edit

    first = saved(offsets, 0)
    last = len(stream)
    stream += slide(1006, "fresh box")
    edit = saved({2: last}, first)
    user = record(4086, struct.pack("<III", 20, token, edit).ljust(64, b"\0"))
    return ole({"PowerPoint Document": bytes(stream), "Current User": user})


def test_an_old_presentation_is_read_as_it_was_saved_last() -> None:
    assert sections(powerpoint(), PPT) == [
        Section("Zeile α\n\nfresh box", ("Erste Größe",)), Section("Second\n\nnotes")
    ]  # fmt: skip


def test_an_encrypted_old_presentation_is_called_so() -> None:
    with pytest.raises(Unreadable, match="encrypted"):
        text(powerpoint(0xF3D1C4DF), PPT)


# What a file is, and why it cannot be read


@pytest.mark.parametrize("mime_type", [DOC, DOCX, RTF, ODT, EPUB])
@pytest.mark.parametrize(
    "data",
    [
        docx(paragraph("the words")),
        rb"{\rtf1 the words}",
        opendocument("text", "<text:p>the words</text:p>"),
        epub({"a.html": "the words"}, title="the words"),
        word97("the words"),
    ],
)
def test_a_document_with_the_wrong_extension_is_read(data: bytes, mime_type: str) -> None:
    assert text(data, mime_type).startswith("the words")


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>the words",
        b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>the words",
        (
            b'<?xml version="1.0"?><w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml">'
            b'<w:style w:val="no"/><w:p><w:r><w:t>the </w:t></w:r><w:t>words</w:t></w:p></w:wordDocument>'
        ),
        b"the words",
    ],
)
def test_what_programs_call_a_word_document_is_read_as_what_it_is(data: bytes) -> None:
    assert text(data, DOC) == "the words"


def test_a_word_document_of_2003_in_xml_is_read_once() -> None:
    box = "<w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></w:pict>"
    data = (
        '<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml"><w:p>'
        '<w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>'
        f"<w:r><w:t>one</w:t><w:br/><w:t>two</w:t><w:tab/><w:t>three</w:t>{box}</w:r></w:p></w:wordDocument>"
    )
    assert text(data, "text/xml") == "one\ntwo\tthree\n\nin a box"


def test_texts_about_formats_are_texts() -> None:
    for words in ("%PDF-1.7 is how a PDF begins", "PK", "From: me", "<p>"):
        assert text(words, "text/plain") == words


def encrypted_zip() -> bytes:
    data = bytearray(docx(paragraph("secret")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        (DOCX, ole({"EncryptedPackage": b"x", "EncryptionInfo": b"y"})),
        (XLSX, ole({"EncryptedPackage": b"x"})),
        (DOCX, encrypted_zip()),
        (ODT, zipped({"content.xml": "garbage", "META-INF/manifest.xml": "<x><manifest:encryption-data/></x>"})),
        (EPUB, zipped({"META-INF/container.xml": "<x/>", "META-INF/rights.xml": "<x/>"})),
    ],
)
def test_encrypted_documents_are_called_so(mime_type: str, data: bytes) -> None:
    with pytest.raises(Unreadable, match="encrypted with a password"):
        text(data, mime_type)
