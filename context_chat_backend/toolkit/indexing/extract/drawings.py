"""DrawingML, the text of shapes, diagrams and charts in all of OOXML; and alternative contents."""

from collections.abc import Iterator, Set

from lxml import etree

from .package import Package

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
ALTERNATIVES = f"{_MC}AlternateContent"
_TEXTS = ("{*}t", "{*}relIds")
_IN_LINE = ("{*}t", f"{A}br", f"{A}tab")


def chosen(alternatives: etree._Element) -> etree._Element | None:
    """The one of several forms of the same content that is read: the first with a text."""
    options = [*alternatives.iterchildren(f"{_MC}Choice"), *alternatives.iterchildren(f"{_MC}Fallback")]
    return next((option for option in options if next(option.iter(*_TEXTS), None) is not None), None)


def paragraphs(body: etree._Element) -> str:
    """Those of a shape, a line each, with their equations."""
    others = frozenset(_not_chosen(body))
    return "\n".join(_paragraph(each, others) for each in body.iter(f"{A}p") if each not in others)


def _not_chosen(body: etree._Element) -> Iterator[etree._Element]:
    """What is in the other forms of the same content."""
    for alternatives in body.iter(ALTERNATIVES):
        read = chosen(alternatives)
        for option in alternatives:
            if option is not read:
                yield from option.iter(f"{A}p", *_IN_LINE)


def _paragraph(paragraph: etree._Element, others: Set[etree._Element]) -> str:
    breaks = {f"{A}br": "\n", f"{A}tab": "\t"}
    nodes = (node for node in paragraph.iter(*_IN_LINE) if node not in others)
    return "".join(breaks.get(str(node.tag)) or node.text or "" for node in nodes)


def drawn(package: Package, part: str) -> Iterator[str]:
    """The words of diagrams and charts that belong to a part."""
    for name in package.related(part, "diagramData"):
        yield paragraphs(package.xml(name))
    for name in package.related(part, "chart"):
        chart = package.xml(name)
        labels = [node.text or "" for cache in chart.iter(f"{C}strCache") for node in cache.iter(f"{C}v")]
        yield "\n".join(dict.fromkeys([*paragraphs(chart).splitlines(), *labels]))
