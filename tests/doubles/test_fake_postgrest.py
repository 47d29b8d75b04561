"""The double of Supabase's function calls: driven by the real SDK, it answers as gateway and PostgREST do."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import psycopg
import pytest
from postgrest.exceptions import APIError
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from tests.doubles.postgrest import (
    BAD_GATEWAY,
    GARBAGE,
    RATE_LIMITED,
    Drop,
    Stall,
    SupabaseDouble,
    error_reply,
    supabase_server,
)
from tests.doubles.postgrest.keys import make_jwt

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

RPC = "/rest/v1/rpc/"
FUNCTIONS = """
create table public.notes (note text);
create function nothing() returns void language sql as '';
create function null_text() returns text language sql as 'select null::text';
create function seven() returns int language sql as 'select 7';
create function document() returns jsonb language sql as $$ select '{"a": [1, null, "ü漢"]}'::jsonb $$;
create function empty_list() returns jsonb language sql as $$ select '[]'::jsonb $$;
create function numbers(last int) returns setof int language sql as 'select generate_series(1, last)';
create function pairs(last int) returns table (x int, y text) language sql
  as $$ select n, 'n' || n from generate_series(1, last) n $$;
create function pair(out x int, out y text) language sql as $$ select 1, 'one' $$;
create function echo(words text[], numbers int[], v extensions.halfvec, j jsonb, more text default 'default')
  returns jsonb language sql as 'select to_jsonb(array[words::text, numbers::text, v::text, j::text, more])';
create function who() returns text language sql as $$ select current_user || '/' || session_user $$;
create function setting(name text) returns text language sql as 'select current_setting(name)';
create function note(text text) returns int language sql as 'insert into notes values (text); select 1';
create function note_and_fail(text text) returns int language plpgsql
  as $$ begin insert into notes values (text); perform 1 / 0; return 1; end $$;
create function note_although_stable() returns int language sql stable as $$ select note('a') $$;
create function fail(state text, message text default 'no') returns int language plpgsql
  as $$ begin raise exception using errcode = state, message = message, detail = 'a detail', hint = 'a hint'; end $$;
create function nap(seconds float8) returns int language plpgsql
  as $$ begin perform pg_sleep(seconds); return 1; end $$;
create function long_nap(seconds float8) returns int language plpgsql set statement_timeout = '20s'
  as $$ begin perform pg_sleep(seconds); return 1; end $$;
