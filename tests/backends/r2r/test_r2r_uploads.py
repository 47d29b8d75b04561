"""In which form documents go to R2R, and what becomes of those that it cannot use."""

import io
import json
import logging
import zipfile
from dataclasses import replace

import httpx
import pytest

from backends.r2r.driver import R2RDriver
from backends.r2r.record import DAY
from context_chat_backend.contract import BeyondReader, Outcome, Query, Rejected, Source, Unavailable
from context_chat_backend.core.contents import NoContent
from context_chat_backend.toolkit.indexing.extract import READER_VERSION
from tests.doubles.r2r.store import Document

from .r2r_stage import (
    ALICE,
    DOCUMENTS,
    FILES,
    PAPER,
    UNREADABLE,
    WHALE,
    Stage,
    finding,
    found,
    journal,
    source_id,
    texts,
)

pytestmark = pytest.mark.anyio

TOO_LARGE = {"message": "File size exceeds maximum of 5000000 bytes for extension 'md'.", "error_type": "R2RException"}
UNKNOWN_TYPE = {"message": "'md' is not a valid DocumentType.", "error_type": "R2RException"}
REFUSALS = pytest.mark.parametrize(
    ("status", "body"), [(413, TOO_LARGE), (415, UNKNOWN_TYPE), (500, UNREADABLE), (500, {"detail": UNREADABLE})]
)


def markdown(stage: Stage, text: str | bytes = WHALE, *, modified: int = 1) -> Source:
    return stage.source(1, text, title="whale.md", mime_type="text/markdown", modified=modified)


def png(stage: Stage, *, modified: int = 1) -> Source:
    return stage.source(1, b"\x89PNG", title="whale.png", mime_type="image/png", modified=modified)


async def nothing_is_left(stage: Stage, driver: R2RDriver) -> bool:
    return not stage.double.store.documents and not await journal(driver) and not await finding(driver)


# ---------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("mime_type", "title", "name"),
    [
        ("text/plain", "notes", "content.txt"),
        ("text/markdown", "Quarterly report", "content.md"),
        ("text/csv", "report v1.2", "content.csv"),
        ("text/x-rst", "whale.rst", "content.txt"),
        ("application/json", "whale.json", "content.json"),
    ],
)
async def test_the_type_decides_the_name_of_an_upload_and_the_title_never(
    stage: Stage, driver: R2RDriver, mime_type: str, title: str, name: str
) -> None:
    await driver.upsert(stage.source(1, json.dumps(WHALE), title=title, mime_type=mime_type))
    assert stage.wire.uploads == [name]
    (hit,) = await driver.search(Query(user_id=ALICE, text="whale", limit=5))
    assert hit.title == title


@REFUSALS
async def test_what_r2r_refuses_as_it_is_goes_as_text(
    stage: Stage, driver: R2RDriver, status: int, body: object
) -> None:
    stage.double.fail_next("POST", DOCUMENTS, status, body)
    assert await driver.upsert(markdown(stage)) is Outcome.CREATED
    assert stage.wire.uploads == ["content.md", "content.txt"]
    assert await texts(driver, ALICE) == [WHALE]
    assert await journal(driver) == []


async def test_what_r2r_finds_no_text_in_goes_as_text(stage: Stage, driver: R2RDriver) -> None:
    async def find_nothing(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS) and len(stage.wire.uploads) == 1:
            stage.only().total_tokens = 0

    stage.wire.after = find_nothing
    assert await driver.upsert(markdown(stage)) is Outcome.CREATED
    assert stage.wire.uploads == ["content.md", "content.txt"]
    assert await texts(driver, ALICE) == [WHALE]


async def test_a_document_that_r2r_fails_at_makes_room_for_its_text(stage: Stage, driver: R2RDriver) -> None:
    page = "<p>Der Wal heißt Jörg.</p>".encode("latin-1")
    await driver.upsert(stage.source(1, page, title="whale.html", mime_type="text/html"))
    assert stage.wire.uploads == ["content.html", "content.txt"]
    assert await texts(driver, ALICE) == ["Der Wal heißt Jörg."]
    assert len(stage.stored()) == 1


