"""PDF, by PDFium."""

import ctypes
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium

from . import ocr
from .formats import ENCRYPTED, SCAN, Unreadable
from .outline import Block, Heading

_PAGES_READ_AHEAD = 500
"""A hyphen at the end of a line is judged by the words of these."""
_POINTS_PER_INCH = 72
_LARGEST_PAGE = 14_400
"""Points; the limit of PDF 1.6."""
_MOST_BOOKMARKS = 2000
_MOST_BOOKMARKS_A_PAGE = 100
_LINES_OF_A_TITLE = 3

# PDFium's marks for a hyphen at the end of a line, its own or the word's; the word continues behind it.
_HYPHEN = re.compile(r"([\w-]{0,60})[\ufffe\x02](?:\r?\n)?(?=([\w-]{0,60}))")
_BROKEN = re.compile(r"[\w-]{0,60}[\ufffe\x02](?:\r?\n)?[\w-]{0,60}")
_NUMBER_GOES_ON = re.compile(r"(?<=\w)-\r?\n(?=\w)")
_WORD = re.compile(r"\w+(?:-\w+)*")
_HYPHENATED_WITH = frozenset({"all", "cross", "ex", "half", "self", "vice", "well"})
_CONJUNCTIONS = frozenset({"and", "or", "bzw", "oder", "sowie", "und"})
"""Before them a hyphen stands for the rest of a word that comes later."""
_PART_CHARS = 4

_NUMBERING = re.compile(r"(?:\w+ )?[\dIVXivx]+(?:\.\d+)*[.:)]? ?")
_WITHOUT_CONTENTS = frozenset({pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_WIDGET})
_CHOSEN_FIELDS = frozenset({pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX})
_WRITTEN_FIELDS = _CHOSEN_FIELDS | {pdfium.FPDF_FORMFIELD_TEXTFIELD}
_MOST_OPTIONS = 10_000
_CHECKED_FIELDS = frozenset({pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON})
_PASSWORD_FLAG = 1 << 13


def pages(data: bytes) -> Iterator[Block]:
    """Page by page: the text layer, values of forms, annotations. A document that only restricts printing or copying
    is readable. Bookmarks are headings where the text of the page has them."""
    document = _opened(data)
    if document.get_formtype() != pdfium.FORMTYPE_NONE:
        document.init_forms()
    bookmarks = _bookmarks(document)
    words: Counter[str] = Counter()
    numbers = iter(range(len(document)))
    has_text = has_picture = False
    while batch := [_read(document, number) for number in islice(numbers, _PAGES_READ_AHEAD)]:
        for page in batch:
            words.update(_WORD.findall(_BROKEN.sub(" ", page.text)))
        for page in batch:
            has_text = has_text or bool(page.text.strip() or page.beside)
            has_picture = has_picture or page.is_picture
            yield from _outlined(_with_hyphens(page.text, words), bookmarks.get(page.number, ()))
            yield "\n".join(page.beside)
    if has_picture and not has_text:
        raise Unreadable(SCAN)


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    text: str
    beside: Sequence[str]
    is_picture: bool
    """Of words, perhaps: it has no text layer."""


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unreadable(ENCRYPTED) from error
        raise


