import hashlib
import random
import resource
import stat
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from context_chat_backend.contract import Rejected, Source, SourceId
from context_chat_backend.core.contents import NoContent
from context_chat_backend.core.descriptions import MAX_TITLE_CHARS
from context_chat_backend.core.spool import SpooledContent, SpoolFile, open_spool
from context_chat_backend.http.push import multipart
from context_chat_backend.http.push.multipart import (
    MalformedUpload,
    ParsedUpload,
    SkippedPart,
    UploadNotKept,
    UploadReader,
    parse_boundary,
    read_upload,
)

from ..wire import Capture, load_captures

pytestmark = pytest.mark.anyio

BOUNDARY = "08cd8ac828e1b99c10df80aca14ee689bb013932"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
DELIMITER = b"\r\n--" + BOUNDARY.encode()

CAPTURES = load_captures("load_")
SKIPPED_IN_CAPTURES: dict[str, dict[str, str]] = {
    "load_crlf_title": {"mail__mail: 1:3": "repeated header"},
    "load_crlfcrlf_title": {"mail__mail: 1:4": "missing header: content-disposition"},
    "load_slash_in_item": {"deck__deck: 12/34": "invalid source id"},
}

Header = tuple[str, bytes]


@dataclass(frozen=True)
class Decoded:
    """A source as plain values, so that two can be compared."""

    id: str
    provider: str
    title: str
    mime_type: str
    modified: int
    user_ids: frozenset[str]
    data: bytes


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    return folder