async def test_a_damaged_document_is_rejected_and_leaves_nothing(stage: Stage, driver: R2RDriver) -> None:
    with pytest.raises(Rejected):
        await driver.upsert(stage.source(1, b"%broken", title="whale.pdf", mime_type="application/pdf"))
    assert await nothing_is_left(stage, driver)


@REFUSALS
async def test_what_r2r_refuses_in_both_forms_is_rejected_and_leaves_nothing(
    stage: Stage, driver: R2RDriver, status: int, body: object
) -> None:
    await driver.upsert(markdown(stage))
    stage.double.fail_next("POST", DOCUMENTS, status, body, times=2)
    with pytest.raises(Rejected):
        await driver.upsert(markdown(stage, PAPER, modified=2))
    assert await nothing_is_left(stage, driver)
    assert await found(driver, ALICE) == set()


# ---------------------------------------------------------------------- what R2R's parsers refuse

LOOSE_JSON = {
    "trailing comma": '{"whale": "blue",}',
    "lines": '{"whale": "blue"}\n{"whale": "grey"}',
    "comment": '// about the whale\n{"whale": "blue"}',
    "byte order mark": '\ufeff{"whale": "blue"}',
}
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
REFUSED = {"message": "Failed to parse", "error_type": "R2RException"}


def whale_json(stage: Stage, text: str, *, modified: int = 1) -> Source:
    return stage.source(1, text, title="whale.json", mime_type="application/json", modified=modified)


def strict_docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("_rels/.rels", "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument")
        namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        text = f"<w:p><w:r><w:t>{WHALE}</w:t></w:r></w:p>"
        package.writestr("word/document.xml", f'<w:document xmlns:w="{namespace}"><w:body>{text}</w:body></w:document>')
    return file.getvalue()


@pytest.mark.parametrize("text", LOOSE_JSON.values(), ids=LOOSE_JSON)
async def test_json_that_is_not_strict_goes_as_text(stage: Stage, driver: R2RDriver, text: str) -> None:
    assert await driver.upsert(whale_json(stage, text)) is Outcome.CREATED
    assert stage.wire.uploads == ["content.json", "content.txt"]
    assert ["blue" in found for found in await texts(driver, ALICE)] == [True]
    assert await journal(driver) == []


