"""The double: what it makes of a request, and the handles by which a test makes trouble."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import psycopg

from tests.doubles.postgrest.database import LOGIN, as_role
from tests.doubles.postgrest.faults import TOO_LARGE, Fault, Faults
from tests.doubles.postgrest.functions import SCHEMAS, SchemaCache
from tests.doubles.postgrest.keys import PUBLISHABLE_KEY, SECRET_KEY, Keys, make_jwt
from tests.doubles.postgrest.replies import Refusal, Reply, refused, refused_by_database, wrong_driver
from tests.doubles.postgrest.sockets import Request, serving
from tests.doubles.postgrest.transactions import Connection, Invocation, Pool

RPC = "/rest/v1/rpc/"
CREDENTIALS = frozenset({"apikey", "authorization"})
UNKNOWN_HEADERS = ("Prefer", "Range", "Content-Encoding", "Transfer-Encoding")
RELOAD_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """One request, whatever became of it."""

    function: str
    """Empty when it was for something else."""
    size: int
    """Bytes of the body."""
    api_key: str | None
    authorization: str | None
    port: int
    """Of the client: tells its connections apart."""


class SupabaseDouble:
    """Everything that it does not model is refused and noted in `violations`."""

    secret_key = SECRET_KEY
    publishable_key = PUBLISHABLE_KEY
    service_role_jwt = make_jwt("service_role")
    anon_jwt = make_jwt("anon")

    def __init__(
        self,
        owner_uri: str,
        *,
        reject_non_jwt_bearer: bool,
        statement_timeout: str | None,
        pool_size: int,
        pool_timeout: float,
    ) -> None:
        self.url = ""
        self.owner_uri = owner_uri
        """The database, for its owner."""
        self.max_rows = 1000
        """Of one answer; more are left out silently."""
        self.max_request_bytes: int | None = None
        """What the gateway lets through; larger bodies get 413."""
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self._faults = Faults()
        self._keys = Keys(reject_non_jwt_bearer=reject_non_jwt_bearer)
        self._pool = Pool(
            as_role(owner_uri, LOGIN), size=pool_size, timeout=pool_timeout, statement_timeout=statement_timeout
        )
        self._cache: SchemaCache | None = None
        self._is_starting = False
        self._reloaded = Event()
        self._stopping = False

    # ------------------------------------------------------------------ handles

    @property
    def functions_called(self) -> list[str]:
        return [call.function for call in self.calls]

    def fail_next(self, fault: Fault, times: int = 1, *, function: str | None = None) -> None:
        """The next calls, of any function or of one, meet this fault."""
        self._faults.add(fault, times, function)

    @contextmanager
    def fail_all(self, fault: Fault, *, function: str | None = None) -> Iterator[None]:
        """All calls inside the block do."""
        with self._faults.standing(fault, function):
            yield

    @contextmanager
    def database_down(self) -> Iterator[None]:
        """Inside the block PostgREST can no longer reach the database."""
        self._pool.is_down = True
        self._pool.terminate()
        try:
            yield
        finally:
            self._pool.is_down = False

    def terminate_connections(self) -> None:
        """As a restart of the database does; statements that are running fail."""
        self._pool.terminate()

    @contextmanager
    def expect_reload(self) -> Iterator[None]:
        """Leaving the block waits until the schema cache has been loaded anew, as by `notify pgrst`."""
        self._reloaded.clear()
        yield
        assert self._reloaded.wait(RELOAD_SECONDS), "nobody asked for a reload of the schema cache"

    @contextmanager
    def without_schema_cache(self) -> Iterator[None]:
        """Inside the block PostgREST has just started and has not yet read the schema."""
        self._is_starting = True
        try:
            yield
        finally:
            self._is_starting = False

    # ------------------------------------------------------------------ running

    @contextmanager
    def running(self) -> Iterator[None]:
        listener = self._listen()
        self._reload()
        thread = Thread(target=self._follow, args=[listener])
        thread.start()
        try:
            with serving(self) as self.url:
                try:
                    yield
                finally:
                    self._stopping = True
                    self._faults.release()
                    self._pool.terminate()
        finally:
            thread.join()
            self._pool.close()

    def _listen(self) -> Connection:
        connection = self._pool.connect()
        connection.execute("listen pgrst")
        return connection

    def _follow(self, listener: Connection) -> None:
        """Reload when asked, and after the connection was lost: something may have been missed meanwhile."""
        pause = Event()
        while not self._stopping:
            try:
                if listener.closed:
                    listener = self._listen()
                    self._reload()
                for notification in listener.notifies(timeout=1):
                    if notification.payload in {"", "reload schema", "reload config"}:
                        self._reload()
            except (psycopg.OperationalError, Refusal):
                listener.close()
                pause.wait(0.02)
        listener.close()

    def _reload(self) -> None:
        with self._pool.connect() as connection:
            self._cache = SchemaCache(connection)
        self._reloaded.set()

    # ------------------------------------------------------------------ a request

    def fault_of(self, request: Request) -> Fault | None:
        """See `sockets.App`."""
        function = request.path.removeprefix(RPC) if request.path.startswith(RPC) else ""
        headers = request.headers
        self.calls.append(
            Call(function, len(request.body), headers.get("apikey"), headers.get("Authorization"), request.port)
        )
        return self._faults.take(function)

    def reply_to(self, request: Request) -> Reply:
        """See `sockets.App`."""
        try:
            if self.max_request_bytes is not None and len(request.body) > self.max_request_bytes:
                return TOO_LARGE
            role = self._keys.role(request.headers)
            _check_modelled(request)
            return self._run(self._invocation(request, role))
        except Refusal as refusal:
            if refusal.wrong:
                self.violations.append(f"{request.method} {request.path}: {refusal}")
            return refusal.reply

    def crashed(self, error: BaseException) -> None:
        """See `sockets.App`."""
        self.violations.append(f"the double failed: {error!r}")

    def _invocation(self, request: Request, role: str) -> Invocation:
        schema = request.headers.get("Content-Profile") or SCHEMAS[0]
        if schema not in SCHEMAS:
            hint = "Only the following schemas are exposed: " + ", ".join(SCHEMAS)
            raise refused(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)
        arguments = frozenset(_json_object(request.body))
        cache = None if self._is_starting else self._cache
        if cache is None:
            message = "Could not query the database for the schema cache. Retrying."
            raise refused(503, "PGRST002", message)
        return Invocation(
            cache.find(schema, request.path.removeprefix(RPC), arguments),
            request.body,
            arguments,
            role,
            cache.role_settings.get(role, {}),
            {name.lower(): value for name, value in request.headers.items() if name.lower() not in CREDENTIALS},
        )

    def _run(self, invocation: Invocation) -> Reply:
        try:
            with self._pool.connection() as connection:
                return invocation.run(connection, self.max_rows)
        except psycopg.Error as error:
            raise refused_by_database(error, anonymous=invocation.role == "anon") from None


def _check_modelled(request: Request) -> None:
    if not request.path.startswith(RPC) or "/" in request.path.removeprefix(RPC):
        raise wrong_driver("only functions are modelled")
    if request.method != "POST":
        raise wrong_driver("only POST is modelled")
    if request.query:
        raise wrong_driver(f"a query string is not modelled: {request.query}")
    if request.headers.get("Content-Type") != "application/json":
        raise wrong_driver("the body has to be application/json")
    if request.headers.get("Accept") not in {None, "*/*", "application/json"}:
        raise wrong_driver("only JSON is modelled")
    unknown = [name for name in UNKNOWN_HEADERS if name in request.headers]
    if unknown:
        raise wrong_driver(f"headers are not modelled: {', '.join(unknown)}")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise refused(400, "PGRST102", "Empty or invalid json")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
