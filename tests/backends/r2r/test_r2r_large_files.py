"""Files go to R2R from the disk, block by block: several large ones are under way at a time."""

import tracemalloc
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from backends.r2r.client import NewDocument, R2RClient
from backends.r2r.formats import BLOCK, goes_as_it_is
from backends.r2r.settings import R2RSettings

pytestmark = pytest.mark.anyio

MIB = 2**20
LINE = "Der Wal heißt Jörg. ".encode() * 64 + b"\n"


class Peak:
    """Of the memory that was taken."""

    bytes = 0


@contextmanager
def measured() -> Iterator[Peak]:
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.writelines(LINE for _ in range(32 * MIB // len(LINE)))
    return file


@pytest.mark.parametrize("mime_type", ["text/plain", "application/json"])
def test_a_large_file_is_looked_at_in_blocks(large: Path, mime_type: str) -> None:
    with measured() as peak:
        assert goes_as_it_is(mime_type, large)
    assert peak.bytes < 8 * MIB


@pytest.mark.parametrize("position", range(-8, 2))
@pytest.mark.parametrize(
    ("bad", "mime_type"),
    [(b"\0", "text/html"), (rb"\u0000", "application/json"), ("ß".encode("latin-1") + b".", "text/plain")],
    ids=["NUL", "escaped NUL", "Latin-1"],
)
def test_what_r2r_would_trip_over_is_seen_at_the_edge_of_blocks(
    tmp_path: Path, position: int, bad: bytes, mime_type: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (BLOCK + position) + bad + b"x")
    assert not goes_as_it_is(mime_type, file)


@pytest.mark.parametrize("position", range(-4, 2))
def test_a_character_across_the_edge_of_blocks_is_a_character(tmp_path: Path, position: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (BLOCK + position) + "🐋".encode() + b"x")
    assert goes_as_it_is("text/plain", file)


def test_half_a_character_at_the_end_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("whale 🐋".encode()[:-1])
    assert not goes_as_it_is("text/plain", file)


class Drain(httpx.AsyncBaseTransport):
    """Takes an upload as it comes and keeps nothing of it."""

    received = 0
    announced = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.announced = int(request.headers["Content-Length"])
        async for part in request.stream:
            self.received += len(part)
        return httpx.Response(202, json={"results": {"task_id": None}})


async def test_a_large_file_is_sent_in_blocks(large: Path) -> None:
    document = NewDocument(
        id=uuid.uuid4(),
        file_name="content.txt",
        mime_type="text/plain",
        content=large,
        metadata={},
        collection_id=uuid.uuid4(),
    )
    drain = Drain()
    async with R2RClient(R2RSettings(base_url="http://r2r"), drain) as client:
        with measured() as peak:
            await client.upload(document)
    assert drain.received == drain.announced > 32 * (MIB - len(LINE))
    assert peak.bytes < 4 * MIB
