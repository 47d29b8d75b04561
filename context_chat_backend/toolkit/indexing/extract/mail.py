"""Mail: as it travels, as Outlook files it, and as Outlook packs it into "winmail.dat"."""

import base64
import email
import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

import olefile

from . import mapi
from .contents import embedded
from .decoding import decode_if_text
from .formats import Unreadable
from .markup import html
from .outline import Block, Heading, deeper, words
from .rtf import rtf

_ALTERNATIVE = "multipart/alternative"
_PLAIN, _PAGE = "text/plain", "text/html"
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_LEFT_OUT = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})
_ENOUGH = 0.5
"""Of the words of the HTML: with fewer, a plain text only says that there is HTML."""
_DEEPEST = 4
_HEADER_CHARS = 100_000


@dataclass(slots=True)
class _Letter:
    """What mails of all kinds have."""

    subject: str
    headers: list[tuple[str, str]]
    """Name and value; blank values are left out."""
    body: list[Block]
    attachments: list[tuple[str, list[Block]]] = field(default_factory=list)
    """Name, which may be blank, and what is read in it."""

    def blocks(self) -> Iterator[Block]:
        yield Heading(0, self.subject)
        yield "\n".join(f"{name}: {value}" for name, value in self.headers if value.strip())
        yield from deeper(1, self.body)
        for name, blocks in self.attachments:
            yield Heading(1, name)
            yield from deeper(2, blocks)


def eml(data: bytes, depth: int = 0) -> Iterator[Block]:
    """Headers, body, attached mails and documents."""
    yield from _letter(email.message_from_bytes(data), depth).blocks()


def _letter(message: Message, depth: int) -> _Letter:
    letter = _Letter(
        subject=_header(message, "subject"),
        headers=[(name.title(), _header(message, name)) for name in ("from", "to", "cc")]
        + [("Date", _day(_header(message, "date")))],
        body=[],
    )
    _add(letter, message, depth)
    return letter


def _add(letter: _Letter, part: Message, depth: int) -> None:
    kind = part.get_content_type()
    if kind == _ALTERNATIVE:
        _add_best(letter, _parts(part), depth)
    elif kind in _MESSAGES:
        messages = map(_unwrapped, _parts(part)) if depth < _DEEPEST else ()
        letter.attachments += [(_file_name(part), list(_letter(each, depth + 1).blocks())) for each in messages]
    elif part.get_content_maintype() == "message":
        letter.body += map(_fields, _parts(part))
    elif part.is_multipart():
        for each in _parts(part):
            _add(letter, each, depth)
    elif kind not in _LEFT_OUT:
        _add_leaf(letter, part, depth)


def _fields(report: Message) -> str:
    """Of what became of a mail; what follows them, if anything, as well."""
    lines = [f"{name}: {_decoded(value)}" for name, value in report.raw_items()]
    return "\n".join([*lines, "", decode_if_text(_payload(report))])


def _unwrapped(message: Message) -> Message:
    """Some programs encode attached mails, which the rules forbid: all of it is in what should be the body."""
    try:
        content = base64.b64decode(str(message.get_payload()), validate=False) if not message.keys() else b""
    except ValueError:
        return message
    return email.message_from_bytes(content) if b":" in content[:1000] else message


def _add_leaf(letter: _Letter, part: Message, depth: int) -> None:
    kind, name = part.get_content_type(), _file_name(part)
    is_attached = part.get_content_disposition() == "attachment"
    if kind.startswith(("text/", "multipart/")) and not name and not is_attached:
        letter.body += _body(part)
    elif (blocks := list(embedded(name, kind, _payload(part), depth))) or is_attached:
        letter.attachments.append((name, blocks))


def _parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []


def _add_best(letter: _Letter, parts: list[Message], depth: int) -> None:
    """One of several forms of the same text: plain text, unless there is hardly any; what is made for programs, as
    calendars are, only where there is nothing else."""
    bodies: defaultdict[str, list[Block]] = defaultdict(list)
    for part in parts:
        form = _Letter("", [], [])
        if part.get_content_type() == _PLAIN:
            form.body += _body(part)
        else:
            _add(form, part, depth)
        letter.attachments += form.attachments
        bodies[_form(part)] += form.body
    plain, page = bodies[_PLAIN], bodies[_PAGE]
    best = plain if _number_of_words(plain) > _ENOUGH * _number_of_words(page) else page
    letter.body += best if _number_of_words(best) else bodies[""]


def _form(part: Message) -> str:
    """Plain text or a page, whatever is around it; empty for what is neither."""
    kinds = {each.get_content_type() for each in part.walk()}
    return next((kind for kind in (_PAGE, _PLAIN) if kind in kinds), "")


