"""What the headers of one part of an upload say."""

import re
from collections.abc import Mapping

from ...contract import ProviderId, Source, SourceId, UserId
from ...core.contents import NoContent
from ...core.descriptions import MAX_MODIFIED, clean_mime_type, clean_title
from ...nextcloud.ids import is_source_id

REQUIRED = frozenset({"userids", "title", "type", "modified", "provider", "content-disposition"})
KNOWN = REQUIRED | {"content-length"}

_DISPOSITION = re.compile(rb'form-data;\s*name="sources";\s*filename="(.*)"', re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{1,16}")
_TIME = re.compile(rb"-?[0-9]{1,16}")  # a file may be older than 1970
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Unusable(Exception):
    """The part is not plainly one source; `reason` is one of a few fixed phrases and holds nothing that was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_source_id(headers: Mapping[str, bytes]) -> SourceId:
    """Raises `Unusable`."""
    if "content-disposition" not in headers:
        raise Unusable("missing header: content-disposition")
    disposition = _DISPOSITION.fullmatch(headers["content-disposition"])
    if disposition is None:
        raise Unusable("not a source")
    source_id = disposition[1].decode("ascii", errors="replace")
    if not is_source_id(source_id):
        raise Unusable("invalid source id")
    return SourceId(source_id)


def read_source(headers: Mapping[str, bytes], source_id: SourceId) -> Source:
    """The source, still without content. Raises `Unusable`."""
    if missing := REQUIRED - headers.keys():
        raise Unusable(f"missing header: {min(missing)}")
    provider = source_id.partition(": ")[0]
    if headers["provider"] != provider.encode("ascii"):
        raise Unusable("source id of another provider")
    return Source(
        id=source_id,
        provider=ProviderId(provider),
        title=_read_title(headers["title"]),
        mime_type=_read_mime_type(headers["type"]),
        modified=_read_modified(headers["modified"]),
        user_ids=_read_user_ids(headers["userids"]),
        content=NoContent("no content"),
    )


def read_length(headers: Mapping[str, bytes]) -> int | None:
    """How many bytes are to come, if that was announced. Raises `Unusable`."""
    value = headers.get("content-length")
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None:
        raise Unusable("invalid content-length")
    return int(value)


def _read_title(value: bytes) -> str:
    return clean_title(value.decode("utf-8", errors="replace"))


def _read_mime_type(value: bytes) -> str:
    mime_type = clean_mime_type(value.decode("ascii", errors="replace"))
    if mime_type is None:
        raise Unusable("invalid type")
    return mime_type


def _read_modified(value: bytes) -> int:
    if _TIME.fullmatch(value) is None or abs(int(value)) > MAX_MODIFIED:
        raise Unusable("invalid modified")
    return int(value)


def _read_user_ids(value: bytes) -> frozenset[UserId]:
    """Never repairs an id: that could make it the id of somebody else."""
    try:
        joined = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable("invalid user ids") from None
    if _CONTROL.search(joined):
        raise Unusable("invalid user ids")
    return frozenset(UserId(user_id) for user_id in joined.split(",") if user_id.strip())