create function twice(x int) returns int language sql as 'select x';
create function twice(x text) returns int language sql as 'select 1';
"""
GRANT = """
grant execute on all functions in schema public to service_role;
grant all on public.notes to service_role;
"""
PRIVATE = "revoke all on all functions in schema public from public;"


def run(uri: str, *statements: str) -> None:
    with psycopg.connect(uri) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def notes(double: SupabaseDouble) -> list[str]:
    with psycopg.connect(double.owner_uri) as connection:
        return [note for (note,) in connection.execute("select note from notes")]


def install(double: SupabaseDouble) -> None:
    with double.expect_reload():
        run(double.owner_uri, FUNCTIONS, PRIVATE, GRANT, "notify pgrst, 'reload schema'")


@pytest.fixture
def make_double(empty_database: str) -> Iterator[Callable[..., Any]]:
    """Doubles over a database with the functions; none of them may see what it does not model."""
    doubles: list[SupabaseDouble] = []

    @asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[SupabaseDouble]:
        with supabase_server(empty_database, **options) as double:
            doubles.append(double)
            install(double)
            yield double

    yield make
    assert [violation for double in doubles for violation in double.violations] == []


@pytest.fixture
async def double(make_double: Callable[..., Any]) -> AsyncIterator[SupabaseDouble]:
    async with make_double() as double:
        yield double


@pytest.fixture(scope="module")
def module_double(postgres: str) -> Iterator[SupabaseDouble]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database shared template template0 strategy file_copy")
        with supabase_server(postgres.replace("/postgres?", "/shared?")) as double:
            install(double)
            yield double
        connection.execute("drop database shared with (force)")


@pytest.fixture
def shared(module_double: SupabaseDouble) -> Iterator[SupabaseDouble]:
    """For tests that leave nothing behind."""
    yield module_double
    assert module_double.violations == []


@asynccontextmanager
async def connected(double: SupabaseDouble, key: str = "", *, bearer: bool = True) -> AsyncIterator[AsyncClient]:
    """The SDK with this key; without `bearer` it sends no `Authorization`."""

    async def drop_bearer(request: httpx.Request) -> None:
        if not bearer:
            del request.headers["Authorization"]

    hooks = {"request": [drop_bearer]}
    async with httpx.AsyncClient(timeout=10, event_hooks=hooks) as http:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
        yield await create_async_client(double.url, key or double.secret_key, options)


@pytest.fixture
async def client(double: SupabaseDouble) -> AsyncIterator[AsyncClient]:
    async with connected(double) as client:
        yield client


@pytest.fixture
async def reader(shared: SupabaseDouble) -> AsyncIterator[AsyncClient]:
    async with connected(shared) as client:
        yield client


async def call(client: AsyncClient, function: str, **arguments: Any) -> Any:
    return (await client.rpc(function, arguments).execute()).data


async def refusal(client: AsyncClient, function: str, **arguments: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        await call(client, function, **arguments)
    return caught.value


@asynccontextmanager
async def raw(double: SupabaseDouble, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Without the SDK, to send what it would not and to see what it hides."""
    everything = {"apikey": double.secret_key, "Content-Type": "application/json", **headers}
    async with httpx.AsyncClient(base_url=double.url, headers=everything) as client:
        yield client


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("null_text", {}, None),
        ("seven", {}, 7),
        ("document", {}, {"a": [1, None, "ü漢"]}),
        ("empty_list", {}, []),
        ("numbers", {"last": 3}, [1, 2, 3]),
        ("numbers", {"last": 0}, []),
        ("pairs", {"last": 1}, [{"x": 1, "y": "n1"}]),
        ("pair", {}, {"x": 1, "y": "one"}),
    ],
)
async def test_results_are_shaped_by_the_type_of_the_function(
    reader: AsyncClient, function: str, arguments: dict[str, Any], expected: Any
) -> None:
    assert await call(reader, function, **arguments) == expected


async def test_a_function_that_returns_nothing_has_no_body(shared: SupabaseDouble) -> None:
    async with raw(shared) as http:
        answer = await http.post(f"{RPC}nothing", content="{}")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_lists_become_arrays_and_vectors_and_missing_arguments_defaults(reader: AsyncClient) -> None:
    arguments = {"words": ["a b", 'c"'], "numbers": [1, 2], "v": [0.5, 2], "j": {"k": [1]}}
    echoed = await call(reader, "echo", **arguments)
    assert echoed == ['{"a b","c\\""}', "{1,2}", "[0.5,2]", '{"k": [1]}', "default"]


async def test_more_rows_than_the_limit_are_left_out_silently(client: AsyncClient, double: SupabaseDouble) -> None:
    assert len(await call(client, "numbers", last=1001)) == 1000
    double.max_rows = 5
    assert await call(client, "pairs", last=9) == [{"x": n, "y": f"n{n}"} for n in range(1, 6)]


async def test_every_request_is_logged(client: AsyncClient, double: SupabaseDouble) -> None:
    await call(client, "note", text="x" * 1000)
    (logged,) = double.calls
    assert (logged.function, logged.size > 1000) == ("note", True)
    assert (logged.api_key, logged.authorization) == (double.secret_key, f"Bearer {double.secret_key}")


# ---------------------------------------------------------------------- transactions


async def test_a_call_commits_and_a_failed_one_leaves_nothing(client: AsyncClient, double: SupabaseDouble) -> None:
    await call(client, "note", text="kept")
    assert (await refusal(client, "note_and_fail", text="lost")).code == "22012"
    assert notes(double) == ["kept"]


async def test_a_stable_function_cannot_write(reader: AsyncClient) -> None:
    assert (await refusal(reader, "note_although_stable")).code == "25006"


async def test_the_login_role_has_a_statement_timeout_which_a_function_may_raise(make_double: Any) -> None:
    async with make_double(statement_timeout="500ms") as double, connected(double) as client:
        assert (await refusal(client, "nap", seconds=5)).code == "57014"
        assert await call(client, "long_nap", seconds=0.7) == 1