def _read(document: pypdfium2.PdfDocument, number: int) -> _Page:
    """A page that is damaged has no text; the others have."""
    try:
        page = document[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        if len(document) == 1:
            raise
        return _Page(number, "", (), is_picture=False)
    text = text_page.get_text_range()
    text_page.close()
    is_picture = not text.strip() and _has_image(page)
    if is_picture:
        text = _seen(page)
    beside = list(dict.fromkeys(_beside(document, page)))
    page.close()
    return _Page(number, text, beside, is_picture=is_picture)


# ---------------------------------------------------------------------- hyphens


def _with_hyphens(text: str, words: Mapping[str, int]) -> str:
    text = _HYPHEN.sub(lambda match: match[1] + _hyphen(match[1], match[2], words), text)
    return _NUMBER_GOES_ON.sub("-", text)


def _hyphen(before: str, after: str, words: Mapping[str, int]) -> str:
    """Whether the word is written with it elsewhere in the document; where it is not there, whether it looks so."""
    if not before or not after:
        return "-" if before else ""
    if after.lower() in _CONJUNCTIONS:
        return "- "
    joined, hyphenated = words.get(before + after, 0), words.get(f"{before}-{after}", 0)
    if joined != hyphenated:
        return "-" if hyphenated > joined else ""
    return "-" if _is_compound(before, after, words) else ""


def _is_compound(before: str, after: str, words: Mapping[str, int]) -> bool:
    is_name = after[0].isupper() and not before.isupper()
    is_chain = "-" in before or before[-1].isdigit() or len(before) == 1
    are_words = min(len(before), len(after)) >= _PART_CHARS and before in words and after in words
    return is_name or is_chain or are_words or before.lower() in _HYPHENATED_WITH


# ---------------------------------------------------------------------- bookmarks


def _bookmarks(document: pypdfium2.PdfDocument) -> Mapping[int, Sequence[Heading]]:
    """By the number of the page to which they lead."""
    found: dict[int, list[Heading]] = defaultdict(list)
    with suppress(pypdfium2.PdfiumError):
        for bookmark in islice(document.get_toc(), _MOST_BOOKMARKS):
            target = bookmark.get_dest()
            page = None if target is None else target.get_index()
            if page is not None and len(found[page]) < _MOST_BOOKMARKS_A_PAGE:
                found[page].append(Heading(bookmark.level + 1, bookmark.get_title()))
    return found


def _outlined(text: str, bookmarks: Sequence[Heading]) -> Iterator[Block]:
    """Below a bookmark that its page does not show is what is below none: where it begins is not known."""
    lines = text.splitlines()
    start = 0
    for bookmark in bookmarks:
        found = _find(bookmark.text, lines, start)
        if found is None:
            yield Heading(bookmark.level, "")
            continue
        at, after = found
        yield "\n".join(lines[start:at])
        yield Heading(bookmark.level, " ".join(lines[at:after]))
        start = after
    yield "\n".join(lines[start:])


def _find(title: str, lines: Sequence[str], start: int) -> tuple[int, int] | None:
    """The lines that are the title and nothing else, but for its number."""
    wanted = _comparable(title)
    for number in range(1, _LINES_OF_A_TITLE + 1 if wanted else 1):
        for at in range(start, len(lines) - number + 1):
            shown = _comparable(" ".join(lines[at : at + number]))
            if shown == wanted or (shown.endswith(wanted) and _NUMBERING.fullmatch(shown.removesuffix(wanted))):
                return at, at + number
    return None


def _comparable(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


# ---------------------------------------------------------------------- forms and annotations


def _beside(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> Iterator[str]:
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET and document.formenv:
            yield from _field(document.formenv, annotation)
        elif kind not in _WITHOUT_CONTENTS:
            yield from filter(None, [_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents").strip()])
        pdfium.FPDFPage_CloseAnnot(annotation)


def _field(form: pypdfium2.PdfFormEnv, annotation: object) -> Iterator[str]:
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _CHOSEN_FIELDS and (chosen := list(_chosen(form, annotation))):
        value = ", ".join(chosen)
    elif kind in _WRITTEN_FIELDS and not pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD_FLAG:
        value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind in _CHECKED_FIELDS and pdfium.FPDFAnnot_IsChecked(form, annotation):
        value = _string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
    else:
        value = ""
    if value.strip():
        label = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
        yield f"{label or _string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)}: {value}"


def _chosen(form: pypdfium2.PdfFormEnv, annotation: object) -> Iterator[str]:
    """The labels, which are not always the values."""
    for option in range(min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), _MOST_OPTIONS)):
        if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, option):
            yield _string(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, option)


def _string(function: Callable[..., int], *arguments: object) -> str:
    """PDFium says the number of bytes first; they end with a NUL."""
    size = function(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(size)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0")


# ---------------------------------------------------------------------- scans


def _has_image(page: pypdfium2.PdfPage) -> bool:
    return next(iter(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=2)), None) is not None


def _seen(page: pypdfium2.PdfPage) -> str:
    """What a reader of pictures finds on it, if there is one."""
    reader = ocr.reader()
    width, height = page.get_size()
    if reader is None or not 0 < width * height < _LARGEST_PAGE**2:
        return ""
    scale = min(ocr.DPI / _POINTS_PER_INCH, math.sqrt(ocr.MAX_PIXELS / (width * height)))
    bitmap = page.render(scale=scale, grayscale=True)
    rows = memoryview(bitmap.buffer).cast("B")
    lines = (rows[at : at + bitmap.width] for at in range(0, bitmap.stride * bitmap.height, bitmap.stride))
    picture = b"P5 %d %d 255\n%b" % (bitmap.width, bitmap.height, b"".join(lines))
    bitmap.close()
    return reader.text(picture, round(scale * _POINTS_PER_INCH))
