"""Selection of a driver by name."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from context_chat_backend import registry
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Misconfigured
from tests.config import config

PLUGIN = EntryPoint("mystore", "context_chat_backend.conformance.reference:create", registry.ENTRY_POINTS)
BROKEN = EntryPoint("broken", "no_such_module:create", registry.ENTRY_POINTS)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([PLUGIN, BROKEN]))


@pytest.mark.parametrize("name", ["reference", "mystore"])
def test_a_name_selects_its_driver(name: str, tmp_path: Path) -> None:
    assert isinstance(registry.driver_factory(name)(config(tmp_path)), ReferenceDriver)


@pytest.mark.parametrize(
    ("typo", "meant"), [("bultin", "builtin"), ("my-store", "mystore"), ("Reference", "reference")]
)
def test_a_typo_gets_a_suggestion(typo: str, meant: str) -> None:
    with pytest.raises(Misconfigured, match=f"Did you mean '{meant}'"):
        registry.driver_factory(typo)


def test_an_unknown_name_gets_the_known_ones() -> None:
    with pytest.raises(Misconfigured, match="Known: broken, builtin, mystore, pinecone, r2r, reference, supabase"):
        registry.driver_factory("qqqqq")


def test_a_driver_that_cannot_be_imported_says_what_is_missing() -> None:
    with pytest.raises(Misconfigured, match=r"RAG_BACKEND=broken cannot be loaded: No module named 'no_such_module'"):
        registry.driver_factory("broken")


def test_a_broken_driver_does_not_disturb_another() -> None:
    registry.driver_factory("mystore")