def source_headers(**changes: bytes | None) -> list[Header]:
    """The headers of a good part, in the order of the client; None leaves one out."""
    headers: dict[str, bytes | None] = {
        "userIds": b"admin",
        "title": b"files/Notes.md",
        "type": b"text/markdown",
        "modified": b"1700000000",
        "provider": b"files__default",
        "Content-Disposition": b'form-data; name="sources"; filename="files__default: 555"',
        "Content-Type": b"application/octet-stream",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    return [(name, value) for name, value in headers.items() if value is not None]


def encode(*parts: tuple[Sequence[Header], bytes]) -> bytes:
    body = bytearray()
    for headers, data in parts:
        body += b"--" + BOUNDARY.encode() + b"\r\n"
        for name, value in headers:
            body += name.encode() + b": " + value + b"\r\n"
        body += b"\r\n" + data + b"\r\n"
    return bytes(body + b"--" + BOUNDARY.encode() + b"--\r\n")


GOOD_NEIGHBOUR = (
    source_headers(Content_Disposition=b'form-data; name="sources"; filename="files__default: 556"'),
    b"# Notes",
)


async def stream_of(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def read(body: bytes, spool: Path, *, cuts: Iterable[int] = (), max_part_bytes: int | None = None) -> ParsedUpload:
    """Parse in this thread, with the body cut at these positions."""
    reader = UploadReader(BOUNDARY.encode(), spool, max_part_bytes=max_part_bytes)
    for block in split(body, cuts):
        reader.feed(block)
    return reader.finish()


def split(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for cut in [*sorted(cuts), len(body)]:
        yield body[start:cut]
        start = cut


def files(spool: Path) -> list[Path]:
    return list(spool.iterdir())


def spooled(source: Source) -> SpooledContent:
    assert isinstance(source.content, SpooledContent)
    return source.content


def decoded(source: Source) -> Decoded:
    if isinstance(source.content, NoContent):
        return Decoded(
            source.id, source.provider, source.title, source.mime_type, source.modified, source.user_ids, b""
        )
    data = spooled(source)._path.read_bytes()
    assert source.content.size == len(data)
    assert spooled(source)._sha256 == hashlib.sha256(data).hexdigest()
    return Decoded(
        source.id, source.provider, source.title, source.mime_type, source.modified, frozenset(source.user_ids), data
    )


def everything(upload: ParsedUpload) -> tuple[list[Decoded], list[str], list[SkippedPart], bool]:
    return [decoded(source) for source in upload.sources], list(upload.retry), upload.skipped, upload.complete


def capture_boundary(capture: Capture) -> bytes:
    return parse_boundary(httpx.Headers(capture.headers)["content-type"])


def read_capture(capture: Capture, spool: Path, cuts: Iterable[int] = ()) -> ParsedUpload:
    reader = UploadReader(capture_boundary(capture), spool)
    for block in split(capture.body, cuts):
        reader.feed(block)
    return reader.finish()


# --- the real client


@pytest.mark.parametrize("capture", CAPTURES, ids=str)
async def test_a_request_of_the_real_client_is_read_as_it_was_meant(capture: Capture, spool: Path) -> None:
    content_type = httpx.Headers(capture.headers)["content-type"]
    upload = await read_upload(stream_of([capture.body]), content_type, spool)

    skipped = SKIPPED_IN_CAPTURES.get(capture.name, {})
    meant = [source for source in capture.expected["decoded"]["sources"] if source["reference"] not in skipped]
    assert [described(source) for source in upload.sources] == [folded(source) for source in meant]
    assert [part.reason for part in upload.skipped] == list(skipped.values())
    assert (upload.retry, upload.complete) == ([], True)


def described(source: Source) -> dict[str, Any]:
    return {
        "reference": source.id,
        "title": source.title,
        "userIds": set(source.user_ids),
        "modified": source.modified,
        "type": source.mime_type,
        "provider": source.provider,
    }


def folded(meant: dict[str, Any]) -> dict[str, Any]:
    """What can arrive of what was meant: users are joined by commas without escaping, a title is one line."""
    user_ids = set(",".join(meant["userIds"]).split(",")) - {""}
    if "…" in user_ids:  # the record of load_many_users is abbreviated
        user_ids = {f"user{number:04}" for number in range(1200)}
    return {**meant, "title": meant["title"].replace("\n", " "), "userIds": user_ids}


@pytest.mark.parametrize("capture", CAPTURES, ids=str)
def test_the_content_of_a_capture_is_stored_unchanged(capture: Capture, spool: Path) -> None:
    for source in read_capture(capture, spool).sources:
        assert b"\r\n\r\n" + decoded(source).data + b"\r\n--" + capture_boundary(capture) in capture.body


@pytest.mark.parametrize("capture", CAPTURES, ids=str)
def test_it_does_not_matter_where_the_network_cuts_a_request(capture: Capture, spool: Path) -> None:
    whole = everything(read_capture(capture, spool))
    assert everything(read_capture(capture, spool, range(len(capture.body)))) == whole
    rng = random.Random(capture.name)
    for _ in range(10):
        cuts = rng.sample(range(len(capture.body)), rng.randint(1, 30))
        assert everything(read_capture(capture, spool, cuts)) == whole


async def test_the_encoding_of_another_http_library_is_understood(spool: Path) -> None:
    headers = {"userIds": "admin", "title": "Re: lunch", "modified": "1700000000", "provider": "mail__mail"}
    request = httpx.Request(
        "PUT",
        "http://gateway/loadSources",
        files=[("sources", ("mail__mail: 1:2", b"12 o'clock?", "text/plain", {**headers, "type": "text/plain"}))],
    )
    upload = await read_upload(stream_of([request.read()]), request.headers["content-type"], spool)
    assert [(source.id, decoded(source).data) for source in upload.sources] == [("mail__mail: 1:2", b"12 o'clock?")]


# --- values of one part


def test_ten_thousand_readers_fit_into_one_part(spool: Path) -> None:
    readers = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(10_000)]
    upload = read(encode((source_headers(userIds=",".join(readers).encode()), b"text")), spool)
    assert [source.user_ids for source in upload.sources] == [frozenset(readers)]


def test_user_ids_are_kept_byte_for_byte(spool: Path) -> None:
    upload = read(
        encode((source_headers(userIds="  \u00a0ann,jörg,a b ,JÖRG,,jo\u0308rg,jörg, b".encode()), b"text")), spool
    )
    assert [source.user_ids for source in upload.sources] == [
        {"  \u00a0ann", "jörg", "a b ", "JÖRG", "jo\u0308rg", " b"}
    ]


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        (b"", ""),
        (b"a\nb\t\x00c\x7fd", "a b c d"),
        ("a\u0085b\u2028c".encode(), "a b c"),
        (b"a\rb", "a b"),
        (b"a\r", "a "),
        (b"caf\xe9", "caf\ufffd"),
        (b'say "hi"; \\ \xe6\x96\x87', 'say "hi"; \\ 文'),
        (b"x" * 100_000, "x" * MAX_TITLE_CHARS),
    ],
    ids=[
        "empty",
        "control characters",
        "line separators",
        "bare CR",
        "CR at the end",
        "not UTF-8",
        "punctuation",
        "very long",
    ],
)
def test_a_title_is_one_line_of_text_whatever_was_sent(sent: bytes, read_as: str, spool: Path) -> None:
    upload = read(encode((source_headers(title=sent), b"text")), spool)
    assert [source.title for source in upload.sources] == [read_as]


