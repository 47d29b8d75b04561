"""The recorded requests of the real Nextcloud client, `tests/golden/wire`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden" / "wire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    name: str
    meaning: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    """As sent, but without Transfer-Encoding: they fit to `body`."""
    body: bytes
    """Without the framing of the transfer."""
    expected: dict[str, Any]
    """`answer`, `effect`, and for /loadSources `decoded`: what the client meant to send."""
    raw: bytes
    """The whole request as it goes over a socket."""

    def __str__(self) -> str:
        return self.name


def load_captures(prefix: str = "") -> list[Capture]:
    """The captures whose names begin with the prefix, sorted by name; never none."""
    captures = [_load(path) for path in sorted(FOLDER.glob(f"{prefix}*.http"))]
    if not captures:
        raise LookupError(f"no capture begins with {prefix!r}")
    return captures


def load_capture(name: str) -> Capture:
    return _load(FOLDER / f"{name}.http")


def _load(path: Path) -> Capture:
    raw = path.read_bytes()
    described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    head, _, body = raw.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    plain = [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]
    return Capture(
        name=path.stem,
        meaning=described["meaning"],
        method=method,
        target=target,
        headers=plain,
        body=body if plain == headers else _dechunk(body),
        expected=described["expected"],
        raw=raw,
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
