"""Mail is read with what is attached to it, however it was packed."""

import base64
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from context_chat_backend.toolkit.indexing.extract import mapi
from context_chat_backend.toolkit.indexing.section import Section

from .documents import EML, MSG, docx, ole, opendocument, paragraph, pdf, sections, shown, text


def letter(subject: str = "Tea", body: str = "the body") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Jane <jane@example.org>", "bob@example.org"
    message["Date"] = "Fri, 27 Nov 2026 10:05:00 +0100"
    message.set_content(body)
    return message


def test_the_subject_is_the_heading_of_headers_and_body() -> None:
    message = letter("Größe", "Grüße")
    message["Cc"] = "eve@example.org"
    assert sections(message.as_bytes(), EML) == [
        Section(
            "From: Jane <jane@example.org>\nTo: bob@example.org\nCc: eve@example.org\nDate: 2026-11-27 10:05\n\nGrüße",
            ("Größe",),
        )
    ]


def mail(*lines: bytes, body: bytes = b"x") -> bytes:
    return b"\r\n".join((*lines, b"", body))


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        (b"=?utf-8?q?Gr=C3=B6=C3=9Fe?= =?utf-8?q?_XL?=", "Größe XL"),
        (b"=?iso-2022-jp?b?GyRCJUYlOSVIGyhC?=", "テスト"),
        (b"=?no-such-charset?q?Gr=F6=DFe?= end", "Größe end"),
        ("Größe".encode(), "Größe"),
        ("Größe der Räume".encode("cp1252"), "Größe der Räume"),
        (b"=?utf-8?b?broken!?= end", "=?utf-8?b?broken!?= end"),
        (b"a\r\n b", "a b"),
    ],
)
def test_subjects_are_decoded(subject: bytes, read: str) -> None:
    assert text(mail(b"Subject: " + subject), EML).startswith(read)


@pytest.mark.parametrize(
    ("charset", "encoded"),
    [(b"iso-8859-1", b"5 \x80 Gr\xf6\xdfe"), (b"utf-8", "5 € Größe".encode()), (b"unknown-8bit", "5 € Größe".encode())],
)
def test_bodies_are_decoded(charset: bytes, encoded: bytes) -> None:
    message = mail(b"Content-Type: text/plain; charset=" + charset, b"Content-Transfer-Encoding: 8bit", body=encoded)
    assert text(message, EML) == "5 € Größe"


@pytest.mark.parametrize("kind", [b"text/plain", b"text/html", b"text/html; charset=utf-8"])
def test_a_body_that_is_no_text_spoils_no_mail(kind: bytes) -> None:
    sender = b"From: " + bytes(range(8))
    message = mail(b"Subject: Tea", sender, b"Content-Type: " + kind, body=bytes(range(32)) * 9)
    assert text(message, EML) == "Tea"


def test_html_only_mail_is_read_without_its_tags() -> None:
    message = letter()
    message.set_content("<h1>Head</h1><p>in <b>bold</b><style>no</style>", subtype="html")
    *_, body = sections(message.as_bytes(), EML)
    assert body == Section("in bold", ("Tea", "Head"))


@pytest.mark.parametrize(
    ("plain", "page", "read"),
    [
        ("all of the words", "<p>all of the <i>words</i>", "all of the words"),
        ("see the HTML", "<p>" + "many words " * 20, "many words"),
        ("", "<p>only here", "only here"),
        ("see the HTML", "<table>" + "<tr><td>many<td>words" * 9 + "</table>", "many | words"),
        ("see the HTML", "<h1>many words of a heading</h1><h2>and another</h2>", "many words"),
        ("☃", "<p>☃", "☃"),
    ],
)
def test_one_of_two_forms_of_a_body_is_read(plain: str, page: str, read: str) -> None:
    message = letter(body=plain)
    message.add_alternative(page, subtype="html")
    found = text(message.as_bytes(), EML)
    assert read in found
    assert found.count("words") <= 20


CALENDAR = "BEGIN:VCALENDAR\nSUMMARY:Tea at five in the small room\nEND:VCALENDAR"


@pytest.mark.parametrize("page", ["", "<p>Tea with Jane"])
@pytest.mark.parametrize("kind", ["calendar", "x-amp-html"])
def test_what_is_made_for_programs_replaces_no_text(kind: str, page: str) -> None:
    message = letter(body="Tea with Jane")
    if page:
        message.add_alternative(page, subtype="html")
    message.add_alternative(CALENDAR, subtype=kind)
    found = text(message.as_bytes(), EML)
    assert found.count("Tea with Jane") == 1
    assert "SUMMARY" not in found