def test_a_type_is_lower_case_without_parameters(spool: Path) -> None:
    upload = read(encode((source_headers(type=b"Text/Plain ; charset=utf-8"), b"text")), spool)
    assert [source.mime_type for source in upload.sources] == ["text/plain"]


def disposition(source_id: bytes) -> bytes:
    return b'form-data; name="sources"; filename="' + source_id + b'"'


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"userIds": b"admin,caf\xe9"}, "invalid user ids"),
        ({"userIds": b"admin\nroot"}, "invalid user ids"),
        ({"userIds": "admin\u0085".encode()}, "invalid user ids"),
        ({"userIds": None}, "missing header: userids"),
        ({"title": None}, "missing header: title"),
        ({"type": None}, "missing header: type"),
        ({"modified": None}, "missing header: modified"),
        ({"provider": None}, "missing header: provider"),
        ({"Content_Disposition": None}, "missing header: content-disposition"),
        ({"type": b" ; charset=utf-8"}, "invalid type"),
        ({"type": b"text/\xe9"}, "invalid type"),
        ({"modified": b""}, "invalid modified"),
        ({"modified": b"--1"}, "invalid modified"),
        ({"modified": b"1_000"}, "invalid modified"),
        ({"modified": "١٢".encode()}, "invalid modified"),
        ({"modified": b"1700000000\n"}, "invalid modified"),
        ({"modified": str(2**53 + 1).encode()}, "invalid modified"),
        ({"modified": b"9" * 10_000}, "invalid modified"),
        ({"Content_Length": b"four"}, "invalid content-length"),
        ({"provider": b"mail__mail"}, "source id of another provider"),
        ({"provider": b"files__default\n"}, "source id of another provider"),
        ({"Content_Disposition": b"form-data"}, "not a source"),
        ({"Content_Disposition": b'form-data; name="other"; filename="files__default: 555"'}, "not a source"),
        ({"Content_Disposition": disposition(b"")}, "invalid source id"),
        ({"Content_Disposition": disposition(b"files__default:555")}, "invalid source id"),
        ({"Content_Disposition": disposition(b"files__default: 555\n")}, "invalid source id"),
        ({"Content_Disposition": disposition(b"files__default: 5/5")}, "invalid source id"),
        ({"Content_Disposition": disposition(b"files__default: \xd9\xa1")}, "invalid source id"),
        ({"Content_Disposition": disposition(b'files__default: 555"; x="')}, "invalid source id"),
        ({"Content_Disposition": disposition(b"files__default: 555\\")}, "invalid source id"),
    ],
    ids=str,
)
def test_a_bad_part_is_skipped_and_its_neighbours_are_read(
    change: dict[str, bytes | None], reason: str, spool: Path
) -> None:
    upload = read(encode(GOOD_NEIGHBOUR, (source_headers(**change), b"text"), GOOD_NEIGHBOUR), spool)
    assert [source.id for source in upload.sources] == ["files__default: 556"] * 2
    assert [part.reason for part in upload.skipped] == [reason]
    assert upload.complete
    assert len(files(spool)) == 2


@pytest.mark.parametrize(("name", "value"), source_headers()[:6])
def test_a_part_that_repeats_a_header_is_skipped(name: str, value: bytes, spool: Path) -> None:
    for repeated in (name, name.upper()):
        upload = read(encode(([(repeated, value), *source_headers()], b"text"), GOOD_NEIGHBOUR), spool)
        assert [source.id for source in upload.sources] == ["files__default: 556"]
        assert upload.skipped == [SkippedPart("repeated header", None)]


