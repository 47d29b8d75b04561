"""A strict double of Pinecone's API version 2026-07: the control plane of one index and its documents plane, in memory.

Nothing of it was recorded from the real service. Shapes, rules and messages come from Pinecone's OpenAPI files, its
documentation, its SDKs and their integration tests; what none of them says is marked "not recorded", and the double
takes the less convenient possibility. Not modelled, and refused: sparse vectors, embedding by Pinecone, Lucene queries,
aliases of namespaces, reading and writing the vectors plane. Unlike Pinecone's, its search finds the nearest
neighbours without fail.
"""

from tests.doubles.pinecone.server import PineconeDouble
from tests.doubles.pinecone.serving import pinecone_server

__all__ = ["PineconeDouble", "pinecone_server"]
