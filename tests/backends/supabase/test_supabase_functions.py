"""Calls of SQL functions through the real SDK and the double of Supabase: values, keys, failures, repetitions."""

import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest
import tenacity
from pydantic import SecretStr

from backends.supabase import functions as module
from backends.supabase.errors import Refusal
from backends.supabase.functions import ATTEMPTS, LONGEST_WAIT, SupabaseFunctions
from backends.supabase.settings import SupabaseSettings
from context_chat_backend.contract import (
    Busy,
    DriverError,
    Misconfigured,
    Overtaken,
    Rejected,
    TransientError,
    Unavailable,
)
from context_chat_backend.toolkit.settings import read_settings
from tests.doubles.postgrest import (
    BAD_GATEWAY,
    GARBAGE,
    RATE_LIMITED,
    TOO_LARGE,
    UNAVAILABLE,
    Drop,
    Reply,
    Stall,
    SupabaseDouble,
    error_reply,
    gateway_page,
    supabase_server,
)
from tests.doubles.postgrest.faults import Fault
from tests.doubles.postgrest.keys import make_jwt
from tests.doubles.postgrest.replies import json_reply

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

FUNCTIONS = """
create table public.notes (note text);
create function nothing() returns void language sql as '';
create function null_text() returns text language sql as 'select null::text';
create function seven() returns int language sql as 'select 7';
create function echo(j jsonb) returns jsonb language sql as 'select j';
create function page() returns text language sql as $$ select '<html>'::text $$;
create function note(text text) returns int language sql as 'insert into notes values (text); select 1';
create function parse(text text) returns int language sql as 'select text::int';
create function fail(state text, detail text default '') returns int language plpgsql
  as $$ begin raise exception using errcode = state, message = 'the reason', detail = detail, hint = 'Do it'; end $$;
create function twice(x int) returns int language sql as 'select x';
create function twice(x text) returns int language sql as 'select 1';
revoke all on all functions in schema public from public;
grant execute on all functions in schema public to service_role;
grant all on public.notes to service_role;
notify pgrst, 'reload schema';
"""
DOCUMENT = "the secret plans of Alice"


# ---------------------------------------------------------------------- stage


@pytest.fixture(scope="module")
def doubles(postgres: str) -> Iterator[dict[bool, SupabaseDouble]]:
    """By whether their gateway is an older one; they share a database."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database functions template template0 strategy file_copy")
        uri = postgres.replace("/postgres?", "/functions?")
        with supabase_server(uri) as hosted, supabase_server(uri, reject_non_jwt_bearer=True) as older:
            with hosted.expect_reload(), older.expect_reload(), psycopg.connect(hosted.owner_uri) as owner:
                owner.execute(FUNCTIONS)
                owner.commit()
            yield {False: hosted, True: older}
        connection.execute("drop database functions with (force)")


@pytest.fixture
def double(doubles: dict[bool, SupabaseDouble]) -> Iterator[SupabaseDouble]:
    double = doubles[False]
    with psycopg.connect(double.owner_uri) as owner:
        owner.execute("truncate notes")
    double.calls.clear()
    yield double
    assert double.violations == []


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts."""
    monkeypatch.setattr(module, "_backoff", tenacity.wait_none())


def settings(double: SupabaseDouble, **values: Any) -> SupabaseSettings:
    return SupabaseSettings(**{"url": double.url, "key": double.secret_key, **values})


@asynccontextmanager
async def connected(double: SupabaseDouble, **values: Any) -> AsyncIterator[SupabaseFunctions]:
    async with SupabaseFunctions(settings(double, **values)) as functions:
        yield functions


@pytest.fixture
async def functions(double: SupabaseDouble) -> AsyncIterator[SupabaseFunctions]:
    async with connected(double) as functions:
        yield functions


def notes(double: SupabaseDouble) -> list[str]:
    with psycopg.connect(double.owner_uri) as connection:
        return [note for (note,) in connection.execute("select note from notes")]


async def failure(functions: SupabaseFunctions, function: str = "seven", **arguments: object) -> DriverError:
    with pytest.raises(DriverError) as caught:
        await functions.call(function, **arguments)
    return caught.value


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("nothing", {}, None),
        ("null_text", {}, None),
        ("seven", {}, 7),
        ("page", {}, "<html>"),
        ("echo", {"j": []}, []),
        ("echo", {"j": [{"a": "ü漢", "b": [1.5, None, True]}]}, [{"a": "ü漢", "b": [1.5, None, True]}]),
    ],
)
async def test_a_call_gives_the_value_that_the_function_returns(
    functions: SupabaseFunctions, function: str, arguments: dict[str, object], expected: object
) -> None:
    assert await functions.call(function, **arguments) == expected


