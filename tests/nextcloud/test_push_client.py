"""The client of the demo, the benchmark and the tests writes what the real one does."""

import pytest

from context_chat_backend.conformance.golden import SECRET, Recording, recording
from context_chat_backend.nextcloud.push_client import BOUNDARY, UPLOAD_TYPE, appapi_headers, multipart, part


def boundary_of(recorded: Recording) -> bytes:
    return dict(recorded.headers)[b"Content-Type"].partition(b"boundary=")[2]


def contents_of(recorded: Recording) -> list[bytes]:
    parts = recorded.body.split(b"--" + boundary_of(recorded))[1:-1]
    return [each.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for each in parts]


@pytest.mark.parametrize("name", ["load_several", "load_utf8_users", "load_utf8_title"])
def test_an_upload_is_that_of_the_real_client_byte_for_byte(name: str) -> None:
    recorded = recording(name)
    parts = [
        part(
            source["reference"],
            content,
            users=source["userIds"],
            title=source["title"],
            mime_type=source["type"],
            modified=source["modified"],
        )
        for source, content in zip(recorded.expected["decoded"]["sources"], contents_of(recorded), strict=True)
    ]
    assert multipart(parts) == recorded.body.replace(boundary_of(recorded), BOUNDARY.encode())


def test_the_headers_are_those_of_the_real_client() -> None:
    recorded = recording("load_several")
    content_type = UPLOAD_TYPE.replace(BOUNDARY, boundary_of(recorded).decode())
    sent = {**appapi_headers(SECRET), "Content-Type": content_type}
    assert sent.items() <= {key.decode(): value.decode() for key, value in recorded.headers}.items()
