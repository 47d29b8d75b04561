"""HTML and XML, by lxml."""

import contextlib
import re
from collections.abc import Iterator
from html import unescape

from lxml import etree

from .decoding import decode

# fmt: off
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
})
_PARAGRAPHS = frozenset({
    "article", "blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section", "table", "title",
    "ul",
})
# fmt: on
_HIDDEN = frozenset({"noscript", "script", "style", "template"})
_DECLARED_ENCODING = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]+)""")
_DECLARATION_BYTES = 2048
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_TAG = re.compile(r"<[^<>]*>")
_BREAKS = re.compile("[ \n\f]+")
_PARAGRAPH = "\f"  # while walking; becomes a blank line


def html(data: bytes) -> Iterator[str]:
    """The visible text and the title; one line per block, a blank line around paragraphs."""
    text = _decode(data)
    # huge_tree allows long texts and deep nesting (broken mails nest hundreds of tags); the limits of the worker hold.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
    root = None
    with contextlib.suppress(etree.XMLSyntaxError):  # not a single element, or what the log says
        root = etree.fromstring(_without_surrogates(text), parser)
    if parser.error_log.filter_from_fatals():  # even deeper, or out of memory: the parser drops what follows
        yield unescape(_TAG.sub(" ", text))
    elif root is not None:
        yield _BREAKS.sub(_strongest, "".join(_visible(root)))


def _visible(root: etree._Element) -> Iterator[str]:
    preformatted = 0
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag
        yield _break(tag)
        preformatted += (tag == "pre") * (1 if event == "start" else -1)
        if event == "start" and tag in _HIDDEN:
            walk.skip_subtree()
            continue
        run = (element.text if event == "start" else element.tail) or ""
        yield run if preformatted else _BLANKS.sub(" ", run)


def _break(tag: object) -> str:
    if tag in _PARAGRAPHS:
        return _PARAGRAPH
    if tag in {"td", "th"}:
        return " "
    return "" if tag in _INLINE or tag in _HIDDEN else "\n"


def _strongest(breaks: re.Match[str]) -> str:
    if _PARAGRAPH in breaks[0]:
        return "\n\n"
    return "\n" if "\n" in breaks[0] else " "


def xml(data: bytes) -> Iterator[str]:
    """Text and attribute values, a line each: attributes hold text for people as well (titles, labels).

    Entities that the document defines are not expanded and nothing is fetched. What is not well-formed XML, or deeper
    than the parser allows, is read as plain text with its markup, so that no word is lost.
    """
    text = _decode(data)
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True
    )
    try:
        root = etree.fromstring(_without_surrogates(text), parser)
    except etree.XMLSyntaxError:
        yield text
    else:
        yield "\n".join(_texts(root))


def _texts(root: etree._Element) -> Iterator[str]:
    for event, node in etree.iterwalk(root, events=("start", "end", "comment")):
        if event == "start":
            yield from (str(value).strip() for value in node.values())
        if event != "comment" and (run := (node.text if event == "start" else node.tail)) and run.strip():
            yield run.strip()


def _decode(data: bytes) -> str:
    declared = _DECLARED_ENCODING.search(data, 0, _DECLARATION_BYTES)
    return decode(data, declared[1].decode("ascii") if declared else None)


def _without_surrogates(text: str) -> bytes:
    return text.encode("utf-8", errors="ignore")