async def test_calls_at_the_same_time_get_each_their_own_value(functions: SupabaseFunctions) -> None:
    values = {}

    async def echo(number: int) -> None:
        values[number] = await functions.call("echo", j=number)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(echo, number)
    assert values == {number: number for number in range(30)}


async def test_entering_does_not_need_the_server() -> None:
    async with SupabaseFunctions(SupabaseSettings(url="http://127.0.0.1:1", key=SecretStr("sb_secret_x"))) as functions:
        assert isinstance(await failure(functions), Unavailable)


async def test_no_more_connections_are_opened_than_allowed(double: SupabaseDouble) -> None:
    stall, values = Stall(), []
    double.fail_next(stall)

    async def call(functions: SupabaseFunctions) -> None:
        values.append(await functions.call("seven"))

    async with connected(double, max_connections=1) as one_at_a_time, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call, one_at_a_time)
        assert await anyio.to_thread.run_sync(stall.reached.wait, 60)
        stall.release()
    assert values == [7, 7, 7]
    assert len({call.port for call in double.calls}) == 1


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize("older", [False, True], ids=["hosted", "older"])
@pytest.mark.parametrize(("key", "has_bearer"), [("secret_key", False), ("service_role_jwt", True)])
async def test_both_kinds_of_keys_work_with_both_kinds_of_gateways(
    doubles: dict[bool, SupabaseDouble], key: str, has_bearer: bool, older: bool
) -> None:
    double = doubles[older]
    async with connected(double, key=getattr(double, key)) as functions:
        assert await functions.call("seven") == 7
    assert double.calls[-1].api_key == getattr(double, key)
    assert double.calls[-1].authorization == (f"Bearer {getattr(double, key)}" if has_bearer else None)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("sb_secret_of_another_project", "401"),
        (make_jwt("service_role", secret="of another project"), "PGRST301"),
        (make_jwt("service_role", expires_in=-60), "PGRST303"),
        (make_jwt("some_role_without_rights"), "22023"),
        ("a.b.c", "PGRST301"),
        (SupabaseDouble.publishable_key, "42501"),
        (SupabaseDouble.anon_jwt, "42501"),
    ],
)
async def test_a_wrong_key_is_a_matter_for_the_admin(double: SupabaseDouble, key: str, code: str) -> None:
    unchecked = settings(double).model_copy(update={"key": SecretStr(key)})
    async with SupabaseFunctions(unchecked) as functions:
        error = await failure(functions)
    assert isinstance(error, Misconfigured)
    assert "SUPABASE_KEY" in str(error)
    assert f"({code})" in str(error)
    assert key not in str(error)
    assert len(double.calls) == 1


async def test_a_key_that_no_header_can_hold_is_a_matter_for_the_admin(double: SupabaseDouble) -> None:
    unchecked = settings(double).model_copy(update={"key": SecretStr("sb_secret_line\nbreak")})
    async with SupabaseFunctions(unchecked) as functions:
        error = await failure(functions)
    assert isinstance(error, Misconfigured)
    assert "sb_secret_line" not in "".join(traceback.format_exception(error))


# ---------------------------------------------------------------------- errors of the database


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("08006", Unavailable),
        ("0A000", Misconfigured),
        ("22023", Rejected),
        ("22P05", Rejected),
        ("23505", Busy),
        ("25006", Unavailable),
        ("40001", Busy),
        ("40P01", Busy),
        ("42501", Misconfigured),
        ("42P01", Misconfigured),
        ("53300", Busy),
        ("54000", Rejected),
        ("55P03", Busy),
        ("57014", Unavailable),
        ("57P01", Unavailable),
        ("P0002", Overtaken),
        ("XX000", Unavailable),
    ],
)
async def test_errors_of_the_database_are_told_apart_by_sqlstate(
    functions: SupabaseFunctions, state: str, expected: type[DriverError]
) -> None:
    error = await failure(functions, "fail", state=state)
    assert type(error) is expected
    assert f"({state})" in str(error)


async def test_the_reason_is_shown_where_an_admin_has_to_act(functions: SupabaseFunctions) -> None:
    error = await failure(functions, "fail", state="0A000")
    assert str(error) == "Supabase, fail: the reason. Do it (0A000)"


