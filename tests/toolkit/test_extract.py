import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from context_chat_backend.contract import DriverError, Rejected, Unavailable
from context_chat_backend.toolkit.indexing.extract import EXTRACTORS, SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.settings import read_settings
from tests.processes import command_line, starters, workers
from tests.toolkit.documents import DOCX, docx, ole, paragraph, pdf, shown, written, zipped

pytestmark = pytest.mark.anyio

ME = os.getpid()


# What a hostile document could make a parser do; run by the worker through the path that all documents take.


def spin(data: bytes) -> NoReturn:
    while True:
        pass


def sleep(data: bytes) -> Iterator[str]:
    time.sleep(600)
    yield "awake"


def abort(data: bytes) -> NoReturn:
    os.abort()


def killed_from_outside(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hoard(data: bytes) -> Iterator[str]:
    yield str(len(bytearray(2**32)))


def chatter(data: bytes) -> Iterator[str]:
    os.write(1, b"noise")
    os.write(2, b"noise")
    yield "text"


def take_over(data: bytes) -> Iterator[str]:
    os.write(3, data + b"\n")  # where the result goes
    yield "text"


def raise_with_text(data: bytes) -> NoReturn:
    raise KeyError(data.decode())


class Panic(BaseException):
    """As native code in Rust raises it."""


def panic(data: bytes) -> NoReturn:
    raise Panic(data.decode())


def write_file(data: bytes) -> Iterator[str]:
    Path(data.decode()).write_text("written by a document")
    yield "written"


def environment(data: bytes) -> Iterator[str]:
    yield "\n".join(os.environ)
    yield Path("/proc/self/environ").read_text()


HOSTILE = {
    function.__name__: f"{__name__}:{function.__name__}"
    for function in (
        *(panic, spin, sleep, abort, killed_from_outside, hoard, chatter, take_over, raise_with_text, write_file),
        environment,
    )
}  # fmt: skip


def extractor(**settings: Any) -> Extractor:
    return Extractor(ExtractSettings(**settings), {**EXTRACTORS, **HOSTILE, "broken": "no.such.module:function"})


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "secret name"
    path.write_bytes(b"secret text")
    return path


async def extract(data: bytes | str, mime_type: str, folder: Path, **settings: Any) -> str:
    return await text_of(written(folder, data), mime_type, **settings)


async def text_of(path: Path, mime_type: str, **settings: Any) -> str:
    async with extractor(**settings) as reader:
        return await reader.text(path, mime_type)


# What is read


def manifest_entries() -> list[dict[str, Any]]:
    root = Path(__file__).parents[2]
    manifest = Path(os.environ.get("CCBE_TEST_DATA", root.parent / "shared" / "data")) / "formats" / "manifest.jsonl"
    lines = manifest.read_text().splitlines() if manifest.is_file() else []
    entries = [entry for entry in map(json.loads, lines) if entry["mimetype"].lower() in SUPPORTED_MIME_TYPES]
    return entries or [{"path": "missing"}]  # the fixture `test_data` then skips with its reason


@pytest.mark.parametrize("entry", manifest_entries(), ids=lambda entry: str(entry["path"]))
async def test_real_documents_are_read_as_people_read_them(entry: dict[str, Any], test_data: Path) -> None:
    spec = importlib.util.spec_from_file_location("check", test_data / "formats" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    try:
        result = {"ok": True, "text": await text_of(test_data / "formats" / entry["path"], entry["mimetype"])}
    except DriverError as error:
        result = {"ok": False, "error": str(error)}
    passed, reason, *_ = check.judge(entry, result)
    assert passed, reason
    if entry["expected_outcome"] == "encrypted":
        assert reason == "error names encryption"


async def test_types_may_be_written_in_any_case(tmp_path: Path) -> None:
    assert await extract("text", "Text/Plain", tmp_path) == "text"


def test_every_supported_type_has_a_function() -> None:
    assert all(mime_type == mime_type.lower() for mime_type in SUPPORTED_MIME_TYPES)
    for name in EXTRACTORS.values():
        module, function = name.split(":")
        assert callable(getattr(importlib.import_module(module), function))


GERMAN = "Die Straße führt über Köln nach Münster. Schöne Grüße!"

HTML = (
    "<title>Tea &amp; salt</title><style>no</style><h1>Sorts</h1><p>bl<b>ack</b><br>gr&eacute;en<script>no</script>"
    "<noscript>no</noscript><template>no</template> tail<!-- no --><ul><li>one<li>two</ul><td>1<td>2"
)

SAMPLES = [
    ("text/plain", "naïve\r\ncafé\rtea\x00\x07\x0cend\n", "naïve\ncafé\ntea\nend"),
    ("text/plain", b"\xff\xfe" + "wörds".encode("utf-16-le"), "wörds"),
    ("text/plain", b"\xff\xfe\0\0" + "wörds".encode("utf-32-le"), "wörds"),
    ("text/plain", b"\xef\xbb\xbfw\xc3\xb6rds", "wörds"),
    ("text/plain", GERMAN.encode("cp1252"), GERMAN),
    ("text/plain", b"log\n" * 9 + b"\0\0" + b"log", "log\n" * 9 + "log"),
    ("text/markdown", b"# B\xc3\xbcrger\n\xc3\x84mter\xa0", "Bürger\n\nÄmter\ufffd"),
    ("text/html", b"<p>B\xc3\xbcrger<p>\xc3\x84mter<p>\xff", "Bürger\n\nÄmter\n\n\ufffd"),
    ("text/csv", b"M\xfcller,1\nK\xf6ln,2\n", "Müller | 1\nKöln | 2"),
    ("application/json", '{"in": "Köln", "street": "Große"}'.encode("cp1252"), "in: Köln\nstreet: Große"),
    ("text/xml", b'<?xml version="1.0" encoding="us-ascii"?><a>5 \x80</a>', "5 €"),
    ("text/markdown", "# Tea\n\n*black*", "Tea\n\n*black*"),
    ("text/x-rst", "Tea\n===", "Tea"),
    ("text/org", "* Tea", "Tea"),
    ("application/json", '{"a": {"b": 1.10, "n": null}, "a": [true, ""]}', "a.b: 1.10\na: true"),
    ("application/json", '[{"sort": "oolong"}, {"sort": "assam"}]', "sort: oolong\n\nsort: assam"),
    ("application/json", '{"one": 1}\n{"two": 2}', '{"one": 1}\n{"two": 2}'),
    ("text/csv", "Sort;Price\noolong;12\n;7\n", "Sort | Price\noolong | 12\n | 7"),
    ("text/csv", "1,2\n3,4\n", "1 | 2\n3 | 4"),
    ("text/csv", 'Sort,Note\noolong,"two\nlines"\nassam,none', "Sort | Note\noolong | two lines\nassam | none"),
    ("text/html", HTML, "Tea & salt\n\nSorts\n\nblack\ngréen tail\n\none\ntwo\n\n1 2"),
    ("text/html", b"<meta charset=iso-8859-2><p>\xb1", "ą"),
    (
        "text/html",
        "<html><p>one</p></html>two<div>three</div></html><html><title>four</title><h1>five",
        "one\n\ntwo\nthree\n\nfour\n\nfive",
    ),
    ("text/html", "<ruby>東<rp>(</rp><rt>とう</rt><rp>)</rp>京<rt>きょう</rt></ruby>へ", "東京へ"),
    (
        "application/xhtml+xml",
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><p>a<br/>b</p></html>',
        "a\nb",
    ),
    ("application/xml", '<tea sort="oolong"><!-- no --><price>12</price> each<x/>tail</tea>', "oolong\n12\neach\ntail"),
    ("text/xml", '<?xml version="1.0" encoding="iso-8859-1"?><a>w\xf6rds</a>'.encode("latin-1"), "wörds"),
    ("text/xml", "<a>one<!-- no -->two<b/><!-- no -->three<?no no?> four</a>", "one\ntwo\nthree four"),
    ("text/xml", "<a><b>not closed</a>", "<a><b>not closed</a>"),
    ("application/pdf", pdf(shown("Green tea")), "Green tea"),
    (
        DOCX,
        docx(paragraph("Body"), header=paragraph("Head"), footer=paragraph("Foot")),
        "Head\n\nBody\n\nFoot",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("mime_type", "data", "text"), SAMPLES)
async def test_samples_are_read(mime_type: str, data: bytes | str, text: str, tmp_path: Path) -> None:
    assert await extract(data, mime_type, tmp_path) == text


async def test_lone_surrogates_are_left_out(tmp_path: Path) -> None:
    assert await extract(r'["a\ud800b"]', "application/json", tmp_path) == "ab"


async def test_a_text_longer_than_allowed_is_cut_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await extract("word " * 100, "text/plain", tmp_path, max_chars=9) == "word word"
    assert "first 9 characters of a document (text/plain)" in caplog.text


async def test_a_text_as_long_as_allowed_is_complete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await extract("word word", "text/plain", tmp_path, max_chars=9) == "word word"
    assert caplog.text == ""


# What is rejected


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("text/plain", b""),
        ("text/plain", b" \n\t\x00 "),
        ("application/json", b"[null, {}]"),
        ("text/csv", b",,\n"),
        ("text/html", b""),
        ("text/html", b"<script>no</script>"),
        ("application/xml", b"<a/>"),
        ("application/pdf", pdf("")),
        (DOCX, docx(paragraph(""))),
        (DOCX, b""),
    ],
)
async def test_a_document_without_text_is_rejected(mime_type: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no text found"):
        await extract(data, mime_type, tmp_path)


@pytest.mark.parametrize("mime_type", ["text/plain", "text/csv", "application/json", "text/html", "application/xml"])
async def test_binary_data_is_not_a_text(mime_type: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="binary"):
        await extract(bytes(range(256)) * 20, mime_type, tmp_path)


@pytest.mark.parametrize("mime_type", ["application/pdf", DOCX])
@pytest.mark.parametrize("data", [b"garbage", b"PK\x03\x04 garbage", b"%PDF-1.7 garbage"])
async def test_damaged_documents_are_rejected(mime_type: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="damaged"):
        await extract(data, mime_type, tmp_path)


async def test_an_encrypted_office_document_is_called_encrypted(tmp_path: Path) -> None:
    container = ole({"EncryptedPackage": b"secret"})
    with pytest.raises(Rejected, match="encrypted"):
        await extract(container, DOCX, tmp_path)


async def test_other_types_are_rejected_without_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Rejected, match="not supported: image/png"):
        await extract(b"", "image/png", tmp_path)


async def test_a_parser_that_panics_costs_one_document(document: Path) -> None:
    with pytest.raises(Rejected, match=r"^damaged \(Panic\)$"):
        await text_of(document, "panic")


async def test_a_reason_holds_neither_text_nor_file_name(document: Path) -> None:
    with pytest.raises(Rejected, match=r"^damaged \(KeyError\)$"):
        await text_of(document, "raise_with_text")


# Bombs


async def test_a_zip_bomb_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as member,
    ):
        for _ in range(1000):
            member.write(bytes(1_000_000))
    with pytest.raises(Rejected, match="unpacks to more than 200 MB"):
        await text_of(path, DOCX)