def test_a_calendar_is_read_where_there_is_nothing_else() -> None:
    message = letter(body="")
    message.add_alternative(CALENDAR, subtype="calendar")
    assert "Tea at five" in text(message.as_bytes(), EML)


def test_one_of_two_forms_with_attachments_is_read() -> None:
    plain = b"Content-Type: multipart/mixed; boundary=p\n\n--p\n\nthe words\n--p--"
    page = b"Content-Type: multipart/related; boundary=h\n\n--h\nContent-Type: text/html\n\n<p>the words\n--h--"
    both = mail(b"Content-Type: multipart/alternative; boundary=b", body=b"--b\n%b\n--b\n%b\n--b--" % (plain, page))
    assert text(both, EML) == "the words"


def test_attachments_are_read_by_their_kind() -> None:
    message = letter()
    for name, content in [
        ("Brief.docx", docx(paragraph("in Word"))),
        ("scan.bin", pdf(shown("in a PDF"))),
        ("Bild.png", b"\x89PNG"),
        ("broken.docx", b"PK broken"),
    ]:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    message.add_attachment("in Größe", subtype="plain", filename="Größe.txt")
    message.add_attachment("Name,Age\nAnn,7\nBob,8", subtype="plain", filename="list.csv")
    assert sections(message.as_bytes(), EML)[1:] == [
        Section("in Word", ("Tea", "Brief.docx")),
        Section("in a PDF", ("Tea", "scan.bin")),
        Section("Bild.png\n\nbroken.docx", ("Tea",)),
        Section("in Größe", ("Tea", "Größe.txt")),
        Section("Ann | 7\nBob | 8", ("Tea", "list.csv"), "Name | Age"),
    ]


def test_mail_within_mail_is_read_to_some_depth() -> None:
    message = letter("Mail 0", "body 0")
    for depth in range(1, 30):
        outer = letter(f"Mail {depth}", f"body {depth}")
        outer.add_attachment(message)
        message = outer
    found = sections(message.as_bytes(), EML)
    assert found[0].headings == ("Mail 29",)
    assert found[1].headings == ("Mail 29", "Mail 28")
    assert "body 26" in found[3].text
    assert len(found) < 8


def test_documents_within_documents_are_read_to_some_depth() -> None:
    message = letter("Mail 0", "body 0")
    for depth in range(1, 12):
        outer = letter(f"Mail {depth}", f"body {depth}")
        outer.add_attachment(message.as_bytes(), maintype="application", subtype="x", filename="m.eml")
        message = outer
    found = text(message.as_bytes(), EML)
    assert "body 9" in found
    assert "body 3" not in found


def test_what_became_of_a_mail_is_read() -> None:
    data = mail(
        b"Content-Type: multipart/report; boundary=b",
        body=b"--b\n\nNot delivered.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
        b"Final-Recipient: rfc822; ann@example.org\nDiagnostic-Code: smtp; 550 full\n--b\n"
        b"Content-Type: message/disposition-notification\n\nDisposition: manual; displayed\n--b--",
    )
    found = text(data, EML)
    for words in ("Not delivered.", "mx.example", "ann@example.org\nDiagnostic-Code: smtp; 550 full", "displayed"):
        assert found.count(words) == 1


def test_attached_mail_that_is_encoded_is_read() -> None:
    inner = base64.encodebytes(letter("Inner", "inner body").as_bytes())
    head = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64"
    parts = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + head + b"\n\n" + inner + b"\n--b--"
    (section,) = sections(parts, EML)
    assert section.headings == ("Inner",)
    assert section.text.endswith("inner body")


def test_a_page_with_its_pictures_is_read() -> None:
    message = letter(body="")
    message.set_content("<p>see <img src=cid:a>", subtype="html")
    message.add_related(b"\x89PNG", maintype="image", subtype="png", cid="<a>")
    assert text(message.as_bytes(), EML).endswith("see")


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: a\nContent-Type: multipart/mixed; boundary=\n\nlost?",
        b"Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nlost?",
        b"Subject: a\nContent-Type: text/plain; charset=\nContent-Transfer-Encoding: base64\n\nbG9zdD8",
        b"Subject: a\nDate: yesterday\nContent-Disposition: x; filename*=broken'\nContent-Type: text/plain\n\nlost?",
    ],
)
def test_broken_mail_is_read_as_far_as_it_goes(data: bytes) -> None:
    assert "lost?" in text(data, EML)


# Outlook