async def test_json_that_is_not_strict_goes_as_text_from_a_queue(
    stage: Stage, driver: R2RDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_on(_: httpx.Request) -> None:
        stage.double.finish_ingestions()

    monkeypatch.setattr("backends.r2r.uploads.FIRST_PAUSE", 0.001)
    stage.double.orchestrated, stage.wire.before = True, get_on
    assert await driver.upsert(whale_json(stage, '{"whale": "blue",}')) is Outcome.CREATED
    assert stage.wire.uploads == ["content.json", "content.txt"]
    assert await journal(driver) == []


async def test_json_is_never_read_by_a_model_in_any_mode(stage: Stage) -> None:
    async with stage.driver(ingestion_mode="custom") as driver:
        await driver.upsert(whale_json(stage, '{"whale": "blue",}'))
    assert stage.wire.uploads == ["content.json", "content.txt"]


async def test_json_without_anything_in_it_is_rejected_at_once(stage: Stage, driver: R2RDriver) -> None:
    with pytest.raises(Rejected):
        await driver.upsert(whale_json(stage, " "))
    assert await nothing_is_left(stage, driver)


async def test_numbers_that_json_does_not_have_are_r2r_s_own_matter(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(whale_json(stage, '{"whale": NaN}'))
    assert stage.wire.uploads == ["content.json"]


async def test_an_outage_of_the_embedding_model_is_not_taken_for_a_refusal(stage: Stage, driver: R2RDriver) -> None:
    stage.double.provider_down = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await driver.upsert(whale_json(stage, '{"whale": "blue"}'))
    assert set(stage.wire.uploads) == {"content.json"}


@pytest.mark.parametrize(
    "body",
    [REFUSED, {"detail": "Cannot have both Bearer token and API key"}, {"detail": REFUSED}, "a proxy's page"],
    ids=["R2R's", "FastAPI's", "in detail", "a proxy's"],
)
async def test_a_400_that_is_not_about_the_document_costs_no_source(
    stage: Stage, driver: R2RDriver, body: object
) -> None:
    await driver.upsert(whale_json(stage, '{"whale": "blue"}'))
    newer = whale_json(stage, '{"whale": "grey"}', modified=2)
    for _ in range(8):
        stage.double.fail_next("POST", DOCUMENTS, 400, body, text=isinstance(body, str))
        with pytest.raises(Unavailable):
            await driver.upsert(newer)
        stage.pass_time(DAY)
    assert set(stage.wire.uploads) == {"content.json"}
    assert "blue" in (await texts(driver, ALICE))[0]
    assert await driver.upsert(newer) is Outcome.UPDATED


async def test_text_that_r2r_cannot_read_either_is_tried_for_a_day(stage: Stage, driver: R2RDriver) -> None:
    async def leave_it_failed(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            await leave_failed(stage)
            stage.double.fail_next("POST", DOCUMENTS, 400, REFUSED)

    stage.wire.before = leave_it_failed
    for _ in range(4):
        with pytest.raises(Unavailable):
            await driver.upsert(whale_json(stage, WHALE))
    assert stage.wire.uploads == ["content.json", "content.txt"] * 4
    stage.pass_time(DAY)
    with pytest.raises(Rejected):
        await driver.upsert(whale_json(stage, WHALE))
    assert await nothing_is_left(stage, driver)


async def test_a_strict_office_document_goes_as_text(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, strict_docx(), title="whale.docx", mime_type=DOCX))
    assert stage.wire.uploads == ["content.docx", "content.txt"]
    assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.parametrize(
    ("content", "mime_type"), [(b"PK", "application/epub+zip"), (b"broken", "application/vnd.ms-powerpoint")]
)
async def test_what_neither_r2r_nor_the_gateway_can_read_is_rejected_with_both_reasons(
    stage: Stage, driver: R2RDriver, content: bytes, mime_type: str
) -> None:
    with pytest.raises(BeyondReader, match=r"^R2R .*; .*") as raised:
        await driver.upsert(stage.source(1, content, title="whale", mime_type=mime_type))
    assert raised.value.reader == str(READER_VERSION), "another version may find a text in it"
    assert await nothing_is_left(stage, driver)


@pytest.mark.parametrize("mime_type", ["text/tab-separated-values", "text/css", "text/x-python"])
async def test_plain_text_of_any_type_goes_as_text_where_r2r_would_fail_or_drop_characters(
    stage: Stage, driver: R2RDriver, mime_type: str
) -> None:
    await driver.upsert(stage.source(1, "Der Wal heißt Jörg.".encode("latin-1"), title="whale", mime_type=mime_type))
    assert stage.wire.uploads == ["content.txt"]
    assert await texts(driver, ALICE) == ["Der Wal heißt Jörg."]


async def test_only_text_goes_where_it_is_set_so(stage: Stage) -> None:
    async with stage.driver(upload="text") as driver:
        assert "image/png" not in (driver.capabilities.mime_types or ())
        await driver.upsert(markdown(stage))
        assert stage.wire.uploads == ["content.txt"]
        assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.parametrize(("title", "mime_type"), [("whale.XLS", "text/plain"), ("whale", "text/csv")])
async def test_excluded_types_are_rejected_and_never_sent(stage: Stage, title: str, mime_type: str) -> None:
    async with stage.driver(exclude_exts=".xls, csv") as driver:
        await driver.upsert(stage.source(1, WHALE))
        with pytest.raises(Rejected, match="R2R_EXCLUDE_EXTS"):
            await driver.upsert(stage.source(1, PAPER, modified=2, title=title, mime_type=mime_type))
        assert stage.wire.uploads == ["content.txt"]
        assert await nothing_is_left(stage, driver)


async def test_an_unchanged_version_is_not_even_read(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    again = replace(stage.source(1), content=NoContent("it is never asked for"))
    assert await driver.upsert(again) is Outcome.UNCHANGED


# ---------------------------------------------------------------------- images


async def leave_failed(stage: Stage) -> None:
    """R2R keeps a document that it could not read."""
    now = stage.double.clock.now()
    (id_, *_) = sorted(stage.names.documents(source_id(1)))
    metadata = {"source_id": source_id(1), "provider": FILES, "modified": 1}
    metadata |= {"sha256": "", "cc_title": "whale.png", "cc_type": "image/png"}
    owner = stage.double.superuser.id
    stage.double.store.write(Document(id_, owner, [], "png", metadata, "content.png", 4, "failed", now, now))


async def test_a_picture_that_the_model_fails_at_is_tried_for_a_day(stage: Stage, driver: R2RDriver) -> None:
    stage.double.fail_next("POST", DOCUMENTS, 500, UNREADABLE, times=5)
    for number in range(1, 5):
        with pytest.raises(Unavailable):
            await driver.upsert(png(stage))
        await leave_failed(stage)
        assert len(stage.wire.uploads) == number
    stage.pass_time(DAY)
    with pytest.raises(Rejected):
        await driver.upsert(png(stage))
    assert stage.wire.uploads == ["content.png"] * 5
    assert await nothing_is_left(stage, driver)


async def test_a_picture_that_r2r_keeps_nothing_of_is_tried_for_a_day(stage: Stage, driver: R2RDriver) -> None:
    stage.double.fail_next("POST", DOCUMENTS, 500, UNREADABLE, times=5)
    for _ in range(4):
        with pytest.raises(Unavailable):
            await driver.upsert(png(stage))
        stage.pass_time(61)
    stage.pass_time(DAY)
    with pytest.raises(Rejected):
        await driver.upsert(png(stage))
    assert await nothing_is_left(stage, driver)


async def test_nothing_is_rejected_while_the_models_are_away(stage: Stage, driver: R2RDriver) -> None:
    stage.double.fail_next("POST", DOCUMENTS, 500, UNREADABLE, times=9)
    stage.double.provider_down = True
    for _ in range(9):
        with pytest.raises(Unavailable):
            await driver.upsert(png(stage))
        stage.pass_time(DAY)


async def test_the_tries_of_one_version_are_not_held_against_another(stage: Stage, driver: R2RDriver) -> None:
    stage.double.fail_next("POST", DOCUMENTS, 500, UNREADABLE, times=6)
    for _ in range(4):
        with pytest.raises(Unavailable):
            await driver.upsert(png(stage))
        stage.pass_time(61)
    stage.pass_time(DAY)
    with pytest.raises(Rejected):
        await driver.upsert(png(stage))
    with pytest.raises(Unavailable):
        await driver.upsert(png(stage, modified=2))


async def test_in_other_modes_than_fast_every_failure_may_be_the_models(stage: Stage) -> None:
    async with stage.driver(ingestion_mode="custom") as driver:
        for _ in range(4):
            with pytest.raises(Unavailable):
                await driver.upsert(stage.source(1, b"broken", title="whale.pdf", mime_type="application/pdf"))
        stage.pass_time(DAY)
        with pytest.raises(Rejected):
            await driver.upsert(stage.source(1, b"broken", title="whale.pdf", mime_type="application/pdf"))
        assert await nothing_is_left(stage, driver)


async def test_the_model_is_not_asked_in_the_fast_mode(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(markdown(stage))
    assert stage.double.chat_calls == []


# ---------------------------------------------------------------------- texts that R2R trips over


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (WHALE.replace("deep", "\0deep").encode(), WHALE),
        ("Der Wal heißt Jörg und grüßt.".encode("latin-1"), "Der Wal heißt Jörg und grüßt."),
        (WHALE.encode("utf-16"), WHALE),
    ],
    ids=["NUL", "Latin-1", "UTF-16"],
)
async def test_a_text_that_r2r_would_lose_goes_as_clean_text(
    stage: Stage, driver: R2RDriver, content: bytes, text: str
) -> None:
    await driver.upsert(stage.source(1, content))
    assert stage.wire.uploads == ["content.txt"]
    assert await texts(driver, ALICE) == [text]


@pytest.mark.parametrize("text", ["", " \n\t", "\0"])
async def test_a_text_without_text_is_rejected_and_leaves_nothing(stage: Stage, driver: R2RDriver, text: str) -> None:
    with pytest.raises(Rejected):
        await driver.upsert(stage.source(1, text))
    assert await nothing_is_left(stage, driver)


async def test_a_nul_in_a_title_is_left_out(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, title="wh\0ale.txt"))
    (hit,) = await driver.search(Query(user_id=ALICE, text="whale", limit=5))
    assert hit.title == "whale.txt"
    assert await driver.upsert(stage.source(1, title="wh\0ale.txt", modified=2)) is Outcome.UPDATED
    assert len(stage.wire.uploads) == 1


async def test_half_a_character_in_a_title_is_replaced(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, title="whale \ud83d.txt"))
    (hit,) = await driver.search(Query(user_id=ALICE, text="whale", limit=5))
    assert hit.title == "whale ?.txt"