async def test_an_error_that_only_a_bug_can_cause_is_reported_as_one(functions: SupabaseFunctions) -> None:
    with pytest.raises(Refusal, match=r"^P0001$"):
        await functions.call("fail", state="P0001")


# ---------------------------------------------------------------------- errors of PostgREST


@pytest.mark.parametrize(("function", "code"), [("not_there", "PGRST202"), ("twice", "PGRST203")])
async def test_wrong_functions_ask_for_the_migration(
    functions: SupabaseFunctions, double: SupabaseDouble, function: str, code: str
) -> None:
    error = await failure(functions, function, x=1)
    assert isinstance(error, Misconfigured)
    assert function in str(error)
    assert f"({code})" in str(error)
    assert "ccbe supabase-migration" in str(error)
    assert len(double.calls) == 1


async def test_a_lost_database_is_unavailable(functions: SupabaseFunctions, double: SupabaseDouble) -> None:
    with double.database_down():
        assert "(PGRST000)" in str(await failure(functions))
    with double.without_schema_cache():
        assert "(PGRST002)" in str(await failure(functions))
    assert await functions.call("seven") == 7


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (503, "PGRST001", Unavailable, "database"),
        (504, "PGRST003", Unavailable, "database"),
        (400, "PGRST102", Misconfigured, "SUPABASE_URL"),
        (406, "PGRST106", Misconfigured, "exposed schemas"),
        (500, "PGRST300", Misconfigured, "SUPABASE_KEY"),
        (401, "PGRST302", Misconfigured, "SUPABASE_KEY"),
        (500, "PGRSTX00", Unavailable, "PostgREST"),
    ],
)
async def test_errors_of_postgrest_are_told_apart_by_code(
    functions: SupabaseFunctions,
    double: SupabaseDouble,
    *,
    status: int,
    code: str,
    expected: type[DriverError],
    words: str,
) -> None:
    with double.fail_all(error_reply(status, code, "a text of the server")):
        error = await failure(functions)
    assert type(error) is expected
    assert words in str(error)
    assert f"({code})" in str(error)


async def test_the_code_is_found_where_a_proxy_has_replaced_the_body(
    functions: SupabaseFunctions, double: SupabaseDouble
) -> None:
    page = gateway_page(503, "Sorry")
    with double.fail_all(Reply(503, page.body, {**page.headers, "Proxy-Status": "PostgREST; error=PGRST001"})):
        assert "(PGRST001)" in str(await failure(functions))


# ---------------------------------------------------------------------- answers of gateways and proxies


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        (gateway_page(301), Misconfigured, "SUPABASE_URL"),
        (json_reply(401, {"message": "Invalid authentication credentials"}), Misconfigured, "SUPABASE_KEY"),
        (gateway_page(402), Misconfigured, "dashboard"),
        (gateway_page(403), Misconfigured, "SUPABASE_KEY"),
        (json_reply(404, {"message": "no Route matched with those values"}), Misconfigured, "SUPABASE_URL"),
        (gateway_page(408), Unavailable, "408"),
        (TOO_LARGE, Misconfigured, "size"),
        (gateway_page(425), Unavailable, "425"),
        (RATE_LIMITED, Busy, "429"),
        (gateway_page(500), Unavailable, "500"),
        (BAD_GATEWAY, Unavailable, "502"),
        (UNAVAILABLE, Unavailable, "503"),
        (json_reply(504, {"message": "The upstream server is timing out"}), Unavailable, "504"),
        (json_reply(503, {"code": "GATEWAY_DOWN", "message": "x"}), Unavailable, "503"),
        (json_reply(503, {"code": 503, "message": ["x"]}), Unavailable, "503"),
        (json_reply(503, ["x"]), Unavailable, "503"),
        (gateway_page(520), Unavailable, "520"),
        (gateway_page(540), Misconfigured, "paused"),
        (gateway_page(600), Unavailable, "600"),
        (GARBAGE, Unavailable, "JSON"),
        (Reply(200, b'{"cut of'), Unavailable, "JSON"),
        (Reply(200, b'"\xff"'), Unavailable, "JSON"),
        (Reply(200, b"no gzip", {"Content-Encoding": "gzip"}), Unavailable, "DecodingError"),
    ],
)
async def test_answers_without_a_code_are_told_apart_by_status(
    functions: SupabaseFunctions, double: SupabaseDouble, reply: Reply, expected: type[DriverError], words: str
) -> None:
    with double.fail_all(reply):
        error = await failure(functions)
    assert type(error) is expected
    assert words in str(error)
    assert await functions.call("seven") == 7


