"""Writes the two binary sample documents of the demo: a PDF and a DOCX, with nothing but the standard library."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[1] / "context_chat_backend" / "cli" / "demo" / "documents"

COFFEE = [
    "Coffee machine: care instructions",
    "Empty the drip tray every evening and rinse it with warm water.",
    "Descale the machine once a month: pour one bottle of descaler into the tank,",
    "choose Maintenance, then Descale, and wait for forty minutes.",
    "If the red lamp blinks three times, the water filter has to be replaced.",
]
CAKE = [
    "Grandmother's apple cake",
    "Stir 200 grams of butter with 180 grams of sugar and four eggs until the mass is creamy.",
    "Fold in 300 grams of flour and a bag of baking powder, then put it into a round tin.",
    "Cover it with five sliced apples and cinnamon and bake it at 175 degrees for fifty minutes.",
]


def pdf(lines: list[str]) -> bytes:
    """A one-page PDF with these lines."""
    text = " T* ".join(f"({line}) Tj" for line in lines)
    content = f"BT /F1 12 Tf 16 TL 50 780 Td {text} ET".encode("ascii")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (size, table, end)


def write_docx(path: Path, paragraphs: list[str]) -> None:
    """A DOCX with these paragraphs."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    part_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    body = "".join(f"<w:p><w:r><w:t>{escape(text)}</w:t></w:r></w:p>" for text in paragraphs)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{part_type}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}">'
        f'<Relationship Id="rId1" Type="{office}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            info = zipfile.ZipInfo(name)  # a fixed date, so that the file is the same each time
            archive.writestr(info, f'<?xml version="1.0" encoding="UTF-8"?>{text}', zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    (FOLDER / "coffee-machine.pdf").write_bytes(pdf(COFFEE))
    write_docx(FOLDER / "apple-cake.docx", CAKE)
