from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from pydantic import BaseModel

from backends.builtin.settings import BuiltinSettings
from backends.pinecone.settings import PineconeSettings
from backends.r2r.settings import R2RSettings
from backends.supabase.settings import SupabaseSettings
from context_chat_backend.contract import (
    Busy,
    DriverError,
    Misconfigured,
    NotFound,
    Rejected,
    TransientError,
    Unavailable,
)
from context_chat_backend.layers.probes import QueueSettings
from context_chat_backend.retrieval.settings import AnswerSettings
from context_chat_backend.settings import Settings
from context_chat_backend.toolkit.http import (
    ANSWER_BYTES,
    http_url,
    json_model,
    json_object,
    limited_request,
    retry_after,
    translate_errors,
)
from context_chat_backend.toolkit.indexing.embed import EmbedSettings
from context_chat_backend.toolkit.settings import VariableSettings, read_settings
from tests.bombs import Bomb, bombed

pytestmark = pytest.mark.anyio

URL = "https://user:hunter2@backend.example/v3/documents?key=hunter2"


def response(status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> httpx.Response:
    return httpx.Response(status, headers=headers, content=content, request=httpx.Request("POST", URL))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, Misconfigured),
        (400, Misconfigured),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, Misconfigured),
        (408, Unavailable),
        (409, Unavailable),
        (413, Rejected),
        (415, Rejected),
        (422, Misconfigured),
        (429, Busy),
        (500, Unavailable),
        (503, Unavailable),
        (599, Unavailable),
    ],
)
def test_a_status_decides_the_error(status: int, error: type[DriverError]) -> None:
    with pytest.raises(DriverError) as caught, translate_errors():
        response(status).raise_for_status()
    assert type(caught.value) is error


def test_a_success_raises_nothing() -> None:
    with translate_errors():
        response(204).raise_for_status()


def test_the_callers_statuses_win_over_the_defaults() -> None:
    for status, error in [(503, Busy), (418, Unavailable), (413, Misconfigured), (422, Rejected), (404, NotFound)]:
        with (
            pytest.raises(DriverError) as caught,
            translate_errors(busy={503}, unavailable={418}, misconfigured={413}, rejected={422}, not_found={404}),
        ):
            response(status).raise_for_status()
        assert type(caught.value) is error


