"""The recorded requests of the real Nextcloud client: those that the conformance kit ships, and `tests/golden/wire`."""

from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from context_chat_backend.conformance.golden import SHIPPED, read_recording

FOLDERS: tuple[Traversable, ...] = (SHIPPED, Path(__file__).parent / "golden" / "wire")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    name: str
    headers: list[tuple[bytes, bytes]]
    """As sent, but without Transfer-Encoding: they fit to `body`."""
    body: bytes
    """Without the framing of the transfer."""
    expected: dict[str, Any]
    """`answer`, `effect`, and for /loadSources `decoded`: what the client meant to send."""
    raw: bytes
    """The whole request as it goes over a socket."""

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Without the prefix that HaRP leaves out."""
        return self.raw.split(b" ", 2)[1].decode("ascii").removeprefix("/exapps/context_chat_backend")


def load_captures(prefix: str = "") -> list[Capture]:
    """The captures whose names begin with the prefix, sorted by name; never none."""
    files = {file.name: folder for folder in FOLDERS for file in folder.iterdir()}
    captures = [
        _load(files[name], name) for name in sorted(files) if name.startswith(prefix) and name.endswith(".http")
    ]
    if not captures:
        raise LookupError(f"no capture begins with {prefix!r}")
    return captures


def load_capture(name: str) -> Capture:
    (capture,) = [each for each in load_captures(name) if each.name == name]
    return capture


def _load(folder: Traversable, file: str) -> Capture:
    name = file.removesuffix(".http")
    recorded = read_recording(folder, name)
    plain = [(key, value) for key, value in recorded.headers if key.lower() != b"transfer-encoding"]
    return Capture(
        name=name,
        headers=plain,
        body=recorded.body if len(plain) == len(recorded.headers) else _dechunk(recorded.body),
        expected=recorded.expected,
        raw=(folder / file).read_bytes(),
    )


def _dechunk(body: bytes) -> bytes:
    data = bytearray()
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return bytes(data)
        data += rest[:length]
        body = rest[length:].removeprefix(b"\r\n")
