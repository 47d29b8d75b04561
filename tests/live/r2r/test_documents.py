"""Documents that R2R gets as they are and reads itself."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import context_chat_backend.cli.demo
from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, gateway_process
from tests.slow.tools import file, files, partition

from .model_stub import ModelStub
from .server import R2RServer
from .tools import r2r_environment, stored

pytestmark = pytest.mark.r2r

DEMO = Path(context_chat_backend.cli.demo.__file__).parent / "documents"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PNG = "image/png"


@pytest.fixture(scope="module")
def gateway(r2r: R2RServer) -> Iterator[GatewayProcess]:
    with gateway_process(r2r_environment(r2r)) as gateway:
        yield gateway


def red_png() -> bytes:
    """One pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0\xff\0\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def first(gateway: GatewayProcess, query: str) -> str:
    response = gateway.nextcloud.post("/docSearch", userId="alice", query=query)
    return str(response.json()[0]["source_id"])


def test_a_pdf_a_docx_and_an_image_are_found_by_what_is_in_them(gateway: GatewayProcess, r2r: R2RServer) -> None:
    pdf = part(file(1), (DEMO / "coffee-machine.pdf").read_bytes(), title="files/1", mime_type=PDF)
    docx = part(file(2), (DEMO / "apple-cake.docx").read_bytes(), title="files/2", mime_type=DOCX)
    png = part(file(3), red_png(), title="files/3", mime_type=PNG)
    assert partition(gateway.nextcloud, pdf, docx, png) == ({*files(1, 2, 3)}, set())
    types = [each["document_type"] for source_id in files(1, 2, 3) for each in stored(gateway, r2r, source_id)]
    assert types == ["pdf", "docx", "png"]
    assert first(gateway, "How do I descale the coffee machine?") == file(1)
    assert first(gateway, "sliced apples and cinnamon") == file(2)
    assert first(gateway, "lighthouse on a cliff") == file(3)


@pytest.mark.parametrize(("name", "mime_type"), [("coffee-machine.pdf", PDF), ("apple-cake.docx", DOCX)])
def test_a_broken_document_is_rejected_and_removes_the_older_version(
    gateway: GatewayProcess, r2r: R2RServer, name: str, mime_type: str
) -> None:
    nextcloud, good = gateway.nextcloud, (DEMO / name).read_bytes()
    nextcloud.forget_everything()
    whole = part(file(1), good, mime_type=mime_type, modified=1)
    assert partition(nextcloud, whole, part(file(2))) == ({*files(1, 2)}, set())
    broken = part(file(1), good[:4] + b"broken" * 100, mime_type=mime_type, modified=2)
    assert partition(nextcloud, broken) == (set(), set())
    assert nextcloud.found("alice") == {file(2)}
    assert nextcloud.counts() == {"files__default": 1}
    assert stored(gateway, r2r, file(1)) == []


@pytest.mark.parametrize(
    "text", ['{"whale": "blue",}', '{"a": "whale"}\n{"b": "whale"}', "// whale\n{}", '\ufeff{"a": "whale"}']
)
def test_json_that_is_not_strict_is_found(gateway: GatewayProcess, r2r: R2RServer, text: str) -> None:
    nextcloud = gateway.nextcloud
    nextcloud.forget_everything()
    assert partition(nextcloud, part(file(1), text.encode(), mime_type="application/json")) == ({file(1)}, set())
    assert [each["document_type"] for each in stored(gateway, r2r, file(1))] == ["txt"]
    assert nextcloud.found("alice") == {file(1)}


def test_json_waits_for_the_embedding_model(gateway: GatewayProcess, r2r: R2RServer, models: ModelStub) -> None:
    nextcloud = gateway.nextcloud
    nextcloud.forget_everything()
    json = part(file(1), b'{"whale": "blue"}', mime_type="application/json")
    models.embeddings.fail(503)
    assert partition(nextcloud, json) == (set(), {file(1)})
    models.recover()
    assert partition(nextcloud, json) == ({file(1)}, set())
    assert [each["document_type"] for each in stored(gateway, r2r, file(1))] == ["json"]


def test_an_office_document_that_r2r_s_parser_refuses_is_found(gateway: GatewayProcess, r2r: R2RServer) -> None:
    nextcloud = gateway.nextcloud
    nextcloud.forget_everything()
    transitional, strict = (
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
        b"http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
    )
    content = io.BytesIO()
    with zipfile.ZipFile(DEMO / "apple-cake.docx") as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(transitional, strict))
    assert partition(nextcloud, part(file(1), content.getvalue(), mime_type=DOCX)) == ({file(1)}, set())
    assert [each["document_type"] for each in stored(gateway, r2r, file(1))] == ["txt"]
    assert nextcloud.found("alice") == {file(1)}


def test_an_image_waits_for_the_model_that_looks_at_it(gateway: GatewayProcess, models: ModelStub) -> None:
    nextcloud = gateway.nextcloud
    nextcloud.forget_everything()
    png = part(file(1), red_png(), mime_type=PNG)
    models.chat.fail(503)
    assert partition(nextcloud, png) == (set(), {file(1)})
    models.recover()
    assert partition(nextcloud, png) == ({file(1)}, set())
    assert first(gateway, "lighthouse on a cliff") == file(1)