def test_other_headers_are_ignored(spool: Path) -> None:
    others = [(f"x-{number}", b"y") for number in range(multipart.MAX_HEADERS - len(source_headers()))]
    upload = read(encode((others + source_headers(), b"text")), spool)
    assert [source.id for source in upload.sources] == ["files__default: 555"]


HOSTILE_TITLES = {
    "folded line": b"a\r\n b",
    "words before a colon": b"a\r\nnot a header: b",
    "no colon": b"a\r\nb",
    "empty name": b"a\r\n: b",
    "CR before the end of the headers": b"a\r\n\rb",
    "too many headers": b"a" + b"\r\nx: y" * multipart.MAX_HEADERS,
    "too long": b"a" * (multipart.MAX_HEADER_BYTES + 1),
    "endless header name": b"a\r\n" + b"b" * (multipart.MAX_HEADER_BYTES + 1),
}


@pytest.mark.parametrize("title", HOSTILE_TITLES.values(), ids=HOSTILE_TITLES.keys())
def test_a_header_that_stops_the_parser_costs_its_own_part_only(title: bytes, spool: Path) -> None:
    hostile = (source_headers(title=title), b"text")
    body = encode(GOOD_NEIGHBOUR, hostile, GOOD_NEIGHBOUR, hostile, GOOD_NEIGHBOUR)
    for cuts in ((), range(0, len(body), 997)):
        upload = read(body, spool, cuts=cuts)
        assert [decoded(source).data for source in upload.sources] == [b"# Notes"] * 3
        assert upload.skipped == [SkippedPart("malformed header", None)] * 2
        assert upload.complete


def test_the_next_part_is_found_directly_behind_a_header_that_stops_the_parser(spool: Path) -> None:
    broken = b"--" + BOUNDARY.encode() + b"\r\nuserIds: admin\r\n:"
    upload = read(broken + b"\r\n" + encode(GOOD_NEIGHBOUR), spool)
    assert [source.id for source in upload.sources] == ["files__default: 556"]


@pytest.mark.parametrize("padding", [0, 1 << 16, 3 << 20])
def test_headers_forged_by_a_title_do_not_become_a_source(spool: Path, padding: int) -> None:
    victim = b"files__default: 1"
    title = b"x\r\n" + b"\r\n".join(
        name.encode() + b": " + value
        for name, value in source_headers(userIds=None, title=None, Content_Disposition=disposition(victim))
    )
    mail = {"provider": b"mail__mail", "Content_Disposition": disposition(b"mail__mail: 1:4")}
    forged = (source_headers(title=title + b"\r\n\r\nPay to this account." + b"x" * padding, **mail), b"text")
    upload = read(encode(forged, GOOD_NEIGHBOUR), spool, cuts=range(0, padding + 2000, 65_521))
    assert [source.id for source in upload.sources] == ["files__default: 556"]
    assert [part.reason for part in upload.skipped] == ["headers in the content"]


def test_a_length_forged_by_a_title_does_not_send_the_source_into_an_endless_retry(spool: Path) -> None:
    upload = read(encode((source_headers(title=b"x\r\nContent-Length: 5"), b"text")), spool)
    assert ([source.id for source in upload.sources], upload.retry) == (["files__default: 555"], [])


def test_what_is_reported_about_a_skipped_part_holds_nothing_that_was_sent(spool: Path) -> None:
    headers = source_headers(
        userIds=b"secret-user\n", title=b"secret-title", Content_Disposition=disposition(b"secret")
    )
    upload = read(encode((headers, b"secret-text"), (source_headers(userIds=b"secret\x00"), b"secret-text")), spool)
    assert upload.skipped == [
        SkippedPart("invalid source id", None),
        SkippedPart("invalid user ids", SourceId("files__default: 555")),
    ]


# --- content


def test_an_id_that_was_sent_twice_is_returned_twice_in_order(spool: Path) -> None:
    upload = read(encode((source_headers(), b"first"), (source_headers(), b"second")), spool)
    assert [decoded(source).data for source in upload.sources] == [b"first", b"second"]


def test_a_part_above_the_limit_is_skipped_and_not_stored(spool: Path) -> None:
    exact = (source_headers(), b"x" * 100)
    large = (source_headers(Content_Length=b"101"), b"x" * 101)
    upload = read(encode(exact, large, exact), spool, max_part_bytes=100, cuts=range(0, 2000, 7))
    assert [source.content.size for source in upload.sources] == [100, 0, 100]
    assert isinstance(upload.sources[1].content, NoContent)
    assert upload.skipped == []
    assert len(files(spool)) == 2


