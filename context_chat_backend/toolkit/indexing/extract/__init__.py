"""Text of documents, extracted in worker processes: a hostile file costs one source, never the gateway.

`extractor.Extractor` is the interface. It is not imported here: a worker imports this package for every document, and
what the gateway's side needs would more than double the start of a worker.
"""

from .formats import EXTRACTORS, SUPPORTED_MIME_TYPES

__all__ = ["EXTRACTORS", "SUPPORTED_MIME_TYPES"]