async def test_a_zip_that_lies_about_its_size_is_rejected(tmp_path: Path) -> None:
    bomb = zipped({"word/document.xml": "a" * 50_000_000})
    size = zipfile.ZipFile(io.BytesIO(bomb)).getinfo("word/document.xml").file_size
    with pytest.raises(Rejected, match="damaged"):
        await extract(bomb.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")), DOCX, tmp_path)


async def test_a_document_that_needs_too_much_memory_is_rejected(tmp_path: Path) -> None:
    tags = docx("<w:p/>" * 5_000_000)
    with pytest.raises(Rejected, match="needs more than 256 MiB"):
        await extract(tags, DOCX, tmp_path, memory_mb=256)


def laughs() -> str:
    entities = [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)]
    return f'<!DOCTYPE a [<!ENTITY l0 "lol">{"".join(entities)}]><a>&l9; words</a>'


@pytest.mark.parametrize("mime_type", ["application/xml", "text/html"])
async def test_entities_of_the_document_are_not_expanded(mime_type: str, tmp_path: Path) -> None:
    text = await extract(laughs(), mime_type, tmp_path)
    assert "words" in text
    assert len(text) <= len(laughs())


async def test_entities_in_a_docx_do_not_blow_up(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        await extract(zipped({"word/document.xml": laughs()}), DOCX, tmp_path)


async def test_external_entities_are_not_read(document: Path, tmp_path: Path) -> None:
    xml = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{document.as_uri()}">]><a>&x; words</a>'
    assert await extract(xml, "application/xml", tmp_path) == "&x;\nwords"


async def test_external_entities_are_not_fetched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        xml = f'<!DOCTYPE a SYSTEM "{url}/a.dtd" [<!ENTITY % p SYSTEM "{url}/p"> %p;]><a>words</a>'
        assert "words" in await extract(xml, "application/xml", tmp_path)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()


@pytest.mark.parametrize(
    ("mime_type", "opening", "closing"),
    [
        ("text/html", "<div>", "</div>"),
        ("text/html", "<b><font>", ""),
        ("application/xml", "<a>", "</a>"),
        ("application/json", "[", "]"),
        ("application/json", '{"a":', "}"),
    ],
)
async def test_deep_nesting_loses_no_text(mime_type: str, opening: str, closing: str, tmp_path: Path) -> None:
    text = await extract(opening * 50_000 + '"deep words"' + closing * 50_000, mime_type, tmp_path)
    assert "deep words" in text


@pytest.mark.parametrize("mime_type", ["text/html", "application/xml"])
async def test_a_very_long_paragraph_loses_no_text(mime_type: str, tmp_path: Path) -> None:
    text = await extract("<p>" + "word " * 2_200_000 + "end</p>", mime_type, tmp_path)
    assert text.count("word") == 2_200_000
    assert "end" in text


async def test_a_pdf_that_contains_itself_is_rejected(tmp_path: Path) -> None:
    loop = pdf("").replace(b"/Kids[3 0 R]/Count 1", b"/Kids[2 0 R 2 0 R]/Count 99999999")
    with pytest.raises(Rejected):
        await extract(loop, "application/pdf", tmp_path, cpu_seconds=5)


# The worker


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("spin", "more than 1 s of CPU time"),
        ("abort", "crashed the parser.*SIGABRT"),
        ("hoard", "more than 1024 MiB of memory"),
    ],
)
async def test_a_hostile_document_is_rejected_and_the_next_is_read(function: str, reason: str, document: Path) -> None:
    async with extractor(workers=1, cpu_seconds=1) as shared:
        with pytest.raises(Rejected, match=reason):
            await shared.text(document, function)
        assert await shared.text(document, "text/plain") == "secret text"