def _number_of_words(blocks: list[Block]) -> int:
    """Without the signs between the cells of tables."""
    return sum(word != "|" for block in blocks for word in words(block).split())


def _body(part: Message) -> list[Block]:
    data = _payload(part)
    if part.get_content_type() == _PAGE:
        return list(_page(data, part.get_content_charset()))
    return [decode_if_text(data, part.get_content_charset())]


def _page(data: bytes, charset: str | None = None) -> Iterator[Block]:
    """A charset that the mail declares counts more than one in the page."""
    with suppress(Unreadable):
        yield from html(decode_if_text(data, charset).encode() if charset else data)


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _file_name(part: Message) -> str:
    try:
        return _decoded(part.get_filename() or "")
    except (ValueError, LookupError, TypeError):  # of broken parameters
        return ""


def _header(message: Message, name: str) -> str:
    return _decoded(next((value for key, value in message.raw_items() if key.lower() == name), ""))


def _decoded(value: object) -> str:
    """Encoded words, and the bytes that should have been some."""
    text = decode_if_text(str(value).encode("utf-8", "surrogateescape"))
    if len(text) > _HEADER_CHARS:  # the library takes time that grows with the square of it
        return text
    try:
        words = decode_header(text)
    except (ValueError, LookupError, MessageError):
        return text
    return "".join(word if isinstance(word, str) else _word(word, charset) for word, charset in words)


def _word(data: bytes, charset: str | None) -> str:
    # what is not encoded comes as raw Unicode escapes
    return decode_if_text(data, charset) if charset else data.decode("raw-unicode-escape", "replace")


def _day(value: str) -> str:
    try:
        return parsedate_to_datetime(value).strftime("%Y-%m-%d %H:%M")
    except (ValueError, TypeError, IndexError, OverflowError):
        return value


# ---------------------------------------------------------------------- Outlook


def msg(data: bytes, depth: int = 0) -> Iterator[Block]:
    """As `eml`."""
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        yield from _filed(mapi.Storage(ole, ()), depth).blocks()


def _filed(storage: mapi.Storage, depth: int) -> _Letter:
    letter = _from_properties(storage.properties)
    for attachment in storage.below("__attach_version1.0_"):
        message = attachment.below_exactly(mapi.EMBEDDED_MESSAGE)
        name = _attachment_name(attachment.properties)
        if message is not None:
            blocks = list(_filed(message, depth + 1).blocks()) if depth < _DEEPEST else []
        else:
            blocks = list(embedded(name, "", attachment.properties.binary(mapi.ATTACH_DATA), depth))
        letter.attachments.append((name, blocks))
    return letter


def winmail(data: bytes, depth: int = 0) -> Iterator[Block]:
    """As `eml`; the mail that it was attached to has the subject."""
    message = mapi.unpacked(data)
    letter = _from_properties(message.properties)
    for name, content in message.attachments:
        letter.attachments.append((name, list(embedded(name, "", content, depth))))
    yield from letter.blocks()


def _from_properties(properties: mapi.Properties) -> _Letter:
    sender = " ".join(filter(None, (properties.text(mapi.SENDER_NAME), _address(properties))))
    sent = properties.moment(mapi.SENT) or properties.moment(mapi.DELIVERED)
    headers = [
        ("From", sender),
        ("To", properties.text(mapi.DISPLAY_TO)),
        ("Cc", properties.text(mapi.DISPLAY_CC)),
        ("Date", sent.strftime("%Y-%m-%d %H:%M") if isinstance(sent, datetime) else ""),
    ]
    return _Letter(properties.text(mapi.SUBJECT), headers, list(_outlook_body(properties)))


def _address(properties: mapi.Properties) -> str:
    """Those of one's own organisation are names of its directory."""
    address = properties.text(mapi.SENDER_SMTP) or properties.text(mapi.SENDER_ADDRESS)
    return f"<{address}>" if "@" in address else ""


def _outlook_body(properties: mapi.Properties) -> Iterator[Block]:
    if (text := properties.text(mapi.BODY)).strip():
        yield text
    elif page := properties.binary(mapi.HTML):
        yield from _page(page)
    elif page_text := properties.text(mapi.HTML):
        yield from html(page_text.encode())
    elif packed := properties.binary(mapi.RTF):
        yield from rtf(mapi.unpacked_rtf(packed))


def _attachment_name(properties: mapi.Properties) -> str:
    return next(filter(None, map(properties.text, (mapi.LONG_NAME, mapi.SHORT_NAME, mapi.DISPLAY_NAME))), "")
