"""Scanned pages are read by the Tesseract of the machine."""

import logging
import shutil
from pathlib import Path

import pypdfium2
import pytest

from context_chat_backend.contract import Rejected
from context_chat_backend.toolkit.indexing.extract import ocr
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings

from .documents import PDF, pdf, written

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        shutil.which("tesseract") is None, reason="Tesseract is not installed: apt install tesseract-ocr"
    ),
]


def scan(*pages: str) -> bytes:
    """Pages that are pictures of a text of 48 points."""
    objects, contents = [], []
    for number, words in enumerate(pages):
        drawn = pypdfium2.PdfDocument(pdf(f"BT /F 48 Tf 10 100 Td ({words}) Tj ET"))[0]
        bitmap = drawn.render(scale=2, grayscale=True)
        rows = bytes(bitmap.buffer)
        width, height, stride = bitmap.width, bitmap.height, bitmap.stride
        pixels = b"".join(rows[at : at + width] for at in range(0, stride * height, stride))
        objects.append(
            f"<</Type/XObject/Subtype/Image/Width {width}/Height {height}/BitsPerComponent 8/ColorSpace/DeviceGray"
            f"/Length {len(pixels)}>>stream\n{pixels.decode('latin-1')}\nendstream"
        )
        contents.append(f"q 300 0 0 200 0 0 cm /I{number} Do Q")
    images = " ".join(f"/I{number} {number + 3} 0 R" for number in range(len(pages)))
    return pdf(*contents, page=f"/Resources<</XObject<<{images}>>>>", objects=objects)


async def read(data: bytes, folder: Path, **settings: object) -> str:
    async with Extractor(ExtractSettings.model_validate(settings)) as extractor:
        return await extractor.text(written(folder, data), PDF)


async def test_a_scanned_page_is_read(tmp_path: Path) -> None:
    assert await read(scan("Invoice", "Paid"), tmp_path) == "Invoice\n\nPaid"


@pytest.mark.parametrize("settings", [{"ocr": False}, {"ocr_languages": "xyz"}])
async def test_it_can_be_switched_off(settings: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="a scan without text"):
        await read(scan("Invoice"), tmp_path, **settings)


async def test_a_scan_of_nothing_is_called_a_scan(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="a scan without text"):
        await read(scan(""), tmp_path)


async def test_a_long_scan_is_read_as_far_as_there_is_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = await read(scan(*["Invoice"] * 40), tmp_path, ocr_seconds=4)
    assert 1 <= found.count("Invoice") < 40
    assert "Only some scanned pages" in caplog.text


async def test_little_cpu_time_for_the_worker_is_enough(tmp_path: Path) -> None:
    assert await read(scan("Invoice"), tmp_path, cpu_seconds=5) == "Invoice"


def test_languages_that_are_not_there_are_left_out() -> None:
    found = ocr.installed("xyz+eng", 1)
    assert found is not None
    assert found["languages"] == "eng"
    assert ocr.installed("xyz", 1) is None


def test_a_machine_without_tesseract_reads_no_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert ocr.installed("eng", 1) is None