async def test_a_slow_machine_costs_no_document(document: Path) -> None:
    with pytest.raises(Unavailable, match=r"more than 0\.5 s"):
        await text_of(document, "sleep", wall_seconds=0.5)
    assert workers(ME) == []


async def test_a_worker_killed_from_outside_costs_no_document(document: Path) -> None:
    with pytest.raises(Unavailable):
        await text_of(document, "killed_from_outside")


async def test_a_worker_that_does_not_start_costs_no_document(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Unavailable, match="could not be started"):
        await text_of(document, "text/plain")


async def test_an_incomplete_installation_costs_no_document(document: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable):
        await text_of(document, "broken")
    assert "No module named 'no'" in caplog.text


async def test_a_missing_file_costs_no_document(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await text_of(tmp_path / "missing", "text/plain")


async def test_cancelling_ends_the_worker_and_no_other(document: Path) -> None:
    async with extractor(workers=2) as shared, anyio.create_task_group() as tasks:
        tasks.start_soon(shared.text, document, "sleep")
        await until_there_are_workers(1)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as others:
                others.start_soon(shared.text, document, "sleep")
                await until_there_are_workers(2)
                scope.cancel()
        await until_there_are_workers(1)
        assert await shared.text(document, "text/plain") == "secret text"
        tasks.cancel_scope.cancel()
    assert workers(ME) == []


async def test_no_more_workers_run_than_configured(document: Path) -> None:
    async with extractor(workers=2) as shared, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(shared.text, document, "sleep")
        await until_there_are_workers(2)
        await anyio.wait_all_tasks_blocked()
        assert len(workers(ME)) == 2
        tasks.cancel_scope.cancel()


async def test_documents_are_read_again_once_their_starter_has_died(document: Path) -> None:
    async with extractor(workers=2) as shared:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(becomes_unavailable, shared, document)
            await until_there_are_workers(1)
            (starter,) = starters(ME)
            (worker,) = workers(ME)
            os.kill(starter, signal.SIGKILL)
        assert command_line(worker) == ""
        assert await shared.text(document, "text/plain") == "secret text"
        assert starters(ME) != [starter]


async def becomes_unavailable(reader: Extractor, document: Path) -> None:
    with pytest.raises(Unavailable):
        await reader.text(document, "sleep")


async def test_closing_ends_the_starter_and_its_workers(document: Path) -> None:
    async with anyio.create_task_group() as tasks, extractor() as shared:
        tasks.start_soon(becomes_unavailable, shared, document)
        await until_there_are_workers(1)
        (starter,), (worker,) = starters(ME), workers(ME)
    assert starters(ME) == []
    assert command_line(starter) == ""
    assert command_line(worker) == ""


async def until_there_are_workers(number: int) -> None:
    while len(workers(ME)) != number:  # noqa: ASYNC110 - a process sets no event
        await anyio.sleep(0.01)


async def test_what_a_parser_prints_is_no_text(document: Path) -> None:
    assert await text_of(document, "chatter") == "text"


async def test_sections_come_from_the_worker_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, "# Tea\n\none\ntwo\n\n# Größe\u2028")
    async with extractor() as reader:
        assert await reader.sections(path, "text/markdown") == [Section("one\ntwo", ("Tea",)), Section("Größe")]
    path.write_text("a,b\nx,1\ny,2")
    async with extractor() as reader:
        assert await reader.sections(path, "text/csv") == [Section("x | 1\ny | 2", (), "a | b")]


