"""Which of the sources that nothing could read may be readable now."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Self

from ..contract import Capabilities
from ..toolkit.indexing.extract.extractor import ExtractSettings, installed_reader
from ..toolkit.indexing.extract.reader import Reader
from ..toolkit.settings import read_settings


@dataclass(frozen=True, slots=True)
class WhatReads:
    """Documents, here and now."""

    mime_types: Set[str] | None
    """None for all."""
    reader: Reader

    @classmethod
    def installed(cls, capabilities: Capabilities, variables: Mapping[str, str]) -> Self:
        """For a backend with these capabilities. Blocks while Tesseract is asked for its languages. Raises
        `Misconfigured`."""
        return cls(capabilities.mime_types, installed_reader(read_settings(ExtractSettings, variables)))

    def may_read(self, mime_type: str, gave_up: str | None) -> bool:
        """A source of this type that `gave_up` could not read, which is `Entry.reader`."""
        if gave_up is None or not (self.mime_types is None or mime_type in self.mime_types):
            return False
        return self.reader.may_read_what(gave_up)