def thousand_chunks() -> str:
    return " ".join(f"whale{number:04}".ljust(1024, "x") for number in range(1000))


async def test_a_document_of_a_thousand_chunks_can_be_deleted(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, thousand_chunks()))
    assert len(stage.double.store.chunks) == 1000
    await driver.delete({source_id(1)})
    assert stage.double.store.chunks == {}
    assert await nothing_is_left(stage, driver)


async def test_a_document_of_a_thousand_chunks_can_be_replaced(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, thousand_chunks()))
    await driver.upsert(stage.source(1, PAPER, modified=2))
    assert await texts(driver, ALICE) == [PAPER]
    assert len(stage.stored()) == 1


@pytest.mark.parametrize("upload", ["original", "text"])
async def test_a_success_without_chunks_is_not_answered_as_indexed(stage: Stage, upload: str) -> None:
    async def lose_chunks(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            stage.double.store.chunks.clear()

    stage.wire.after = lose_chunks
    async with stage.driver(upload=upload) as driver:
        with pytest.raises(Unavailable, match="embedding model"):
            await driver.upsert(markdown(stage))
        assert stage.stored() == []


async def test_a_document_among_many_chunks_is_not_taken_for_lost(stage: Stage, driver: R2RDriver) -> None:
    stage.double.fail_next("POST", "/v3/retrieval/search", 200, {"results": {"chunk_search_results": []}})
    assert await driver.upsert(markdown(stage)) is Outcome.CREATED
    assert stage.wire.calls[-2:] == ["POST retrieval/search", "GET documents/chunks"]


@pytest.mark.parametrize(("limit", "kept"), [(10, 5), (11, 5), (12, 6)])
async def test_a_text_that_is_too_long_is_cut_between_characters(
    stage: Stage, caplog: pytest.LogCaptureFixture, limit: int, kept: int
) -> None:
    async with stage.driver(upload="text", max_text_bytes=limit) as driver:
        with caplog.at_level(logging.WARNING):
            await driver.upsert(stage.source(1, "ä" * 100))
        assert await texts(driver, ALICE) == ["ä" * kept]
    (record,) = [record for record in caplog.records if record.name == "backends.r2r.uploads"]
    assert "R2R_MAX_TEXT_BYTES" in record.getMessage()
    assert source_id(1) in record.getMessage()


async def test_a_text_that_is_just_short_enough_is_not_cut(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async with stage.driver(upload="text", max_text_bytes=20) as driver:
        await driver.upsert(stage.source(1, "ä" * 10))
        assert await texts(driver, ALICE) == ["ä" * 10]
    assert "R2R_MAX_TEXT_BYTES" not in caplog.text
