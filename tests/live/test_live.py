"""The conformance kit against hosted services, for whoever has an account: see docs/backends."""

import io
import os
from pathlib import Path

import pytest

from context_chat_backend.conformance.runner import conform
from context_chat_backend.registry import driver_factory
from tests.config import config

pytestmark = [pytest.mark.live, pytest.mark.anyio]


@pytest.mark.parametrize(("backend", "variable"), [("pinecone", "PINECONE_API_KEY"), ("supabase", "SUPABASE_URL")])
async def test_a_hosted_backend_keeps_the_contract(backend: str, variable: str, tmp_path: Path) -> None:
    if not os.environ.get(variable):
        pytest.skip(f"set {variable} and what else RAG_BACKEND={backend} needs")
    out = io.StringIO()
    passed = await conform(driver_factory(backend)(config(tmp_path, os.environ)), out=out)
    assert passed, out.getvalue()