def test_the_wait_that_the_server_asks_for_reaches_the_caller() -> None:
    for status in (429, 503):
        with pytest.raises(TransientError) as caught, translate_errors():
            response(status, {"Retry-After": "7"}).raise_for_status()
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("nan", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_understood_or_ignored(header: str, seconds: float | None) -> None:
    assert retry_after(response(429, {"Retry-After": header})) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = retry_after(response(429, {"Retry-After": date}))
    assert seconds is not None
    assert 3500 < seconds <= 3600


def test_retry_after_is_none_without_the_header() -> None:
    assert retry_after(response(429)) is None


@pytest.mark.parametrize(
    ("foreign", "error"),
    [
        (httpx.ConnectError("refused"), Unavailable),
        (httpx.ConnectTimeout("slow"), Unavailable),
        (httpx.ReadTimeout("slow"), Unavailable),
        (httpx.PoolTimeout("full"), Unavailable),
        (httpx.ReadError("reset"), Unavailable),
        (httpx.WriteError("reset"), Unavailable),
        (httpx.RemoteProtocolError("not HTTP"), Unavailable),
        (httpx.ProxyError("no"), Unavailable),
        (httpx.DecodingError("not gzip"), Unavailable),
    ],
)
async def test_a_failure_on_the_way_is_unavailable(foreign: httpx.RequestError, error: type[DriverError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise foreign

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(error, match=type(foreign).__name__), translate_errors():
            await client.get("http://backend.example/")


async def test_an_address_without_http_is_misconfigured() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(Misconfigured), translate_errors():
            await client.get("ftp://backend.example/")


async def test_a_key_that_cannot_be_sent_is_misconfigured_and_not_shown() -> None:
    """h11 quotes the header in its message, so this needs the real client and a listening socket."""

    async def ignore(stream: SocketStream) -> None:
        await stream.aclose()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, ignore)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with httpx.AsyncClient(headers={"Authorization": "Bearer hunter2\n"}, trust_env=False) as client:
            with pytest.raises(Misconfigured) as caught, translate_errors():
                await client.get(f"http://127.0.0.1:{port}/")
        tasks.cancel_scope.cancel()
    assert_not_shown("hunter2", caught)


def test_messages_name_the_request_without_its_secrets() -> None:
    with pytest.raises(Misconfigured) as caught, translate_errors():
        response(401, content=b"a passage of a document").raise_for_status()
    assert str(caught.value) == "POST https://backend.example/v3/documents answered 401"
    assert_not_shown("hunter2", caught)
    assert_not_shown("passage", caught)


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translate_errors():
        _ = 1 / 0


def test_a_json_object_is_parsed() -> None:
    assert json_object(response(200, content='{"ä": [1, null]}'.encode())) == {"ä": [1, None]}


class Item(BaseModel):
    id: int


def as_item(answer: httpx.Response) -> Item:
    return json_model(answer, Item)


def test_a_json_model_is_parsed() -> None:
    assert as_item(response(200, content=b'{"id": 1, "new": true}')) == Item(id=1)


@pytest.mark.parametrize("parse", [json_object, as_item])
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>hunter2</html>", b"[1]", b"null", b'{"id":', b'{"id": "\xff"}', b'{"id": "x"}x', b"[" * 10_000],
)
def test_a_garbage_body_is_unavailable_and_not_shown(parse: Callable[[httpx.Response], object], content: bytes) -> None:
    with pytest.raises(Unavailable, match="unexpected body") as caught:
        parse(response(200, content=content))
    assert_not_shown("hunter2", caught)


def assert_not_shown(secret: str, caught: pytest.ExceptionInfo[DriverError]) -> None:
    """Neither in the message nor in any exception that a traceback would print."""
    exc: BaseException | None = caught.value
    while exc is not None:
        assert secret not in f"{exc!s} {exc!r}"
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


# ---------------------------------------------------------------------- large answers


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_an_answer_is_read_no_further_than_its_limit(encoding: str) -> None:
    bomb = Bomb(encoding)
    async with httpx.AsyncClient(transport=bombed(bomb)) as client:
        match = r"^POST https://backend\.example/v3/documents answered with more than"
        with pytest.raises(Unavailable, match=match) as caught, translate_errors():
            await limited_request(client, "POST", URL, json={})
    assert f"{ANSWER_BYTES:,} bytes" in str(caught.value)
    assert bomb.closed
    assert bomb.unpacked <= ANSWER_BYTES + 2 * Bomb.PART


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_an_answer_within_its_limit_is_what_the_client_would_have_read(encoding: str, size: int) -> None:
    async with httpx.AsyncClient(transport=bombed(Bomb(encoding, size), 201, {"X-Other": "1"})) as client:
        plain = await client.post(URL)
    async with httpx.AsyncClient(transport=bombed(Bomb(encoding, size), 201, {"X-Other": "1"})) as client:
        limited = await limited_request(client, "POST", URL, limit=1000)
    assert (limited.status_code, limited.content, limited.headers["X-Other"]) == (201, plain.content, "1")
    assert limited.content == b" " * size
    assert limited.request.url == plain.request.url


async def test_a_refusal_stays_a_refusal() -> None:
    async with httpx.AsyncClient(transport=bombed(Bomb("gzip", 10), 429, {"Retry-After": "3"})) as client:
        with pytest.raises(Busy) as caught, translate_errors():
            (await limited_request(client, "POST", URL)).raise_for_status()
    assert caught.value.retry_after == 3


# ---------------------------------------------------------------------- addresses in settings


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http",
        "http://",
        "https:///v1",
        "file:///etc/passwd",
        "ftp://models",
        "models:8000/v1",
        "//models/v1",
        "http://models:port",
        "http://models:99999",
        "http://mod els/v1",
        "http://[::1",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="has to begin with http:// or https:// and name a host"):
        http_url(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://models.example/v1//", "https://models.example/v1"),
        (" HTTPS://models \n", "HTTPS://models"),
        ("http://[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_an_address_of_a_web_server_is_taken(url: str, address: str) -> None:
    assert http_url(url) == address


@pytest.mark.parametrize("url", ["http://user:hunter2@models", "http://hunter2@models", "https://:hunter2@models/v1"])
def test_an_address_with_credentials_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="without user and password") as caught:
        http_url(url)
    assert "hunter2" not in str(caught.value)


URLS = {
    "APP_SECRET": "of-no-use-here",
    "SUPABASE_KEY": "sb_secret_key",
    "PINECONE_API_KEY": "key",
    "QUEUE_MAX_MESSAGES": "1",
    "R2R_API_KEY": "key",
}


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (Settings, "NEXTCLOUD_URL"),
        (AnswerSettings, "CC_LLM_BASE_URL"),
        (EmbedSettings, "CC_EM_BASE_URL"),
        (QueueSettings, "QUEUE_HEALTH_URL"),
        (BuiltinSettings, "CCB_DB_URL"),
        (PineconeSettings, "PINECONE_HOST"),
        (PineconeSettings, "PINECONE_CONTROLLER_HOST"),
        (PineconeSettings, "PINECONE_PROXY_URL"),
        (R2RSettings, "R2R_BASE_URL"),
        (SupabaseSettings, "SUPABASE_URL"),
    ],
)
def test_no_setting_takes_a_file_for_an_address(settings: type[VariableSettings], variable: str) -> None:
    with pytest.raises(Misconfigured, match=variable) as caught:
        read_settings(settings, {**URLS, variable: "file:///etc/hunter2"})
    assert "hunter2" not in str(caught.value)
