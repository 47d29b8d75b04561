"""EPUB books."""

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from urllib.parse import unquote

from lxml import etree

from .formats import ENCRYPTED, Unreadable
from .markup import html
from .outline import Block, Heading, deeper
from .package import Package

_CONTAINER = "META-INF/container.xml"
_RIGHTS, _ENCRYPTION = "META-INF/rights.xml", "META-INF/encryption.xml"
_PACKAGE = "application/oebps-package+xml"
_PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html"})
_PAGES = (".xhtml", ".html", ".htm")


def book(data: bytes) -> Iterator[Block]:
    """Its chapters in the order in which they are read, below the title of the book."""
    package = Package(data)
    if _RIGHTS in package:
        raise Unreadable(ENCRYPTED)
    main = _main(package)
    root = package.xml(main)
    yield Heading(0, " ".join(title.text or "" for title in root.iter("{http://purl.org/dc/elements/1.1/}title")))
    yield ", ".join(creator.text or "" for creator in root.iter("{http://purl.org/dc/elements/1.1/}creator"))
    encrypted = frozenset(_encrypted(package))
    for name in filter(package.__contains__, _chapters(root, main)):
        if name in encrypted:
            raise Unreadable(ENCRYPTED)
        chapter = package.read(name)
        with suppress(Unreadable):  # one that is no text spoils no book
            yield from deeper(1, html(chapter))


def _encrypted(package: Package) -> Iterator[str]:
    """In many books these are fonts only."""
    if _ENCRYPTION in package:
        for reference in package.xml(_ENCRYPTION).iter("{*}CipherReference"):
            yield unquote(reference.get("URI", ""))


def _main(package: Package) -> str:
    """A book may be packed in other forms as well."""
    files = package.xml(_CONTAINER).iter("{*}rootfile") if _CONTAINER in package else ()
    named = [str(file.get("full-path", "")) for file in files if file.get("media-type", _PACKAGE) == _PACKAGE]
    others = (name for name in package if name.endswith(".opf"))
    return next(name for name in chain(named, others) if name in package)


def _chapters(root: etree._Element, main: str) -> Iterator[str]:
    """Those that the spine names come first; what is not in it (notes, often) is part of the book as well. Broken books
    have ids twice, or none."""
    folder = posixpath.dirname(main)
    names: defaultdict[str, list[str]] = defaultdict(list)
    navigation: set[str] = set()
    for item in root.iter("{*}item"):
        path = unquote(item.get("href", "").partition("#")[0])
        name = posixpath.normpath(posixpath.join(folder, path))
        if item.get("media-type") in _PAGE_TYPES or path.endswith(_PAGES):
            names[item.get("id", "")].append(name)
        if "nav" in item.get("properties", "").split():
            navigation.add(name)
    spine = chain.from_iterable(names.get(reference.get("idref", ""), ()) for reference in root.iter("{*}itemref"))
    others = (name for name in chain.from_iterable(names.values()) if name not in navigation)
    return iter(dict.fromkeys(chain(spine, others)))
