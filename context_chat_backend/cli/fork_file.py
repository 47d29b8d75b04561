"""The cache that the earlier R2R fork of this gateway kept: one JSON file."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..contract import Misconfigured, SourceId

FORK_FILE = "r2r_upsert_cache.json"
"""Its name in the persistent storage."""

YEAR_5000 = 1e11
"""Unix seconds. Anything larger is not a time in seconds."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_fork_file(file: Path) -> Mapping[str, object]:
    """The cache of the earlier fork, in memory as that kept it. Raises `Misconfigured` where it is no such file."""
    try:
        lines = json.loads(file.read_bytes())
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{file} is not JSON: {error}") from error
    if not isinstance(lines, dict):
        raise Misconfigured(f"{file} is not the cache of the fork: an object with SHA-256 digests as keys was expected")
    return lines


@dataclass(frozen=True, slots=True)
class ForkLine:
    sha256: str
    source_id: SourceId
    seen_at: float


def fork_line(sha256: str, value: object) -> ForkLine | None:
    match value:
        case {"ts": int() | float() as seen_at, "filename": str(name)} if 0 <= seen_at < YEAR_5000:
            provider, colon, item = name.partition(":")
            if _SHA256.fullmatch(sha256) and provider and item.strip():
                # the fork lost the blank: "files__default:555"
                return ForkLine(sha256, SourceId(f"{provider}{colon} {item.strip()}"), float(seen_at))
    return None
