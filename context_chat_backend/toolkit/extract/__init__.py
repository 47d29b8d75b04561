"""Text of documents, extracted in worker processes: a hostile file costs one source, never the gateway.

`Extractor` is the public interface, `formats.EXTRACTORS` the table of what can be read.
"""

from typing import TYPE_CHECKING

from .formats import EXTRACTORS, SUPPORTED_MIME_TYPES

if TYPE_CHECKING:
    from .extractor import Extractor, ExtractSettings

__all__ = ["EXTRACTORS", "SUPPORTED_MIME_TYPES", "ExtractSettings", "Extractor"]


def __getattr__(name: str) -> object:
    # A worker imports this package for every document; pydantic and anyio would more than double its start.
    if name in {"Extractor", "ExtractSettings"}:
        from . import extractor  # noqa: PLC0415

        return getattr(extractor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
