"""A content that is none still keeps what every content promises."""

import hashlib

import pytest

from context_chat_backend.contract import Content, Rejected
from context_chat_backend.core.contents import NoContent

pytestmark = pytest.mark.anyio


async def test_no_content_is_a_content_of_no_bytes() -> None:
    content: Content = NoContent("too large")
    assert content.size == 0
    assert await content.sha256() == hashlib.sha256(b"").hexdigest()
    content.release()
    content.release()


async def test_reading_no_content_says_why_there_will_never_be_any() -> None:
    with pytest.raises(Rejected, match="too large"):
        await NoContent("too large").path()