@pytest.mark.parametrize("result", ["nonsense", '{"text": 1}', '["text"]', '{"text": "x", "headings": "y"}', "\xff"])
async def test_nothing_but_sections_is_taken_from_a_worker(result: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="crashed the parser"):
        await extract(result.encode("latin-1"), "take_over", tmp_path)


async def test_a_worker_writes_no_files(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(Rejected, match="damaged"):
        await extract(str(target), "write_file", tmp_path)
    assert not target.exists() or target.read_bytes() == b""


async def test_a_worker_does_not_know_the_secrets(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRET", "hunter2")
    text = await text_of(document, "environment")
    assert "PYTHONPATH" in text
    assert "APP_SECRET" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("importing", "heavy"),
    [
        ("worker", {"anyio", "pydantic", "lxml", "context_chat_backend.contract"}),
        ("extractor", {"lxml", "pypdfium2", "olefile", "python_calamine", "chardet"}),
    ],
)
def test_a_process_imports_only_what_it_needs(importing: str, heavy: set[str]) -> None:
    code = f"import sys, context_chat_backend.toolkit.indexing.extract.{importing}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert heavy.isdisjoint(modules)


def test_settings_come_from_variables() -> None:
    settings = read_settings(ExtractSettings, {"EXTRACT_CPU_SECONDS": "7", "EXTRACT_WORKERS": ""})
    assert (settings.cpu_seconds, settings.workers) == (7, 2)
    assert all(field.description for field in ExtractSettings.model_fields.values())