async def test_a_request_above_the_limit_of_a_proxy_does_not_blame_the_source(
    functions: SupabaseFunctions, double: SupabaseDouble
) -> None:
    double.max_request_bytes = 10_000
    try:
        error = await failure(functions, "note", text="x" * 1_000_000)
    finally:
        double.max_request_bytes = None
    assert isinstance(error, Misconfigured)


async def test_how_long_to_wait_is_passed_on(functions: SupabaseFunctions, double: SupabaseDouble) -> None:
    double.fail_next(RATE_LIMITED)
    error = await failure(functions)
    assert isinstance(error, TransientError)
    assert error.retry_after == 30
    assert len(double.calls) == 1


# ---------------------------------------------------------------------- repetitions

PASSING: list[Fault] = [
    Drop("before"),
    Drop("after"),
    BAD_GATEWAY,
    UNAVAILABLE,
    gateway_page(504),
    gateway_page(520),
    gateway_page(429),
    error_reply(503, "PGRST000", ""),
    error_reply(503, "PGRST001", ""),
    error_reply(503, "PGRST002", ""),
    error_reply(504, "PGRST003", ""),
    error_reply(500, "40001", ""),
    error_reply(500, "40P01", ""),
    error_reply(503, "53300", ""),
    error_reply(500, "55P03", ""),
    error_reply(503, "57P01", ""),
    error_reply(503, "08006", ""),
]


@pytest.mark.parametrize("fault", PASSING)
async def test_a_call_is_repeated_after_a_passing_failure(
    functions: SupabaseFunctions, double: SupabaseDouble, fault: Fault
) -> None:
    double.fail_next(fault, times=ATTEMPTS - 1)
    assert await functions.call("seven") == 7
    assert len(double.calls) == ATTEMPTS


@pytest.mark.parametrize("fault", [Drop("before"), BAD_GATEWAY, error_reply(500, "40001", "")])
async def test_a_call_is_not_repeated_for_ever(
    functions: SupabaseFunctions, double: SupabaseDouble, fault: Fault
) -> None:
    with double.fail_all(fault):
        assert isinstance(await failure(functions), TransientError)
    assert len(double.calls) == ATTEMPTS


@pytest.mark.parametrize("state", ["22023", "23505", "42501", "57014", "P0002"])
async def test_a_failure_that_stays_is_not_repeated(
    functions: SupabaseFunctions, double: SupabaseDouble, state: str
) -> None:
    await failure(functions, "fail", state=state)
    assert len(double.calls) == 1


async def test_a_call_whose_answer_was_lost_is_made_again(functions: SupabaseFunctions, double: SupabaseDouble) -> None:
    double.fail_next(Drop("after"))
    assert await functions.call("note", text="a") == 1
    assert notes(double) == ["a", "a"]


async def test_a_call_survives_a_restart_of_the_database(functions: SupabaseFunctions, double: SupabaseDouble) -> None:
    values = []

    async def write() -> None:
        values.append(await functions.call("note", text="a"))

    with psycopg.connect(double.owner_uri) as other:
        other.execute("lock table notes")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while not other.execute("select 1 from pg_locks where not granted").fetchone():  # noqa: ASYNC110
                await anyio.sleep(0.01)  # only the database knows
            await anyio.to_thread.run_sync(double.terminate_connections)
            other.rollback()
    assert (values, len(double.calls)) == ([1], 2)


