"""The backends that every HTTP case goes through. The one place to add another."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType

import psycopg

from context_chat_backend.toolkit.indexing.embed.shipped import DIMENSION
from context_chat_backend.toolkit.postgres.migrations import store_script
from tests.doubles.pinecone import pinecone_server
from tests.doubles.postgrest import supabase_server
from tests.doubles.r2r import r2r_server
from tests.gateway import Nextcloud, make_settings, running_gateway
from tests.postgres import new_database

Surroundings = Callable[[], AbstractContextManager[dict[str, str]]]


def nothing() -> AbstractContextManager[dict[str, str]]:
    """A backend that needs no other server and no settings."""
    return nullcontext({})


@contextmanager
def r2r_double() -> Iterator[dict[str, str]]:
    """The strict double of R2R."""
    with r2r_server() as double:
        yield {
            "R2R_BASE_URL": double.url,
            "R2R_USER": double.superuser.email,
            "R2R_PASSWORD": double.superuser.password,
        }
        assert double.violations == []


@contextmanager
def pinecone_double() -> Iterator[dict[str, str]]:
    """The strict double of Pinecone; the index is made by the gateway."""
    with pinecone_server() as double:
        yield {
            "PINECONE_API_KEY": double.api_key,
            "PINECONE_CONTROLLER_HOST": double.url,
            "PINECONE_REGION": "us-east-1",
        }
        assert double.violations == []


@contextmanager
def supabase_double() -> Iterator[dict[str, str]]:
    """The stand-in for Supabase over a real PostgreSQL, prepared as an admin prepares a project."""
    with new_database() as uri, supabase_server(uri) as double:
        with double.expect_reload(), psycopg.connect(double.owner_uri, autocommit=True) as connection:
            connection.execute(store_script(DIMENSION).encode())
        yield {"SUPABASE_URL": double.url, "SUPABASE_KEY": double.secret_key}
        assert double.violations == []


@contextmanager
def qdrant_in_a_folder() -> Iterator[dict[str, str]]:
    """The driver of docs/examples/qdrant on the engine inside qdrant-client."""
    with tempfile.TemporaryDirectory(prefix="ccb-test-") as folder:
        yield {"QDRANT_URL": folder}


REFERENCE = "reference"
"""What the others are compared with."""

BACKENDS: Mapping[str, Surroundings] = MappingProxyType(
    {
        REFERENCE: nothing,
        "builtin": nothing,
        "r2r": r2r_double,
        "pinecone": pinecone_double,
        "supabase": supabase_double,
        "qdrant": qdrant_in_a_folder,
    }
)
"""Name in `RAG_BACKEND` to what has to run beside a gateway.

Entered, it yields the variables that the gateway needs besides. What it runs is empty then, and keeps what is stored
in it until it is left, whichever gateways come and go.
"""


@contextmanager
def gateway_of(backend: str, folder: Path) -> Iterator[Nextcloud]:
    """A gateway of a backend, and what that backend cannot do without. Answers are built on all that is found: what the
    cases ask has little to do with what they load."""
    with BACKENDS[backend]() as environment, ExitStack() as running:
        settings = make_settings(folder, rag_backend=backend)
        yield running.enter_context(running_gateway(settings, variables={**environment, "CC_LEAST_RELEVANCE": "0"}))
