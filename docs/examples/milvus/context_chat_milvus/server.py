"""What a Milvus can do, by its version."""

import re
from dataclasses import dataclass

from context_chat_backend.contract import Misconfigured

OLDEST = (2, 3, 0)
"""The first that compares by cosine and deletes by a filter."""
SPARSE = (2, 4, 0)
"""The first with sparse vectors, and with more than one vector in a collection."""
MERGE = (2, 6, 2)
"""The first whose upsert changes some of the fields, https://milvus.io/docs/upsert-entities.md"""


@dataclass(frozen=True, slots=True)
class Server:
    """The server that a store speaks to."""

    version: str
    keeps_words: bool
    """Whether it has sparse vectors."""
    merges: bool
    """Whether a field can be changed without sending the others."""

    @classmethod
    def of_version(cls, version: str) -> "Server":
        """Raises `Misconfigured` if that is too old. What is no number, as a build from source may have it, is taken
        for the oldest: all that is done then can be done everywhere."""
        numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
        release = tuple(int(number or 0) for number in numbers.groups()) if numbers else OLDEST
        if release < OLDEST:
            raise Misconfigured(f"MILVUS_URL: a Milvus of version {version}; 2.3 or later is needed, 2.4 for words")
        return cls(version=version, keeps_words=release >= SPARSE, merges=release >= MERGE)

    @property
    def scalar_index(self) -> str:
        """The kind of index that a filter by a few values of many uses. Before 2.4 it had no name for all types."""
        return "INVERTED" if self.keeps_words else ""

    @property
    def remedy(self) -> str:
        """What to do about a collection that has no words."""
        first = "" if self.keeps_words else "upgrade Milvus to 2.4 or later, then "
        return f"{first}remove the collection and the catalogue and let Nextcloud fill them"
