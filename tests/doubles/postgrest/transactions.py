"""Runs a function as PostgREST does: one transaction, in the role of the caller, arguments and result as JSON."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from typing import Any

import psycopg
from psycopg import sql

from tests.doubles.postgrest.functions import Function
from tests.doubles.postgrest.replies import JSON, Reply, refused

EXTRA_SEARCH_PATH = ("public", "extensions")
HOISTED = frozenset({"statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation"})
"""Settings of a function that hold for the whole transaction; the others PostgreSQL applies when it calls it."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Invocation:
    """A function with the body of a request."""

    function: Function
    body: bytes
    arguments: frozenset[str]
    role: str
    role_settings: Mapping[str, str]
    headers: Mapping[str, str]
    """Those of the request that the function may read."""

    def run(self, connection: Connection, max_rows: int) -> Reply:
        with self._transaction(connection):
            given = [self.body.decode()] if self.arguments else []
            row = connection.execute(self._statement(max_rows).encode(), given).fetchone()
        assert row is not None
        return self._reply(*row)

    def _reply(self, rows: int, body: str) -> Reply:
        if self.function.returns_nothing:
            return Reply(204)
        content_range = f"0-{rows - 1}/*" if rows else "*/*"
        headers = {"Content-Range": content_range, "Content-Profile": self.function.schema}
        return Reply(200, body.encode(), {**JSON, **headers})

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        isolation = self.function.settings.get("default_transaction_isolation", "read committed")
        access = "read only" if self.function.is_read_only else "read write"
        connection.execute(f"begin isolation level {isolation} {access}".encode())
        try:
            settings = self._settings()
            calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
            connection.execute(f"select {calls}".encode(), [part for setting in settings for part in setting])
            yield
            connection.execute("commit")
        except BaseException:
            if not connection.broken:
                connection.execute("rollback")
            raise

    def _settings(self) -> list[tuple[str, str]]:
        """In the order in which they are applied; the role comes after its own settings."""
        search_path = dict.fromkeys([self.function.schema, *EXTRA_SEARCH_PATH])
        return [
            ("search_path", ", ".join(search_path)),
            *self.role_settings.items(),
            ("role", self.role),
            ("request.jwt.claims", json.dumps({"role": self.role})),
            ("request.method", "POST"),
            ("request.path", f"/rpc/{self.function.name}"),
            ("request.headers", json.dumps(dict(self.headers))),
            *((name, value) for name, value in self.function.settings.items() if name in HOISTED),
        ]

    def _statement(self, max_rows: int) -> str:
        columns = "result.*" if self.function.returns_rows else "result.value"
        shown = "page" if self.function.returns_rows else "page.value"
        rows = f"json_agg({shown})"
        body = f"coalesce({rows}, '[]')" if self.function.returns_set else f"coalesce({rows} -> 0, 'null')"
        return (
            f"with source as (select {columns} from {self._source()})"
            f" select count(*), ({body})::text from (select * from source limit {max_rows}) page"
        )

    def _source(self) -> str:
        given = [each for each in self.function.parameters if each.name in self.arguments]
        names = [_quoted(each.name) for each in given]
        typed = ", ".join(f"{name} {each.type}" for name, each in zip(names, given, strict=True))
        passed = ", ".join(f"{name} := arguments.{name}" for name in names)
        call = f"{_quoted(self.function.schema, self.function.name)}({passed})"
        result = f"{call} result" if self.function.returns_rows else f"(select {call} as value) result"
        if not given:
            return result
        return (
            "(select %s::json as value) body,"
            f" lateral (select {', '.join(names)} from json_to_record(body.value) as _({typed}) limit 1) arguments,"
            f" lateral {result}"
        )


def _quoted(*name: str) -> str:
    return sql.Identifier(*name).as_string()


class Pool:
    """Connections of PostgREST's login role. Full or without a database it answers as PostgREST does."""

    def __init__(self, uri: str, *, size: int, timeout: float, statement_timeout: str | None) -> None:
        self._uri = uri
        self._options = "" if statement_timeout is None else f"-c statement_timeout={statement_timeout}"
        self._free = BoundedSemaphore(size)
        self._timeout = timeout
        self._idle: LifoQueue[Connection] = LifoQueue()
        self.is_down = False
        """No connection can be made."""

    def connect(self) -> Connection:
        if self.is_down:
            message = "Database connection error. Retrying the connection."
            raise refused(503, "PGRST000", message, details="connection to server failed: Connection refused")
        return psycopg.connect(self._uri, autocommit=True, options=self._options)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        if not self._free.acquire(timeout=self._timeout):
            raise refused(504, "PGRST003", "Timed out acquiring connection from connection pool.")
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def terminate(self) -> None:
        """End every connection of the login role, also those at work."""
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = current_user and datname = current_database() and pid <> pg_backend_pid()"
            )
        self.close()

    def close(self) -> None:
        """Those that nobody uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _take(self) -> Connection:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self.connect()

    def _give_back(self, connection: Connection) -> None:
        if connection.broken:
            connection.close()
        else:
            self._idle.put(connection)
