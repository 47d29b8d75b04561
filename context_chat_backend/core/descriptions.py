"""What is said of a source, brought into the form that drivers get, whichever way it came."""

import re

MAX_TITLE_CHARS = 4096
MAX_MODIFIED = 2**53
"""Unix seconds; also the lowest, negative: a file may be older than 1970."""

_MIME_TYPE = re.compile(r"[!-~]+")
_LINE_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean_title(text: str) -> str:
    """In one line, and not longer than anybody reads."""
    return _LINE_BREAKING.sub(" ", text)[:MAX_TITLE_CHARS]


def clean_mime_type(text: str) -> str | None:
    """In lower case and without parameters; None if it is none."""
    mime_type = text.partition(";")[0].strip().lower()
    return mime_type if _MIME_TYPE.fullmatch(mime_type) else None
