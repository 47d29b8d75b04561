"""ZIP files of XML parts, as all office formats of today are, and the relations between the parts of OOXML."""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from .formats import ENCRYPTED, Unreadable

MAX_UNPACKED_BYTES = 200_000_000
_ENCRYPTED_FLAG = 1
_MOST_DIGITS = 9
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_TRANSITIONAL = rb"http://schemas.openxmlformats.org/\1/2006/\2"


@dataclass(frozen=True, slots=True)
class Relation:
    id: str
    kind: str
    """The last word of its type, which Strict and Transitional OOXML have in common."""
    part: str
    """The name of the part that it leads to."""


class Package:
    """Raises what `zipfile` raises when there is none."""

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        self._entries = {_key(entry.filename): entry for entry in self._archive.infolist()}
        self._left = MAX_UNPACKED_BYTES
        self._parser = xml_parser()
        self._relations: dict[str, list[Relation]] = {}

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def read(self, name: str) -> bytes:
        """Raises `KeyError`, and `Unreadable` where it is encrypted or all that was read is too much."""
        entry = self._entries[_key(name)]
        if entry.flag_bits & _ENCRYPTED_FLAG:
            raise Unreadable(ENCRYPTED)
        # zipfile never unpacks more than what an entry declares, so that the declared sizes can be trusted.
        self._left -= entry.file_size
        if self._left < 0:
            raise Unreadable(f"unpacks to more than {MAX_UNPACKED_BYTES // 1_000_000} MB")
        return self._archive.read(entry)

    def xml(self, name: str) -> etree._Element:
        with memory_errors():
            return etree.fromstring(self.transitional(name), self._parser)

    def transitional(self, name: str) -> bytes:
        """Strict OOXML as if it were Transitional."""
        return _STRICT.sub(_TRANSITIONAL, self.read(name))

    def relations(self, part: str) -> list[Relation]:
        """Those within the package; of the package itself for "". None where they are missing or damaged."""
        if part not in self._relations:
            self._relations[part] = self._read_relations(part)
        return self._relations[part]

    def _read_relations(self, part: str) -> list[Relation]:
        folder, name = posixpath.split(part)
        try:
            root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        except (KeyError, etree.XMLSyntaxError):
            return []
        return [
            Relation(
                element.get("Id", ""),
                element.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, unquote(element.get("Target", "")))).lstrip("/"),
            )
            for element in root.iter("{*}Relationship")
            if element.get("TargetMode") != "External"
        ]

    def related(self, part: str, *kinds: str) -> Iterator[str]:
        """The names of parts that exist, each once."""
        names = dict.fromkeys(relation.part for relation in self.relations(part) if relation.kind in kinds)
        return (name for name in names if name in self)

    def main(self, usual: str) -> str:
        return next(self.related("", "officeDocument"), usual)


@contextmanager
def memory_errors() -> Iterator[None]:
    """libxml2 calls it a fault of the file when there is no memory left."""
    try:
        yield
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:  # type: ignore[attr-defined]  # not in the stubs
            raise MemoryError from error
        raise


def xml_parser() -> etree.XMLParser:
    """For files whose text may be long and deep; entities are not expanded and nothing is fetched."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True, remove_pis=True
    )


def number_or(default: int, value: str | None) -> int:
    """What an attribute says where it is a count or an index."""
    return int(value) if value and value.isdecimal() and len(value) <= _MOST_DIGITS else default


def _key(name: str) -> str:
    """Names of parts differ in more than case, and some programs for Windows write backslashes."""
    return name.replace("\\", "/").lower()
