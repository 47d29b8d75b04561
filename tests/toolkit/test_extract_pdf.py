"""PDF: what is on the page and beside it, with hyphens that are the words' own."""

import pytest

from context_chat_backend.toolkit.indexing.extract.formats import Unreadable
from context_chat_backend.toolkit.indexing.section import Section

from .documents import PDF, pdf, sections, shown, text


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (("infor-", "mation"), "information"),
        (("infor\\255", "mation"), "information"),
        (("well-", "known"), "well-known"),
        (("a long-", "term plan and a long-term view"), "long-term plan"),
        (("co-", "operation needs cooperation"), "cooperation needs"),
        (("Nord-", "Ost"), "Nord-Ost"),
        (("M\\334L-", "LER"), "MÜLLER"),
        (("state-of-the-", "art"), "state-of-the-art"),
        (("E-", "Mail"), "E-Mail"),
        (("RE-2024-", "0815"), "RE-2024-0815"),
        (("die Daten-", "bank"), "die Datenbank"),
        (("Ein-", "und Ausgang"), "Ein- und Ausgang"),
        (("this - ", "and that"), "this - \nand that"),
    ],
)
def test_hyphens_at_the_end_of_a_line(lines: tuple[str, ...], read: str) -> None:
    assert read in text(pdf(shown(*lines)), PDF)


def test_a_hyphen_is_judged_by_other_pages() -> None:
    assert "by-product" in text(pdf(shown("a by-", "product"), shown("the by-product")), PDF)
    assert "byproduct" in text(pdf(shown("a by-", "product"), shown("the byproduct")), PDF)


FIELDS = (
    "<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/TU(Your name)/V(Erika M\\374ller)/Rect[0 0 9 9]>>",
    "<</Type/Annot/Subtype/Widget/FT/Ch/Ff 131072/T(city)/Opt[[(r)(Rome)][(o)(Oslo)]]/V(o)/Rect[0 0 9 9]>>",
    "<</Type/Annot/Subtype/Widget/FT/Btn/T(paid)/V/Yes/AS/Yes/AP<</N<</Yes 1 0 R/Off 1 0 R>>>>/Rect[0 0 9 9]>>",
    "<</Type/Annot/Subtype/Widget/FT/Btn/T(late)/V/Off/AS/Off/AP<</N<</Yes 1 0 R/Off 1 0 R>>>>/Rect[0 0 9 9]>>",
    "<</Type/Annot/Subtype/Widget/FT/Tx/Ff 8192/T(secret)/V(hunter2)/Rect[0 0 9 9]>>",
    "<</Type/Annot/Subtype/Widget/FT/Tx/T(empty)/Rect[0 0 9 9]>>",
)


def test_values_of_a_form_are_read_with_their_names() -> None:
    numbers = " ".join(f"{number} 0 R" for number in range(3, 3 + len(FIELDS)))
    form = pdf(shown("Form"), page=f"/Annots[{numbers}]", catalog=f"/AcroForm<</Fields[{numbers}]>>", objects=FIELDS)
    assert text(form, PDF) == "Form\n\nYour name: Erika Müller\ncity: Oslo\npaid: Yes"


def test_annotations_are_read() -> None:
    notes = (
        "<</Type/Annot/Subtype/FreeText/Contents(typed on it)/Rect[0 0 9 9]>>",
        "<</Type/Annot/Subtype/Text/Contents(a note)/Rect[0 0 9 9]>>",
        "<</Type/Annot/Subtype/Link/Contents(no)/Rect[0 0 9 9]>>",
        "<</Type/Annot/Subtype/Popup/Contents(no)/Rect[0 0 9 9]>>",
    )
    assert text(pdf(shown("Page"), page="/Annots[3 0 R 4 0 R 5 0 R 6 0 R]", objects=notes), PDF) == (
        "Page\n\ntyped on it\na note"
    )


def test_a_page_with_nothing_but_a_form_is_read() -> None:
    form = pdf("", page="/Annots[3 0 R]", catalog="/AcroForm<</Fields[3 0 R]>>", objects=FIELDS[:1])
    assert text(form, PDF) == "Your name: Erika Müller"


def bookmarked(*contents: str, marks: tuple[tuple[str, int], ...]) -> bytes:
    first = 4 + len(marks)
    objects = [f"<</Type/Outlines/First 4 0 R/Last {first - 1} 0 R>>"]
    for number, (title, page) in enumerate(marks, 4):
        following = f"/Next {number + 1} 0 R" if number < first - 1 else ""
        objects.append(f"<</Title({title})/Parent 3 0 R{following}/Dest[{first + 2 * page} 0 R/Fit]>>")
    return pdf(*contents, catalog="/Outlines 3 0 R", objects=objects)


def test_bookmarks_are_headings_where_the_page_shows_them() -> None:
    document = bookmarked(
        shown("before", "1.2 The Head", "one", "Second", "head", "two"),
        shown("three"),
        shown("four"),
        marks=(("The Head", 0), ("Second head", 0), ("Not shown", 2)),
    )
    assert sections(document, PDF) == [
        Section("before"),
        Section("one", ("1.2 The Head",)),
        Section("two\n\nthree", ("Second head",)),
        Section("four"),
    ]


IMAGE = (
    "<</Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray/Length 1>>"
    "stream\n0\nendstream"
)


def test_a_scan_is_called_so() -> None:
    scan = pdf("q 300 0 0 200 0 0 cm /I Do Q", page="/Resources<</XObject<</I 3 0 R>>>>", objects=[IMAGE])
    with pytest.raises(Unreadable, match="a scan without text"):
        sections(scan, PDF)


def test_a_scan_behind_many_blank_pages_is_called_so() -> None:
    contents = [*[""] * 30, "q 300 0 0 200 0 0 cm /I Do Q"]
    with pytest.raises(Unreadable, match="a scan without text"):
        sections(pdf(*contents, page="/Resources<</XObject<</I 3 0 R>>>>", objects=[IMAGE]), PDF)


def test_pages_are_read_around_a_damaged_one() -> None:
    document = pdf(shown("one"), shown("two"), shown("three")).replace(b"5 0 obj<</Type/Page/", b"5 0 obj<</Tipe/Hage/")
    found = text(document, PDF)
    assert "one" in found
    assert "three" in found
