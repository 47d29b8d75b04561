"""Speaks to the gateway as the Nextcloud app context_chat 5.3 does."""

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

APP_ID = "context_chat_backend"
DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class Document:
    """A sample document with its readers."""

    source_id: str
    title: str
    mime_type: str
    file: str
    users: tuple[str, ...]

    @property
    def provider(self) -> str:
        return self.source_id.partition(": ")[0]

    def body(self) -> bytes:
        return (DOCUMENTS / self.file).read_bytes()


def make_client(base_url: str, secret: str) -> httpx.Client:
    """An HTTP client with the headers of AppAPI. Proxies of the environment are left out: the gateway is right here."""
    return httpx.Client(
        base_url=base_url,
        timeout=120,
        trust_env=False,
        headers={
            "AA-VERSION": "33.0.0",
            "EX-APP-ID": APP_ID,
            "EX-APP-VERSION": "5.3.1",
            "AUTHORIZATION-APP-API": base64.b64encode(f":{secret}".encode()).decode(),
        },
    )


def load(client: httpx.Client, documents: Sequence[Document], modified: int = 1_700_000_000) -> dict[str, Any]:
    """`PUT /loadSources`: one part per document, its readers and title in part headers."""
    boundary = uuid.uuid4().hex
    body = b"".join(_part(boundary, document, modified) for document in documents) + f"--{boundary}--\r\n".encode()
    response = client.put(
        "/loadSources", content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    response.raise_for_status()
    return dict(response.json())


def _part(boundary: str, document: Document, modified: int) -> bytes:
    content = document.body()
    head = (
        f"--{boundary}\r\n"
        f"userIds: {','.join(document.users)}\r\n"
        f"title: {document.title}\r\n"
        f"type: {document.mime_type}\r\n"
        f"modified: {modified}\r\n"
        f"provider: {document.provider}\r\n"
        f'Content-Disposition: form-data; name="sources"; filename="{document.source_id}"\r\n'
        f"Content-Length: {len(content)}\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + b"\r\n"