@pytest.mark.parametrize("change", [{"Content_Length": b"0"}, {"Content_Length": None}])
async def test_an_emptied_file_is_a_source_that_cannot_be_read(change: dict[str, bytes | None], spool: Path) -> None:
    (source,) = read(encode((source_headers(**change), b"")), spool).sources
    with pytest.raises(Rejected, match="no content"):
        await source.content.path()


@pytest.mark.parametrize("user_ids", [b"", b" , ,"])
def test_a_source_may_have_lost_all_its_readers(user_ids: bytes, spool: Path) -> None:
    (source,) = read(encode((source_headers(userIds=user_ids), b"text")), spool).sources
    assert source.user_ids == frozenset()


def test_a_file_may_be_older_than_1970(spool: Path) -> None:
    (source,) = read(encode((source_headers(modified=b"-86400"), b"text")), spool).sources
    assert source.modified == -86400


@pytest.mark.parametrize("announced", [b"3", b"5", b"0"])
def test_a_part_of_another_length_than_announced_is_to_be_sent_again(announced: bytes, spool: Path) -> None:
    upload = read(encode((source_headers(Content_Length=announced), b"text"), GOOD_NEIGHBOUR), spool)
    assert ([source.id for source in upload.sources], upload.retry) == (
        ["files__default: 556"],
        ["files__default: 555"],
    )
    assert len(files(spool)) == 1


def test_a_part_whose_content_is_missing_altogether_is_to_be_sent_again(spool: Path) -> None:
    upload = read(encode((source_headers(Content_Length=b"4"), b"")), spool)
    assert (upload.retry, upload.skipped) == (["files__default: 555"], [])


@pytest.mark.parametrize("announce_length", [True, False])
def test_a_body_that_ends_too_early_gives_whole_sources_only(announce_length: bool, spool: Path) -> None:
    length = b"7" if announce_length else None
    first, second = (
        (source_headers(Content_Length=length, Content_Disposition=disposition(source_id)), data)
        for source_id, data in ((b"files__default: 1", b"# first"), (b"files__default: 2", b"#second"))
    )
    body = encode(first, second)
    end_of_first = body.index(DELIMITER) + len(DELIMITER) + 2
    end_of_second = body.rindex(b"--\r\n") + 2
    for end in range(len(body)):
        upload = read(body[:end], spool)
        assert [decoded(source).data for source in upload.sources] == (
            [] if end < end_of_first else [b"# first"] if end < end_of_second else [b"# first", b"#second"]
        )
        assert upload.retry == []
        assert upload.complete == (end >= end_of_second)


def look_alike(rng: random.Random) -> bytes:
    near = [DELIMITER[:-1], DELIMITER[2:], *(DELIMITER + end for end in (b"x", b"-x", b"\rx", b"\n"))]
    pieces = [b"\r", b"\n", b"\r\n", b"-", b"--", b"\x00\xff", *near]
    content = b"#" + b"".join(rng.choices(pieces, k=rng.randint(1, 12))) + b"#"
    is_boundary = any(DELIMITER + end in content for end in (b"\r\n", b"--", b" ", b"\t"))
    return look_alike(rng) if is_boundary else content


def test_look_alikes_of_the_boundary_are_content_wherever_they_are_cut(spool: Path) -> None:
    rng = random.Random(7)
    for _ in range(300):
        contents = [look_alike(rng) for _ in range(3)]
        body = encode(*((source_headers(), content) for content in contents))
        cuts = range(len(body)) if rng.random() < 0.2 else rng.sample(range(len(body)), rng.randint(0, 40))
        upload = read(body, spool, cuts=cuts)
        assert [decoded(source).data for source in upload.sources] == contents
        assert upload.complete


# --- hostile bytes


