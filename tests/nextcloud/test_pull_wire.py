"""The requests are those of the official client library, and the answers of the real controllers are understood."""

import json
import socketserver
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.errors import Failed, Missing, NextcloudError, Refused
from context_chat_backend.nextcloud.queues import Queue, Queues
from context_chat_backend.nextcloud.scopes import Scopes
from context_chat_backend.nextcloud.tasks import PROVIDERS, TaskProvider
from tests.gateway import make_settings

pytestmark = pytest.mark.anyio

GOLDEN = Path(__file__).parents[1] / "golden" / "wire_pull"
NOT_COMPARED = {"host", "user-agent", "connection"}
"""Ours are those of another library; who sends what is no secret, but it is said honestly."""


class Recorder(socketserver.ThreadingTCPServer):
    """Answers every request with what fits to it, and keeps the bytes."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[bytes] = []
        self.data: object = []


class _Handler(socketserver.StreamRequestHandler):
    server: Recorder

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        length = int(dict(headers_of(head)).get("content-length", "0"))
        self.server.requests.append(head + self.rfile.read(length))
        body = json.dumps({"ocs": {"meta": {"statuscode": 200}, "data": self.server.data}}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def headers_of(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode().split("\r\n")[1:]
    return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines if line)]


@contextmanager
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def recorded() -> Iterator[Recorder]:
    with recorder() as server:
        yield server


@pytest.fixture
async def nextcloud(recorded: Recorder) -> AsyncIterator[NextcloudClient]:
    host, port = recorded.server_address[:2]
    settings = make_settings(
        Path("unused"), nextcloud_url=f"http://{host!s}:{port}", app_version="5.4.0", aa_version="33.0.0"
    )
    async with NextcloudClient(settings) as client:
        yield client


async def read_file(nextcloud: NextcloudClient) -> None:
    async with Queues(nextcloud).file(555, "jörg") as parts:
        async for _ in parts:
            pass


RESULT = {
    "output": "Größe: 5",
    "sources": ['{"id": "files__default: 555", "label": "Notes.md", "icon": "i", "url": "u"}'],
}
CALLS: dict[str, tuple[object, Callable[[NextcloudClient], Awaitable[object]]]] = {
    "actions_ack": ([], lambda nc: Queues(nc).acknowledge_actions([31, 32])),
    "actions_get": ({"actions": {}}, lambda nc: Queues(nc).lease_actions(512)),
    "actions_probe": ({"actions": {}}, lambda nc: Queues(nc).require()),
    "documents_ack": ([], lambda nc: Queues(nc).acknowledge_documents([(Queue.FILES, 11), (Queue.ITEMS, 21)])),
    "documents_get": ({"files": {}, "content_providers": {}}, lambda nc: Queues(nc).lease_documents(32)),
    "enrich_sources": (
        {"sources": []},
        lambda nc: Scopes(nc).describe([("files__default: 555", "files/Notes.md")], "admin"),
    ),
    "file_get": ([], read_file),
    "resolve_scope_list": ({"source_ids": []}, lambda nc: Scopes(nc).resolve(["files__default: 700"], "admin")),
    "task_error": (
        {"task": {"status": "STATUS_FAILED"}},
        lambda nc: TaskProvider(nc).fail(17, "No documents retrieved"),
    ),
    "task_result": ({"task": {"status": "STATUS_SUCCESSFUL"}}, lambda nc: TaskProvider(nc).succeed(17, RESULT)),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_request_is_that_of_the_official_library(
    name: str, recorded: Recorder, nextcloud: NextcloudClient
) -> None:
    recorded.data, call = CALLS[name]
    await call(nextcloud)
    (sent,) = recorded.requests
    assert_equal(sent, name)


async def test_the_task_types_are_registered_and_withdrawn_as_the_official_library_does(
    recorded: Recorder, nextcloud: NextcloudClient
) -> None:
    await TaskProvider(nextcloud).register()
    await TaskProvider(nextcloud).unregister()
    for sent, name in zip(recorded.requests, ["register_query", "register_search", "unregister_query"], strict=False):
        assert_equal(sent, name)
    assert len(recorded.requests) == 2 * len(PROVIDERS)


async def test_one_task_is_asked_for_as_the_official_library_does(
    recorded: Recorder, nextcloud: NextcloudClient
) -> None:
    recorded.data = {"task": {"id": 1, "type": "context_chat:context_chat"}}
    provider = TaskProvider(nextcloud)
    provider._batches.was_missing()  # as it is after the first question to Nextcloud 32
    (task,) = await provider.take(1)
    assert task.number == 1
    assert_equal(recorded.requests[0], "next_task")


def assert_equal(sent: bytes, name: str) -> None:
    wanted = (GOLDEN / f"req_{name}.http").read_bytes().replace(b"\r\n", b"\n")
    head, _, body = sent.partition(b"\r\n\r\n")
    wanted_head, _, wanted_body = wanted.partition(b"\n\n")
    assert head.split(b"\r\n")[0] == wanted_head.split(b"\n")[0]
    assert body == wanted_body.rstrip(b"\n")
    assert _compared(head) == _compared(wanted_head.replace(b"\n", b"\r\n"))


def _compared(head: bytes) -> set[tuple[str, str]]:
    # an empty body may be announced or not
    return {
        header for header in headers_of(head) if header[0] not in NOT_COMPARED and header != ("content-length", "0")
    }


# ---------------------------------------------------------------------- answers


def answering(name: str) -> NextcloudClient:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())

    def handle(_: httpx.Request) -> httpx.Response:
        body = golden["body"]
        return httpx.Response(golden["status"], content=b"" if body is None else body.encode())

    settings = make_settings(Path("unused"), nextcloud_url="https://cloud.example")
    return NextcloudClient(settings, transport=httpx.MockTransport(handle))


async def documents(name: str) -> list[tuple[str, int, Any]]:
    async with answering(name) as nextcloud:
        rows = await Queues(nextcloud).lease_documents(32)
    return [(row.queue.value, row.number, row.document) for row in rows]


async def test_files_are_read_with_the_characters_that_php_escapes() -> None:
    (first, second) = await documents("documents_files")
    assert first[:2] == ("files", 11)
    assert (first[2].reference, first[2].size, first[2].content) == ("files__default: 555", 27, None)
    assert second[2].title == "files/Übergröße/文件 <b> 😀.pdf"
    assert second[2].user_ids == ["admin", "jörg", "admin"]


async def test_items_are_read_whatever_their_ids_and_titles_are() -> None:
    rows = await documents("documents_items")
    assert [(row[0], row[1]) for row in rows] == [("content_providers", number) for number in (21, 22, 23, 24)]
    assert rows[0][2].content == "Hi,\nlunch?"
    assert rows[1][2].title == ""
    assert rows[2][2].user_ids == []
    assert rows[3][2].reference == "mail__mail: a/b c"


@pytest.mark.parametrize(("name", "number"), [("documents_empty", 0), ("documents_mixed", 4)])
async def test_both_kinds_come_in_one_answer(name: str, number: int) -> None:
    assert len(await documents(name)) == number


async def test_an_answer_without_a_body_is_an_error_because_its_rows_are_leased() -> None:
    with pytest.raises(Failed):
        await documents("documents_invalid_utf8")


@pytest.mark.parametrize(("name", "number"), [("actions_all", 9), ("actions_empty", 0), ("actions_n0", 0)])
async def test_actions_come_in_the_order_of_their_numbers(name: str, number: int) -> None:
    async with answering(name) as nextcloud:
        rows = await Queues(nextcloud).lease_actions(512)
    numbers = [row.number for row in rows]
    assert len(numbers) == number
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("name", "error"),
    [("file_bad_user", Failed), ("file_folder", Missing), ("file_missing", Missing), ("file_unreadable", Refused)],
)
async def test_a_file_that_cannot_be_read_says_why(name: str, error: type[NextcloudError]) -> None:
    async with answering(name) as nextcloud:
        with pytest.raises(error):
            await read_file(nextcloud)


async def test_a_folder_becomes_its_files() -> None:
    async with answering("resolve_scope_list") as nextcloud:
        resolved = await Scopes(nextcloud).resolve(["files__default: 555", "files__default: 700"], "admin")
    assert resolved[:3] == ["files__default: 555", "files__default: 701", "files__default: 702"]


async def test_a_scope_that_cannot_be_resolved_stays_as_it_is() -> None:
    async with answering("resolve_scope_list_bad_user") as nextcloud:
        assert await Scopes(nextcloud).resolve(["files__default: 1"], "nobody") == ["files__default: 1"]


async def test_descriptions_come_in_the_order_of_the_sources() -> None:
    sources = [
        ("files__default: 555", "files/Notes.md"),
        ("mail__mail: 1:2", "Re: lunch"),
        ("files__default: 999", "gone"),
        ("gone__gone: 1", "x"),
        ("mail__mail: a/b c", "an id that would cost all the others their descriptions"),
    ]
    async with answering("enrich_sources") as nextcloud:
        described = [json.loads(each) for each in await Scopes(nextcloud).describe(sources, "admin")]
    assert [each["id"] for each in described] == ["files__default: 555", "mail__mail", "files__default: 999"]
    assert all({"id", "label", "icon", "url"} <= each.keys() for each in described)
