"""PowerPoint presentations."""

from collections.abc import Iterator

from lxml import etree

from . import drawings
from .drawings import A, R, paragraphs
from .outline import Block, Heading
from .package import Package
from .tables import tabular

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"sldNum", "dt", "sldImg"})
_REPEATED = frozenset({"ftr", "hdr"})


def pptx(data: bytes) -> Iterator[Block]:
    """Slide by slide: its title as a heading, texts, tables, diagrams, then the speaker's notes and comments."""
    package = Package(data)
    main = package.main("ppt/presentation.xml")
    parts = {relation.id: relation.part for relation in package.relations(main)}
    seen: set[str] = set()
    for slide in package.xml(main).iter(f"{P}sldId"):
        if (part := parts.get(slide.get(f"{R}id", ""), "")) in package:
            yield from _slide(package, part, seen)


def _slide(package: Package, part: str, seen: set[str]) -> Iterator[Block]:
    """`seen` are the headers and footers so far."""
    shapes = list(_shapes(package.xml(part)))
    yield Heading(1, " ".join(paragraphs(shape) for shape in shapes if _placeholder(shape) in _TITLES))
    for shape in shapes:
        if _placeholder(shape) not in _TITLES:
            yield from _contents(shape, seen)
    yield from drawings.drawn(package, part)
    for notes in package.related(part, "notesSlide"):
        for shape in _shapes(package.xml(notes)):
            yield from _contents(shape, seen)
    for comments in package.related(part, "comments"):
        root = package.xml(comments)
        yield "\n".join(text.text or "" for text in root.iter(f"{A}t", "{*}text"))


def _shapes(element: etree._Element) -> Iterator[etree._Element]:
    """Those with a text, or a table; of groups, the ones within."""
    for child in element:
        if child.tag in {f"{P}sp", f"{P}graphicFrame", f"{P}cxnSp", f"{P}pic"}:
            yield child
        elif child.tag == drawings.ALTERNATIVES:
            option = drawings.chosen(child)
            yield from () if option is None else _shapes(option)
        else:
            yield from _shapes(child)


def _placeholder(shape: etree._Element) -> str:
    """What it is the place for: "body" where nothing is said, empty for what is no placeholder."""
    found = shape.find(f"*/{P}nvPr/{P}ph")
    return "" if found is None else found.get("type", "body")


def _contents(shape: etree._Element, seen: set[str]) -> Iterator[Block]:
    kind = _placeholder(shape)
    if kind in _FURNITURE:
        return
    if (table := next(shape.iter(f"{A}tbl"), None)) is not None:
        yield from tabular([paragraphs(cell) for cell in line.iterchildren(f"{A}tc")] for line in table.iter(f"{A}tr"))
        return
    text = paragraphs(shape)
    if kind not in _REPEATED:
        yield text
    elif text not in seen:
        seen.add(text)
        yield text