async def test_a_short_wait_that_was_asked_for_is_kept(double: SupabaseDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    double.fail_next(Reply(429, b"", {"Retry-After": str(LONGEST_WAIT)}))
    async with connected(double) as functions:
        assert await functions.call("seven") == 7
    assert waits == [LONGEST_WAIT]


@pytest.mark.parametrize("at", ["call", "body"])
async def test_a_call_without_an_answer_is_given_up_once_its_time_is_over(double: SupabaseDouble, at: Any) -> None:
    stall = Stall(at)
    with double.fail_all(stall):
        async with connected(double, http_timeout=0.5) as functions:
            error = await failure(functions)
    stall.release()
    assert isinstance(error, Unavailable)
    assert "ReadTimeout" in str(error)
    assert len(double.calls) == 1


async def test_a_cancelled_call_gives_its_connection_back(double: SupabaseDouble) -> None:
    stall = Stall()
    double.fail_next(stall)
    async with connected(double, max_connections=1, http_timeout=60) as functions:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(functions.call, "seven")
            assert await anyio.to_thread.run_sync(stall.reached.wait, 60)
            tasks.cancel_scope.cancel()
        assert await functions.call("seven") == 7
    stall.release()
    assert len(double.calls) == 2


# ---------------------------------------------------------------------- arguments and messages


@pytest.mark.parametrize("value", [float("nan"), [0.5, float("inf")], {"a": "\ud800"}])
async def test_what_json_cannot_hold_is_rejected_and_not_sent(
    functions: SupabaseFunctions, double: SupabaseDouble, value: object
) -> None:
    assert isinstance(await failure(functions, "echo", j=value), Rejected)
    assert double.calls == []


async def test_what_the_database_cannot_hold_is_rejected(functions: SupabaseFunctions) -> None:
    assert isinstance(await failure(functions, "note", text="\0"), Rejected)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("parse", {"text": DOCUMENT}),
        ("note", {"text": f"{DOCUMENT}\0"}),
        ("note", {"text": f"{DOCUMENT}\ud800"}),
        ("echo", {"j": [DOCUMENT, float("nan")]}),
        ("not_there", {"text": DOCUMENT}),
        *(("fail", {"state": state, "detail": DOCUMENT}) for state in ("22023", "23505", "40001", "42501", "57014")),
    ],
)
async def test_errors_hold_neither_texts_of_documents_nor_the_key(
    functions: SupabaseFunctions, double: SupabaseDouble, function: str, arguments: dict[str, object]
) -> None:
    error = await failure(functions, function, **arguments)
    shown = "".join(traceback.format_exception(error))
    assert DOCUMENT not in shown
    assert double.secret_key not in shown


@pytest.mark.parametrize(
    "reply",
    [
        *(gateway_page(status, DOCUMENT) for status in (200, 400, 413, 429, 500, 502)),
        json_reply(400, {"message": DOCUMENT, "hint": DOCUMENT}),
        error_reply(400, "PGRST102", DOCUMENT, details=DOCUMENT, hint=DOCUMENT),
    ],
)
async def test_bodies_of_proxies_are_never_shown(
    functions: SupabaseFunctions, double: SupabaseDouble, reply: Reply
) -> None:
    with double.fail_all(reply):
        error = await failure(functions)
    assert DOCUMENT not in "".join(traceback.format_exception(error))


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize("variable", ["SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
@pytest.mark.parametrize("key", [SupabaseDouble.secret_key, SupabaseDouble.service_role_jwt, "key-of-a.proxy"])
def test_settings_come_from_variables(variable: str, key: str) -> None:
    read = read_settings(SupabaseSettings, {"SUPABASE_URL": "https://abc.supabase.co/", variable: f" {key}\n"})
    assert (read.url, read.key.get_secret_value()) == ("https://abc.supabase.co", key)
    assert (read.http_timeout, read.max_connections) == (60, 10)
    assert key not in repr(read)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://abc.supabase.co/rest/v1/", "https://abc.supabase.co"),
        ("http://localhost:54321", "http://localhost:54321"),
        ("https://example.org/supabase/", "https://example.org/supabase"),
    ],
)
def test_the_url_is_that_of_the_project(url: str, expected: str) -> None:
    assert SupabaseSettings(url=url, key=SecretStr("sb_secret_x")).url == expected


@pytest.mark.parametrize(
    "url",
    [
        "abc.supabase.co",
        "https://",
        "https://abc:99999",
        "https://me:hidden@abc.co",
        "https://me:hid@den@abc.co",
        "https://me:12/hidden@abc.co",
        "https://abc.co/?hidden",
        "ftp://a",
    ],
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"SUPABASE_URL: has to be .* e\.g\. https://abc\.supabase\.co$") as caught:
        read_settings(SupabaseSettings, {"SUPABASE_URL": url, "SUPABASE_KEY": "sb_secret_x"})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("variable", ["SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SupabaseDouble.publishable_key, "is one for browsers"),
        (SupabaseDouble.anon_jwt, "is one for browsers"),
        (make_jwt("authenticated"), "is one for browsers"),
        ("sb_secret_with a space", "characters that no key has"),
        ("sb_secret_ü", "characters that no key has"),
    ],
)
def test_a_key_that_cannot_work_is_refused(variable: str, key: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"SUPABASE_KEY: .*{words}") as caught:
        read_settings(SupabaseSettings, {"SUPABASE_URL": "https://abc.supabase.co", variable: key})
    assert key not in str(caught.value)


def test_missing_settings_are_named() -> None:
    with pytest.raises(Misconfigured, match=r"SUPABASE_URL: is required.*SUPABASE_KEY: is required"):
        read_settings(SupabaseSettings, {})