async def test_settings_of_the_role_hold_in_its_calls(double: SupabaseDouble) -> None:
    run(double.owner_uri, "grant execute on function setting to anon")
    timeouts = []
    for key in (double.secret_key, double.publishable_key):
        async with connected(double, key) as client:
            timeouts.append(await call(client, "setting", name="statement_timeout"))
    assert timeouts == ["8s", "3s"]


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize("older_gateway", [False, True])
@pytest.mark.parametrize(
    ("key", "bearer", "hosted", "older"),
    [
        ("secret_key", True, "service_role", "PGRST301"),
        ("secret_key", False, "service_role", "service_role"),
        ("publishable_key", True, "anon", "PGRST301"),
        ("publishable_key", False, "anon", "anon"),
        ("service_role_jwt", True, "service_role", "service_role"),
        ("service_role_jwt", False, "service_role", "anon"),
        ("anon_jwt", True, "anon", "anon"),
    ],
)
async def test_the_key_decides_about_the_role(
    make_double: Any, older_gateway: bool, *, key: str, bearer: bool, hosted: str, older: str
) -> None:
    async with make_double(reject_non_jwt_bearer=older_gateway) as double:
        run(double.owner_uri, "grant execute on function who to public")
        async with connected(double, getattr(double, key), bearer=bearer) as client:
            try:
                role = await call(client, "who")
            except APIError as error:
                role = error.code
    expected = older if older_gateway else hosted
    assert role == (expected if expected.startswith("PGRST") else f"{expected}/authenticator")


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [
        ("nonsense", None, "Invalid API key"),
        (make_jwt("service_role", secret="another"), "PGRST301", "No suitable key or wrong key type"),
        (make_jwt("service_role", expires_in=-60), "PGRST303", "JWT expired"),
        ("a.b.c", "PGRST301", "JWT cryptographic operation failed"),
    ],
)
async def test_wrong_keys_are_refused(shared: SupabaseDouble, key: str, code: str | None, message: str) -> None:
    async with connected(shared, key) as client:
        error = await refusal(client, "who")
    assert (error.code, error.message) == (code, message)


async def test_a_request_without_a_key_does_not_reach_postgrest(shared: SupabaseDouble) -> None:
    async with httpx.AsyncClient(base_url=shared.url) as http:
        answer = await http.post(f"{RPC}who", json={})
    assert (answer.status_code, answer.json()["message"]) == (401, "No API key found in request")
    assert "Proxy-Status" not in answer.headers


async def test_a_publishable_key_is_not_let_in_without_a_grant(shared: SupabaseDouble) -> None:
    async with raw(shared, apikey=shared.publishable_key) as http:
        answer = await http.post(f"{RPC}who", content="{}")
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("older_project", "code"), [(False, "42501"), (True, None)])
async def test_only_older_projects_show_everything_new_to_everybody(
    empty_database: str, older_project: bool, code: str | None
) -> None:
    with supabase_server(empty_database, older_project=older_project) as double:
        with double.expect_reload():
            run(
                double.owner_uri,
                "create function fresh() returns int language sql as 'select 1'",
                "revoke all on function fresh from public",
                "notify pgrst",
            )
        async with connected(double, double.anon_jwt) as client:
            try:
                refused_with = None if await call(client, "fresh") == 1 else "no answer"
            except APIError as error:
                refused_with = error.code
    assert refused_with == code


async def test_the_owner_of_the_database_is_no_superuser(double: SupabaseDouble) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(double.owner_uri, "create function f() returns int language c as 'x'")


# ---------------------------------------------------------------------- finding the function


async def test_an_unknown_function_is_refused_with_a_hint(reader: AsyncClient) -> None:
    error = await refusal(reader, "documnt")
    assert error.code == "PGRST202"
    assert error.message == "Could not find the function public.documnt without parameters in the schema cache"
    assert error.hint == "Perhaps you meant to call the function public.document"


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "more": 1}, {"note": "a"}])
async def test_arguments_have_to_be_those_of_the_function(reader: AsyncClient, arguments: dict[str, Any]) -> None:
    error = await refusal(reader, "note", **arguments)
    assert (error.code, error.hint) == ("PGRST202", "Perhaps you meant to call the function public.note(text)")


