"""PDF, by PDFium."""

import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from .formats import ENCRYPTED, Unreadable

# PDFium's marks for a hyphen that only breaks a line; the word continues on the next one.
_SOFT_HYPHEN = re.compile("[\ufffe\x02](\r?\n)?")


def pages(data: bytes) -> Iterator[str]:
    """The text layer, page by page. A document that only restricts printing or copying is readable."""
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unreadable(ENCRYPTED) from error
        raise
    for number in range(len(document)):
        page = document[number]
        text_page = page.get_textpage()
        yield _SOFT_HYPHEN.sub("", text_page.get_text_range())
        text_page.close()
        page.close()