def test_more_sources_than_any_client_sends_are_to_be_sent_again(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_SOURCES", 2)
    sent = [f"files__default: {number}" for number in range(5)]
    parts = [(source_headers(Content_Disposition=disposition(id_.encode())), b"text") for id_ in sent]
    upload = read(encode(*parts), spool)
    assert [source.id for source in upload.sources] == sent[:2]
    assert (upload.retry, upload.complete) == (sent[2:], True)
    assert len(files(spool)) == 2


def test_a_file_that_cannot_be_removed_harms_nobody(spool: Path) -> None:
    (source,) = read(encode(GOOD_NEIGHBOUR), spool).sources
    path = spooled(source)._path
    path.unlink()
    path.mkdir()  # cannot be unlinked, not even by root
    spooled(source).release()
    open_spool(spool)


def mutate(body: bytes, rng: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        position = rng.randrange(len(changed))
        kind = rng.choice(("replace", "insert", "remove", "repeat"))
        if kind == "replace":
            changed[position] = rng.randrange(256)
        elif kind == "insert":
            changed[position:position] = rng.choice(
                [b"\r", b"\n", b"\r\n", b":", b'"', b"--", b"\x00", b"\r\n\r\n", DELIMITER]
            )
        elif kind == "remove":
            del changed[position : position + rng.randint(1, 40)]
        else:
            start = rng.randrange(len(changed))
            changed[position:position] = changed[start : start + rng.randint(1, 200)]
    return bytes(changed)


def test_mutated_requests_raise_nothing_else_and_invent_nothing(spool: Path) -> None:
    rng = random.Random(20)
    bodies = [
        capture.body.replace(capture_boundary(capture), BOUNDARY.encode())
        for capture in CAPTURES
        if len(capture.body) < 4000
    ]
    outcomes = {"read": 0, "skipped": 0, "malformed": 0}
    for _ in range(1500):
        body = mutate(rng.choice(bodies), rng)
        cuts = rng.sample(range(len(body)), rng.randint(0, 5))
        try:
            upload = read(body, spool, cuts=cuts)
        except MalformedUpload:
            outcomes["malformed"] += 1
            continue
        for source in upload.sources:
            assert b'filename="' + source.id.encode() + b'"\r\n' in body
            assert b"\r\n\r\n" + decoded(source).data + DELIMITER in body
            assert all(user_id.encode() in body for user_id in source.user_ids)
        outcomes["read"] += len(upload.sources)
        outcomes["skipped"] += len(upload.skipped)
    assert min(outcomes.values()) > 50, "the mutations reach every branch"


def test_random_bytes_give_no_source(spool: Path) -> None:
    rng = random.Random(21)
    for _ in range(500):
        body = rng.randbytes(rng.randint(0, 300))
        for prefix in (b"", b"--" + BOUNDARY.encode() + b"\r\n", encode((source_headers(), b""))[:-50]):
            try:
                upload = read(prefix + body, spool)
            except MalformedUpload:
                continue
            assert (upload.sources, upload.complete) == ([], False)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary=\xe9",
    ],
)
async def test_a_request_that_is_no_multipart_upload_is_malformed(content_type: str, spool: Path) -> None:
    with pytest.raises(MalformedUpload):
        await read_upload(stream_of([b"{}"]), content_type, spool)


async def test_a_body_that_does_not_begin_with_its_boundary_is_malformed(spool: Path) -> None:
    with pytest.raises(MalformedUpload):
        await read_upload(stream_of([b'{"sources": []}']), CONTENT_TYPE, spool)


@pytest.mark.parametrize(
    "content_type",
    [f'Multipart/Form-Data; boundary="{BOUNDARY}"', f"multipart/form-data;charset=utf-8;boundary={BOUNDARY}"],
)
def test_other_spellings_of_the_content_type_are_understood(content_type: str) -> None:
    assert parse_boundary(content_type) == BOUNDARY.encode()


async def test_a_request_without_a_part_is_complete_and_empty(spool: Path) -> None:
    assert await read_upload(stream_of([encode()]), CONTENT_TYPE, spool) == ParsedUpload(complete=True)


async def test_a_request_without_a_body_is_not_complete(spool: Path) -> None:
    assert await read_upload(stream_of([]), CONTENT_TYPE, spool) == ParsedUpload(complete=False)


# --- files and memory


