"""The sample documents of the demo."""

from dataclasses import dataclass
from pathlib import Path

from ...nextcloud.push_client import part

FOLDER = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class Document:
    """A sample document with its readers."""

    source_id: str
    title: str
    mime_type: str
    file: str
    users: tuple[str, ...]

    def part(self) -> bytes:
        """As it is uploaded."""
        content = (FOLDER / self.file).read_bytes()
        return part(self.source_id, content, users=self.users, title=self.title, mime_type=self.mime_type)
