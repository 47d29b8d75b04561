"""Who gives up on a document says so in a way that tells, later, whether another one may read it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from context_chat_backend.contract import BeyondReader, Rejected
from context_chat_backend.toolkit.indexing.extract import READER_VERSION
from context_chat_backend.toolkit.indexing.extract import reader as reader_module
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings, installed_reader
from context_chat_backend.toolkit.indexing.extract.reader import Reader

from .documents import DOCX, PDF, docx, ole, written
from .test_extract_ocr import scan

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, object] = {"ocr": False, "memory_mb": 256, "cpu_seconds": 2}
VERSION = str(READER_VERSION)
READER = Reader(memory_mb=256, cpu_seconds=2, ocr_languages=frozenset())
HUNGRY = docx("<w:p/>" * 5_000_000)


async def name_of_who_gave_up(data: bytes, mime_type: str, folder: Path) -> str:
    async with Extractor(ExtractSettings.model_validate(SETTINGS)) as extractor:
        with pytest.raises(BeyondReader) as raised:
            await extractor.text(written(folder, data), mime_type)
    return raised.value.reader


Better = Callable[[Reader], Reader]


@pytest.mark.parametrize(
    ("data", "mime_type", "better"),
    [
        (HUNGRY, DOCX, lambda reader: replace(reader, memory_mb=1024)),
        (scan("Invoice"), PDF, lambda reader: replace(reader, ocr_languages=frozenset({"deu"}))),
    ],
    ids=["memory", "Tesseract"],
)
async def test_more_of_what_it_was_short_of_may_help(
    data: bytes, mime_type: str, better: Better, tmp_path: Path
) -> None:
    name = await name_of_who_gave_up(data, mime_type, tmp_path)
    assert not READER.may_read_what(name)
    assert better(READER).may_read_what(name)
    others = {
        replace(READER, cpu_seconds=99),
        replace(READER, memory_mb=9999),
        replace(READER, ocr_languages=frozenset({"eng"})),
    }
    assert sum(other.may_read_what(name) for other in others) == 1


async def test_what_nobody_knows_and_what_is_damaged_is_for_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = await name_of_who_gave_up(b"PK\3\4 and nothing", DOCX, tmp_path)
    unknown = await name_of_who_gave_up(b"GIF", "image/gif", tmp_path)
    rich = Reader(memory_mb=9999, cpu_seconds=9999, ocr_languages=frozenset({"eng", "deu"}))
    assert (damaged, unknown) == (VERSION, "")
    assert (rich.may_read_what(damaged), rich.may_read_what(unknown)) == (False, True)
    monkeypatch.setattr(reader_module, "READER_VERSION", READER_VERSION + 1)
    assert READER.may_read_what(damaged)


async def test_what_is_encrypted_is_for_nobody(tmp_path: Path) -> None:
    async with Extractor(ExtractSettings.model_validate(SETTINGS)) as extractor:
        with pytest.raises(Rejected, match="encrypted") as raised:
            await extractor.text(written(tmp_path, ole({"EncryptedPackage": b"x", "EncryptionInfo": b"y"})), DOCX)
    assert not isinstance(raised.value, BeyondReader)


def test_more_time_may_help() -> None:
    name = READER.name("s of CPU time")
    assert [replace(READER, cpu_seconds=seconds).may_read_what(name) for seconds in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("name", ["mine", "mine 1, MiB of memory: 1", "²"])
def test_of_another_kind_of_reader_nobody_knows(name: str) -> None:
    assert not READER.may_read_what(name)


def test_languages_count_one_by_one() -> None:
    def reader(*languages: str) -> Reader:
        return replace(READER, ocr_languages=frozenset(languages))

    name = reader("eng", "deu").name("Tesseract")
    assert not reader("deu", "eng").may_read_what(name)
    assert not reader("eng").may_read_what(name)
    assert reader("fra").may_read_what(name)


def test_what_is_installed_is_what_an_extractor_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ExtractSettings(memory_mb=300, cpu_seconds=3)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert installed_reader(settings) == Reader(memory_mb=300, cpu_seconds=3, ocr_languages=frozenset())