def properties(values: Mapping[int, str | bytes], prefix: str = "", header: int = 32) -> dict[str, bytes]:
    streams = {
        f"{prefix}__substg1.0_{id_:04X}{'001F' if isinstance(value, str) else '0102'}": (
            value.encode("utf-16-le") if isinstance(value, str) else value
        )
        for id_, value in values.items()
    }
    return {**streams, f"{prefix}__properties_version1.0": bytes(header)}


def test_a_mail_of_outlook_is_read_with_its_attachments() -> None:
    since = datetime(2026, 11, 27, 10, 5, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)
    sent = struct.pack("<HHIQ", 0x40, mapi.SENT, 6, since // timedelta(microseconds=1) * 10)
    streams = properties({
        mapi.SUBJECT: "Größe", mapi.BODY: "the body", mapi.SENDER_NAME: "Jane", mapi.SENDER_SMTP: "jane@example.org",
        mapi.DISPLAY_TO: "Bob; Eve",
    })  # fmt: skip
    streams["__properties_version1.0"] += sent
    attached = "__attach_version1.0_#0000000{}/"
    streams |= properties(
        {mapi.LONG_NAME: "a.odt", mapi.ATTACH_DATA: opendocument("text", "<text:p>in a text</text:p>")},
        attached.format(0), 8,
    )  # fmt: skip
    streams |= properties({mapi.DISPLAY_NAME: "Other"}, attached.format(1), 8)
    streams |= properties(
        {mapi.SUBJECT: "Inner", mapi.BODY: "inner body"}, attached.format(1) + mapi.EMBEDDED_MESSAGE + "/", 24
    )
    assert sections(ole(streams), MSG) == [
        Section("From: Jane <jane@example.org>\nTo: Bob; Eve\nDate: 2026-11-27 10:05\n\nthe body", ("Größe",)),
        Section("in a text", ("Größe", "a.odt")),
        Section("inner body", ("Größe", "Other", "Inner")),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {mapi.HTML: b"<meta charset=utf-8><p>Gr\xc3\xb6\xc3\x9fe"},
        {mapi.RTF: b"\0" * 4 + struct.pack("<I", 27) + b"MELA" + bytes(4) + rb"{\rtf1\ansi Gr\'f6\'dfe}  "},
    ],
)
def test_a_mail_of_outlook_without_a_plain_text_is_read(body: Mapping[int, bytes]) -> None:
    assert text(ole(properties(body)), MSG).strip() == "Größe"


def test_compressed_rich_text_is_unpacked() -> None:
    """The examples of MS-OXRTFCP, 4.1."""
    simple = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert mapi.unpacked_rtf(simple) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    crossing = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert mapi.unpacked_rtf(crossing) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


def tnef(*attributes: tuple[int, int, bytes]) -> bytes:
    packed = [struct.pack("<BII", level, kind, len(data)) + data + b"\0\0" for level, kind, data in attributes]
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join(packed)


def mapi_properties(*values: tuple[int, int, bytes]) -> bytes:
    parts = [
        struct.pack("<HHII", kind, id_, 1, len(data)) + data + bytes(-len(data) % 4)
        if kind in {0x1E, 0x1F, 0x102}
        else struct.pack("<HH", kind, id_) + data
        for kind, id_, data in values
    ]
    return struct.pack("<I", len(values)) + b"".join(parts)


@pytest.mark.parametrize("subtype", ["ms-tnef", "octet-stream"])
def test_what_outlook_packs_is_unpacked(subtype: str) -> None:
    named = struct.pack("<HH16sII", 0x1F, 0x8001, b"", 1, 6) + "ab".encode("utf-16-le") + bytes(4)
    body = mapi_properties((3, 0x3FDE, struct.pack("<I", 65001)), (0x1E, mapi.BODY, "Größe\0".encode()))
    body = struct.pack("<I", 3) + named + struct.pack("<II", 1, 2) + b"x\0\0\0" + body[4:]
    packed = tnef(
        (1, 0x00069003, body),
        (2, 0x00069002, bytes(14)),
        (2, 0x00018010, b"old.txt\0"),
        (2, 0x0006800F, b"in a file"),
        (2, 0x00069005, mapi_properties((0x1F, mapi.LONG_NAME, "new name.txt\0".encode("utf-16-le")))),
    )
    message = letter(body="")
    message.add_attachment(packed, maintype="application", subtype=subtype, filename="winmail.dat")
    found = {section.headings[1:]: section.text for section in sections(message.as_bytes(), EML)}
    assert found["winmail.dat",] == "Größe"
    assert found["winmail.dat", "new name.txt"] == "in a file"