async def test_a_content_is_a_private_file_that_can_be_read_again(spool: Path) -> None:
    upload = await read_upload(stream_of([encode(GOOD_NEIGHBOUR)]), CONTENT_TYPE, spool)
    content = upload.sources[0].content
    path = await content.path()
    assert path.parent == spool
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await content.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (await content.path()).read_bytes() == b"# Notes"


def test_releasing_a_content_removes_its_file_and_may_be_repeated(spool: Path) -> None:
    first, second = read(encode(GOOD_NEIGHBOUR, GOOD_NEIGHBOUR), spool).sources
    spooled(first).release()
    spooled(first).release()
    assert files(spool) == [spooled(second)._path]


async def test_a_content_that_nobody_holds_any_more_removes_its_file(spool: Path) -> None:
    upload = await read_upload(stream_of([encode(GOOD_NEIGHBOUR, GOOD_NEIGHBOUR)]), CONTENT_TYPE, spool)
    kept = upload.sources[0]
    del upload
    assert files(spool) == [spooled(kept)._path]


LARGE_BODY_START = encode(GOOD_NEIGHBOUR, (source_headers(), b"x" * 3 * multipart.BLOCK_BYTES))[:-100]


async def test_a_client_that_goes_away_leaves_no_file(spool: Path) -> None:
    async def broken_stream() -> AsyncIterator[bytes]:
        yield LARGE_BODY_START
        assert len(files(spool)) == 2
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await read_upload(broken_stream(), CONTENT_TYPE, spool)
    assert files(spool) == []


async def test_a_cancelled_request_leaves_no_file(spool: Path) -> None:
    spooling = anyio.Event()

    async def stalled_stream() -> AsyncIterator[bytes]:
        yield LARGE_BODY_START
        spooling.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_upload, stalled_stream(), CONTENT_TYPE, spool)
        await spooling.wait()
        assert len(files(spool)) == 2
        tasks.cancel_scope.cancel()
    assert files(spool) == []


@pytest.mark.parametrize("size", [2000, 3 * multipart.BLOCK_BYTES], ids=["while closing", "while writing"])
async def test_a_full_disk_fails_the_request_and_leaves_no_file(size: int, spool: Path) -> None:
    body = encode(GOOD_NEIGHBOUR, (source_headers(), b"x" * size))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UploadNotKept, match="File too large"):
            await read_upload(stream_of([body]), CONTENT_TYPE, spool)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(spool) == []


async def test_a_spool_that_is_missing_fails_the_request(tmp_path: Path) -> None:
    with pytest.raises(UploadNotKept):
        await read_upload(stream_of([encode(GOOD_NEIGHBOUR)]), CONTENT_TYPE, tmp_path / "missing")


def test_cleaning_removes_left_over_uploads_and_nothing_else(spool: Path) -> None:
    upload = read(encode(GOOD_NEIGHBOUR, GOOD_NEIGHBOUR), spool)
    (spool / "README").touch()
    open_spool(spool)
    assert [path.name for path in spool.iterdir()] == ["README"]
    for source in upload.sources:
        spooled(source).release()


async def test_the_event_loop_never_waits_for_the_disk(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = set()
    write = SpoolFile.write

    def recorded_write(file: SpoolFile, data: bytes) -> None:
        writers.add(threading.current_thread())
        write(file, data)

    monkeypatch.setattr(SpoolFile, "write", recorded_write)
    upload = await read_upload(stream_of([encode(GOOD_NEIGHBOUR)]), CONTENT_TYPE, spool)
    assert len(upload.sources) == 1
    assert writers
    assert threading.current_thread() not in writers


async def test_a_request_of_200_mb_needs_little_memory(spool: Path) -> None:
    part_size = 100_000_000
    chunk = bytes(range(256)) * 256
    headers = source_headers(Content_Length=str(part_size).encode())
    start, _, end = encode((headers, b"DATA")).partition(b"DATA")

    async def body() -> AsyncIterator[bytes]:
        for part_end in (b"\r\n", end):
            yield start
            for _ in range(part_size // len(chunk)):
                yield chunk
            yield chunk[: part_size % len(chunk)]
            yield part_end

    tracemalloc.start()
    try:
        upload = await read_upload(body(), CONTENT_TYPE, spool)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [source.content.size for source in upload.sources] == [part_size] * 2
    assert upload.complete
    assert peak < 10 * multipart.BLOCK_BYTES
