"""What goes wrong between the store and a server, in the words of the contract."""

import socket
from pathlib import Path

import pytest
from conftest import DIMENSION, NAMESPACE
from context_chat_qdrant.settings import QdrantSettings
from context_chat_qdrant.store import QdrantStore
from double import KEY, QdrantDouble
from fastapi import Response

from context_chat_backend.contract import Busy, DriverError, Level, Misconfigured, Unavailable
from context_chat_backend.toolkit.catalogue import DocumentKey, Extent
from context_chat_backend.toolkit.settings import read_settings

pytestmark = pytest.mark.anyio

SECRET = "words of a document"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Misconfigured),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, Misconfigured),
        (408, Unavailable),
        (409, Unavailable),
        (429, Busy),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_a_status_becomes_an_error_without_the_body(
    server: QdrantDouble, status: int, expected: type[DriverError]
) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key=KEY)) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        server.script.append(Response(SECRET, status))
        with pytest.raises(expected) as error:
            await store.remove([Extent(document=DocumentKey("0" * 32), chunks=1)])
    assert SECRET not in str(error.value)
    assert KEY not in str(error.value)


async def test_a_busy_server_says_for_how_long(server: QdrantDouble) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key=KEY)) as store:
        server.script.append(Response(status_code=429, headers={"Retry-After": "7"}))
        with pytest.raises(Busy) as busy:
            await store.prepare(NAMESPACE, DIMENSION)
    assert busy.value.retry_after == 7


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>", media_type="text/html"),
        Response(b"\xff"),
        Response('{"result": "words of a document"}'),
        Response(status_code=429, headers={"Retry-After": "soon"}),
    ],
)
async def test_a_senseless_answer_may_pass(server: QdrantDouble, answer: Response) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key=KEY)) as store:
        server.script.append(answer)
        with pytest.raises(Unavailable) as error:
            await store.prepare(NAMESPACE, DIMENSION)
    assert SECRET not in str(error.value)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with QdrantStore(QdrantSettings(url=url)) as store:
        with pytest.raises(Unavailable, match="does not answer: ConnectError"):
            await store.prepare(NAMESPACE, DIMENSION)


async def test_a_wrong_key_is_for_the_admin(server: QdrantDouble) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key="wrong")) as store:
        with pytest.raises(Misconfigured, match="Qdrant answered 401"):
            await store.prepare(NAMESPACE, DIMENSION)


async def test_ping_notices_that_the_collection_is_gone(server: QdrantDouble) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key=KEY)) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        await store.ping()
        await server.engine.delete_collection(NAMESPACE)
        with pytest.raises(Misconfigured, match=f"has lost the collection {NAMESPACE}"):
            await store.ping()


async def test_the_check_names_the_server_and_warns_of_the_local_mode(server: QdrantDouble) -> None:
    async with QdrantStore(QdrantSettings(url=server.url, api_key=KEY)) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        (finding,) = await store.check()
        assert finding.level is Level.OK
        assert finding.text == f"{server.url}, collection {NAMESPACE}"
    (finding,) = await QdrantStore(QdrantSettings(url=":memory:")).check()
    assert finding.level is Level.WARNING
    assert "QDRANT_URL" in finding.remedy


async def test_a_folder_that_cannot_be_used_is_for_the_admin(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="QDRANT_URL: the folder cannot be used"):
        await QdrantStore(QdrantSettings(url=str(tmp_path / "file"))).__aenter__()


@pytest.mark.parametrize("url", ["", "ftp://qdrant", "http://", "https://user:secret@qdrant", "qdrant:6333"])
def test_a_senseless_address_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="QDRANT_URL") as error:
        read_settings(QdrantSettings, {"QDRANT_URL": url})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("key", ["two words", "line\n", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    variables = {"QDRANT_URL": "https://qdrant.example.org", "QDRANT_API_KEY": key}
    with pytest.raises(Misconfigured, match="QDRANT_API_KEY: has to be printable ASCII") as error:
        read_settings(QdrantSettings, variables)
    assert key not in str(error.value)
