"""A strict double of Supabase's `POST /rest/v1/rpc/{function}`: its gateway and PostgREST over a real PostgreSQL.

The SQL runs in the database of the test; only the HTTP part is imitated, after the sources of PostgREST 16 (Error.hs,
Plan.hs, Query/QueryBuilder.hs, Query/PreQuery.hs) and of Supabase's self-hosted gateway. Tables and views, calls by
GET, filters on results, preferences and other media types than JSON are not modelled: they are refused and noted in
`violations`. Hints about misspelt functions are approximate. Unlike a hosted Supabase it does not reload the schema
cache by itself after DDL.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.postgrest.database import OWNER, as_role, prepare_database
from tests.doubles.postgrest.faults import (
    BAD_GATEWAY,
    GARBAGE,
    RATE_LIMITED,
    TOO_LARGE,
    UNAVAILABLE,
    Drop,
    Stall,
    gateway_page,
)
from tests.doubles.postgrest.replies import Reply, error_reply
from tests.doubles.postgrest.server import Call, SupabaseDouble

__all__ = [
    "BAD_GATEWAY",
    "GARBAGE",
    "OWNER",
    "RATE_LIMITED",
    "TOO_LARGE",
    "UNAVAILABLE",
    "Call",
    "Drop",
    "Reply",
    "Stall",
    "SupabaseDouble",
    "as_role",
    "error_reply",
    "gateway_page",
    "prepare_database",
    "supabase_server",
]


@contextmanager
def supabase_server(
    database_uri: str,
    *,
    older_project: bool = False,
    reject_non_jwt_bearer: bool = False,
    statement_timeout: str | None = None,
    pool_size: int = 10,
    pool_timeout: float = 10.0,
) -> Iterator[SupabaseDouble]:
    """The double on a socket, served by threads until the block ends; `database_uri` is a superuser's.

    The database is prepared first (see `prepare_database`). `reject_non_jwt_bearer`: the gateway of an older
    self-hosted Supabase. `statement_timeout` stands in for the 8 s that the login role has.
    """
    owner_uri = prepare_database(database_uri, older_project=older_project)
    double = SupabaseDouble(
        owner_uri,
        reject_non_jwt_bearer=reject_non_jwt_bearer,
        statement_timeout=statement_timeout,
        pool_size=pool_size,
        pool_timeout=pool_timeout,
    )
    with double.running():
        yield double