async def test_overloads_that_names_cannot_tell_apart_are_refused(shared: SupabaseDouble) -> None:
    async with raw(shared) as http:
        answer = await http.post(f"{RPC}twice", content='{"x": 1}')
    assert (answer.status_code, answer.json()["code"]) == (300, "PGRST203")
    assert answer.headers["Proxy-Status"] == "PostgREST; error=PGRST203"


async def test_a_schema_that_is_not_shown_is_refused(reader: AsyncClient) -> None:
    with pytest.raises(APIError) as caught:
        await reader.schema("ccb").rpc("note", {"text": "a"}).execute()
    assert caught.value.code == "PGRST106"


async def test_a_new_function_is_unknown_until_the_cache_is_reloaded(
    client: AsyncClient, double: SupabaseDouble
) -> None:
    create = "create function fresh() returns int language sql as 'select 7'"
    run(double.owner_uri, create, "grant execute on function fresh to service_role")
    assert (await refusal(client, "fresh")).code == "PGRST202"
    with double.expect_reload():
        run(double.owner_uri, "notify pgrst, 'reload schema'")
    assert await call(client, "fresh") == 7


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize("body", ["", "[", "[1]", "7", '{"text": NaN}', b'{"text": "\xff"}'])
async def test_a_body_that_is_no_json_object_is_refused(shared: SupabaseDouble, body: str | bytes) -> None:
    async with raw(shared) as http:
        answer = await http.post(f"{RPC}note", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("22023", 400),
        ("22P05", 400),
        ("23505", 409),
        ("23503", 409),
        ("40001", 500),
        ("42501", 403),
        ("42P01", 404),
        ("53300", 503),
        ("53400", 500),
        ("57014", 500),
        ("57P03", 500),
        ("0A000", 400),
        ("08006", 503),
        ("P0001", 400),
        ("P0002", 500),
        ("PT402", 402),
        ("XX000", 500),
    ],
)
async def test_an_sqlstate_decides_about_the_status(shared: SupabaseDouble, state: str, status: int) -> None:
    async with raw(shared) as http:
        answer = await http.post(f"{RPC}fail", json={"state": state})
    assert answer.status_code == status
    assert answer.json() == {"code": state, "message": "no", "details": "a detail", "hint": "a hint"}
    assert answer.headers["Proxy-Status"] == f"PostgREST; error={state}"


async def test_a_call_that_gets_no_connection_in_time_is_refused(make_double: Any) -> None:
    outcomes: list[object] = []
    async with make_double(pool_size=1, pool_timeout=0.05) as double, connected(double) as client:
        with psycopg.connect(double.owner_uri) as other:
            other.execute("lock table notes")

            async def write() -> None:
                try:
                    outcomes.append(await call(client, "note", text="a"))
                except APIError as error:
                    outcomes.append(error.code)
                other.rollback()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                tasks.start_soon(write)
    assert outcomes == ["PGRST003", 1]


async def test_without_a_database_every_call_is_refused_until_it_is_back(
    client: AsyncClient, double: SupabaseDouble
) -> None:
    with double.database_down():
        assert (await refusal(client, "seven")).code == "PGRST000"
    assert await call(client, "seven") == 7


async def test_a_server_that_has_not_read_the_schema_yet_says_so(client: AsyncClient, double: SupabaseDouble) -> None:
    with double.without_schema_cache():
        assert (await refusal(client, "seven")).code == "PGRST002"
    assert await call(client, "seven") == 7


