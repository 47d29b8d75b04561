"""Which ids Context Chat knows, and which it survives in an answer."""

import re

SOURCE_ID = re.compile(r"[a-zA-Z0-9_-]+__[a-zA-Z0-9_-]+: [a-zA-Z0-9:-]+")
PROVIDER_ID = re.compile(r"[a-zA-Z0-9_-]+__[a-zA-Z0-9_-]+")
_NUMERIC_ID = re.compile(r".*: [0-9]+", re.DOTALL)

NEXTCLOUD_32 = 32
"""Nextcloud 30 and 31 run context_chat <= 4.6, whose enrichment of an answer throws on an item id with other
characters than digits, and so loses the whole answer."""


def is_source_id(text: str) -> bool:
    """Whether clients of any version could have sent this as a source id."""
    return SOURCE_ID.fullmatch(text) is not None


def is_provider_id(text: str) -> bool:
    """Whether this has the form `appId__providerId`."""
    return PROVIDER_ID.fullmatch(text) is not None


def survives_enrichment(source_id: str, app_api_version: str) -> bool:
    """Whether the client behind this `AA-VERSION` header can show this source."""
    old = 0 < nextcloud_major(app_api_version) < NEXTCLOUD_32
    return (_NUMERIC_ID if old else SOURCE_ID).fullmatch(source_id) is not None


def nextcloud_major(app_api_version: str) -> int:
    """Nextcloud's major version from AppAPI's: 4.x is 30, 5.x is 31, from 32 on they are equal; 0 if unreadable."""
    major = app_api_version.partition(".")[0]
    number = int(major) if major.isascii() and major.isdigit() else 0
    return {4: 30, 5: 31}.get(number, number)
