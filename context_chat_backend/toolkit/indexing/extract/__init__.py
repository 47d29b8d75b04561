"""Text of documents, extracted in worker processes: a hostile file costs one source, never the gateway.

`extractor.Extractor` is the interface. It is not imported here: workers are copies of a process that imports this
package, and has no need of what the gateway's side needs.
"""

from .formats import EXTRACTORS, READER_VERSION, SUPPORTED_MIME_TYPES

__all__ = ["EXTRACTORS", "READER_VERSION", "SUPPORTED_MIME_TYPES"]