async def test_a_terminated_connection_fails_its_call_only(client: AsyncClient, double: SupabaseDouble) -> None:
    codes = []
    with psycopg.connect(double.owner_uri) as other:
        other.execute("lock table notes")

        async def write() -> None:
            codes.append((await refusal(client, "note", text="a")).code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while not other.execute("select 1 from pg_locks where not granted").fetchone():  # noqa: ASYNC110
                await anyio.sleep(0.01)  # only the database knows
            await anyio.to_thread.run_sync(double.terminate_connections)
    assert codes == ["57P01"]
    assert await call(client, "note", text="b") == 1


# ---------------------------------------------------------------------- faults


async def test_a_page_of_the_gateway_comes_in_place_of_the_answer(client: AsyncClient, double: SupabaseDouble) -> None:
    double.fail_next(BAD_GATEWAY, times=2)
    codes = [(await refusal(client, "note", text="a")).code for _ in range(2)]
    assert (codes, notes(double)) == (["502", "502"], [])
    assert await call(client, "note", text="a") == 1


async def test_any_answer_can_be_given(client: AsyncClient, double: SupabaseDouble) -> None:
    double.fail_next(RATE_LIMITED)
    assert (await refusal(client, "seven")).message == "API rate limit exceeded"
    double.fail_next(GARBAGE)
    assert "<html>" in await call(client, "seven")
    double.fail_next(error_reply(504, "PGRST003", "Timed out"))
    assert (await refusal(client, "seven")).code == "PGRST003"


async def test_faults_can_be_for_one_function(client: AsyncClient, double: SupabaseDouble) -> None:
    double.fail_next(BAD_GATEWAY, function="note")
    with double.fail_all(RATE_LIMITED, function="document"):
        assert await call(client, "seven") == 7
        assert (await refusal(client, "note", text="a")).code == "502"
        for _ in range(2):
            assert (await refusal(client, "document")).message == "API rate limit exceeded"
    assert await call(client, "document")


async def test_a_connection_is_dropped_before_or_after_the_work(client: AsyncClient, double: SupabaseDouble) -> None:
    double.fail_next(Drop("before"))
    with pytest.raises(httpx.RemoteProtocolError):
        await call(client, "note", text="before")
    double.fail_next(Drop("after"))
    with pytest.raises(httpx.RemoteProtocolError):
        await call(client, "note", text="after")
    assert notes(double) == ["after"]
    assert double.functions_called == ["note", "note"]


@pytest.mark.parametrize(("at", "written"), [("call", []), ("body", ["a"])])
async def test_a_call_stalls_until_it_is_released(
    client: AsyncClient, double: SupabaseDouble, at: Any, written: list[str]
) -> None:
    stall = Stall(at)
    double.fail_next(stall)
    answers = []

    async def write() -> None:
        answers.append(await call(client, "note", text="a"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        assert await anyio.to_thread.run_sync(stall.reached.wait, 60)
        assert (answers, notes(double)) == ([], written)
        stall.release()
    assert (answers, notes(double)) == ([1], ["a"])


async def test_a_stall_does_not_keep_the_double_from_ending(make_double: Any) -> None:
    async with make_double() as double, connected(double) as client:
        stall = Stall("call")
        double.fail_next(stall)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, client, "seven")
            assert await anyio.to_thread.run_sync(stall.reached.wait, 60)
            tasks.cancel_scope.cancel()


async def test_a_body_above_the_gateways_limit_is_too_large(client: AsyncClient, double: SupabaseDouble) -> None:
    double.max_request_bytes = 1000
    assert await call(client, "note", text="small") == 1
    assert (await refusal(client, "note", text="x" * 100_000)).code == "413"
    assert notes(double) == ["small"]


async def test_connections_are_closed_at_the_end(make_double: Any) -> None:
    async with make_double() as double, connected(double) as client:
        assert await call(client, "seven") == 7
    async with connected(double) as client:
        with pytest.raises(httpx.ConnectError):
            await call(client, "seven")


# ---------------------------------------------------------------------- what is not modelled


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", f"{RPC}seven", {}),
        ("POST", "/rest/v1/notes", {}),
        ("POST", "/auth/v1/token", {}),
        ("POST", f"{RPC}seven?select=a", {}),
        ("POST", f"{RPC}seven", {"Prefer": "count=exact"}),
        ("POST", f"{RPC}seven", {"Content-Type": "text/plain"}),
        ("POST", f"{RPC}seven", {"Accept": "text/csv"}),
        ("POST", f"{RPC}seven", {"Content-Encoding": "gzip"}),
    ],
)
async def test_what_it_does_not_model_is_noted(
    shared: SupabaseDouble, method: str, path: str, headers: dict[str, str]
) -> None:
    async with raw(shared) as http:
        answer = await http.request(method, path, headers=headers, content="{}")
    assert answer.status_code == 422
    assert len(shared.violations) == 1
    shared.violations.clear()
