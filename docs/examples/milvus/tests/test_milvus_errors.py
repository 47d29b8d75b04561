"""What goes wrong between the store and a server, in the words of the contract."""

import logging
import socket
from collections.abc import Iterator
from io import StringIO

import anyio
import grpc
import pytest
from context_chat_milvus.errors import MISCONFIGURED
from context_chat_milvus.server import Server
from context_chat_milvus.settings import MilvusSettings
from context_chat_milvus.store import MilvusStore
from grpc_double import SECRET, Answer, connected, garbled, hanging, numbered, of_version, refusing, serving
from records import DIMENSION, NAMESPACE

from context_chat_backend.contract import Busy, DriverError, Misconfigured, Unavailable
from context_chat_backend.toolkit.settings import read_settings

pytestmark = pytest.mark.anyio
pytest_plugins = ["milvus_fixtures"]

TOKEN = "root:a-token-of-the-tests"
Codes = grpc.StatusCode


@pytest.fixture(autouse=True)
def nothing_of_it_is_logged() -> Iterator[None]:
    """The client logs what it raises."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger("pymilvus").addHandler(handler)
    yield
    logging.getLogger("pymilvus").removeHandler(handler)
    assert SECRET not in written.getvalue()


async def failure_of_opening(answer: Answer, *, seconds: int = 60) -> DriverError:
    with serving(answer) as url:
        async with MilvusStore(MilvusSettings(url=url, token=TOKEN, timeout=seconds)) as store:
            with pytest.raises(DriverError) as error:
                await store.prepare(NAMESPACE, DIMENSION)
    assert SECRET not in str(error.value)
    assert TOKEN not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Codes.UNAUTHENTICATED, Misconfigured),
        (Codes.PERMISSION_DENIED, Misconfigured),
        (Codes.UNIMPLEMENTED, Misconfigured),
        (Codes.RESOURCE_EXHAUSTED, Misconfigured),
        (Codes.UNAVAILABLE, Unavailable),
        (Codes.INTERNAL, Unavailable),
        (Codes.UNKNOWN, Unavailable),
        (Codes.DEADLINE_EXCEEDED, Unavailable),
    ],
)
async def test_a_status_of_grpc_becomes_an_error_without_what_the_server_says(
    code: grpc.StatusCode, expected: type[DriverError]
) -> None:
    error = await failure_of_opening(refusing(code))
    assert type(error) is expected
    assert str(error) == f"Milvus answered {code.name}"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, Unavailable),
        (2, Unavailable),
        (8, Busy),
        (9, Busy),
        (65535, Unavailable),
        *((number, Misconfigured) for number in sorted(MISCONFIGURED)),
    ],
)
async def test_a_number_of_milvus_becomes_an_error_without_what_the_server_says(
    number: int, expected: type[DriverError]
) -> None:
    with serving(numbered(number)) as url:
        async with MilvusStore(MilvusSettings(url=url)) as store:
            with pytest.raises(DriverError) as error:
                await store._ask(store._client.describe_collection, "any")
    assert type(error.value) is expected
    assert SECRET not in str(error.value)


async def test_a_senseless_answer_may_pass() -> None:
    assert isinstance(await failure_of_opening(garbled), Unavailable)


async def test_a_server_that_does_not_answer_is_given_up_after_the_timeout() -> None:
    error = await failure_of_opening(connected(hanging), seconds=1)
    assert isinstance(error, Unavailable)
    assert str(error) == "Milvus did not answer in time"


async def test_who_waits_for_a_server_can_be_cancelled() -> None:
    with serving(connected(hanging)) as url:
        async with MilvusStore(MilvusSettings(url=url)) as store:
            with anyio.move_on_after(0.5) as scope:
                await store.prepare(NAMESPACE, DIMENSION)
    assert scope.cancelled_caught


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with MilvusStore(MilvusSettings(url=url)) as store:
        with pytest.raises(Unavailable, match="Milvus answered UNAVAILABLE"):
            await store.prepare(NAMESPACE, DIMENSION)


async def test_a_version_that_is_too_old_is_for_the_admin() -> None:
    error = await failure_of_opening(of_version("v2.2.16"))
    assert isinstance(error, Misconfigured)
    assert str(error) == "MILVUS_URL: a Milvus of version v2.2.16; 2.3 or later is needed, 2.4 for words"


@pytest.mark.parametrize(
    ("version", "keeps_words", "merges"),
    [
        ("v2.3.5-lite", False, False),
        ("v2.4.0", True, False),
        ("2.6.1", True, False),
        ("v2.6.2", True, True),
        ("v2.10.0-gpu", True, True),
        ("milvus_lite-3.2.2", True, True),
        ("master-1a2b3c", False, False),
    ],
)
def test_what_a_server_can_do_is_told_by_its_version(version: str, keeps_words: bool, merges: bool) -> None:
    server = Server.of_version(version)
    assert (server.version, server.keeps_words, server.merges) == (version, keeps_words, merges)


@pytest.mark.parametrize(
    "url", ["", "ftp://milvus", "http://", "https://user:secret@milvus", "milvus:19530", "http://milvus/secret", "x.db"]
)
def test_a_senseless_address_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="MILVUS_URL") as error:
        read_settings(MilvusSettings, {"MILVUS_URL": url})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("prefix", ["1st", "my-gateway", "ö", "a" * 201])
def test_a_prefix_that_no_name_of_a_collection_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(Misconfigured, match="MILVUS_COLLECTION_PREFIX"):
        read_settings(MilvusSettings, {"MILVUS_URL": "http://milvus", "MILVUS_COLLECTION_PREFIX": prefix})
