"""Speaks to a gateway as the Nextcloud app context_chat 5.3 does.

For the demo, the benchmark and the tests. What it writes is compared with requests of the real client.
"""

import base64
import json
import re
import time
from collections.abc import Iterable
from typing import Any, Self

import httpx

APP_ID = "context_chat_backend"
CLIENT_VERSION = "5.3.1"
BOUNDARY = "61b99331ada951576caf194eb6ee7d0456dcf6c1"
UPLOAD_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
"""The content type of a body that `multipart` made."""


def appapi_headers(secret: str, user: str = "") -> dict[str, str]:
    """What every request has to carry; the user, if any, is the one who is logged in."""
    return {
        "AA-VERSION": "33.0.0",
        "EX-APP-ID": APP_ID,
        "EX-APP-VERSION": CLIENT_VERSION,
        "AUTHORIZATION-APP-API": base64.b64encode(f"{user}:{secret}".encode()).decode(),
        "AA-REQUEST-ID": "CLI",
    }


def part(
    source_id: str,
    content: bytes = b"The whale swims in the deep blue sea.",
    *,
    users: Iterable[str] = ("alice",),
    title: str = "files/whale.md",
    mime_type: str = "text/markdown",
    modified: int = 1_700_000_000,
) -> bytes:
    """One part of an upload, without its boundary line. Nothing is checked, as in the real client."""
    head = (
        f"userIds: {','.join(users)}\r\ntitle: {title}\r\ntype: {mime_type}\r\nmodified: {modified}\r\n"
        f"provider: {source_id.partition(': ')[0]}\r\n"
        f'Content-Disposition: form-data; name="sources"; filename="{source_id}"\r\n'
        f"Content-Length: {len(content)}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + b"\r\n"


def multipart(parts: Iterable[bytes]) -> bytes:
    """The body of `PUT /loadSources`."""
    line = f"--{BOUNDARY}"
    return b"".join(f"{line}\r\n".encode() + each for each in parts) + f"{line}--\r\n".encode()


_WAITING = re.compile(r"^ccb_chunks_waiting (?!0(\.0)?$)", re.MULTILINE)


def chunks_wait(metrics: str) -> bool:
    """Whether these metrics of a gateway tell of chunks that are found by their words only."""
    return _WAITING.search(metrics) is not None


class PushClient:
    """A context manager around one connection pool. Ignores proxies from the environment: the gateway is close by."""

    def __init__(self, base_url: str, secret: str, *, timeout: float = 120) -> None:
        self.base_url = base_url
        self.http = httpx.Client(base_url=base_url, headers=appapi_headers(secret), timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.http.close()

    def load(self, *parts: bytes) -> httpx.Response:
        """`PUT /loadSources`; the parts are made by `part`."""
        return self.http.put("/loadSources", content=multipart(parts), headers={"Content-Type": UPLOAD_TYPE})

    def wait_for_meaning(self, seconds: float = 3600) -> None:
        """Return when all that is stored is found by its meaning, too, not by its words only, as `/metrics` says.
        Raises `TimeoutError` after so many seconds."""
        end = time.monotonic() + seconds
        while chunks_wait(self.http.get("/metrics").raise_for_status().text):
            if time.monotonic() > end:
                raise TimeoutError("the vectors of chunks are still being made")
            time.sleep(0.1)

    def post(self, path: str, **body: Any) -> httpx.Response:
        """A question or an action, in ASCII as PHP writes it, which can hold half a surrogate pair."""
        return self.http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
