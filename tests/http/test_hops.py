"""docs/architecture.md says through which hands a source and a question go; here they are counted."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Hit, Outcome, Query, Source
from context_chat_backend.nextcloud.push_client import part
from tests.conftest import REPO
from tests.gateway import make_settings, running_gateway

PAGE = REPO / "docs" / "architecture.md"


class Watched(ReferenceDriver):
    """Notes who called, from the outermost to itself: each object of ours that is on the stack, once."""

    def __init__(self) -> None:
        super().__init__()
        self.chains: dict[str, list[str]] = {}

    async def upsert(self, source: Source) -> Outcome:
        self.chains["source"] = chain()
        return await super().upsert(source)

    async def search(self, query: Query) -> Sequence[Hit]:
        self.chains["question"] = chain()
        return await super().search(query)


def chain() -> list[str]:
    names = (owner(frame.frame) for frame in reversed(inspect.stack(0)))
    return [*dict.fromkeys(name for name in names if name is not None), "driver"]


def owner(frame: FrameType) -> str | None:
    """Whose code a frame runs; None for middleware and libraries."""
    module = str(frame.f_globals["__name__"])
    if not module.startswith("context_chat_backend.") or module.endswith((".middleware", ".appapi")):
        return None
    return "route" if module.endswith(".routes") else owner_of_method(frame)


def owner_of_method(frame: FrameType) -> str | None:
    this = frame.f_locals.get("self")
    return None if this is None else type(this).__name__


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    driver = Watched()
    settings = make_settings(tmp_path_factory.mktemp("hops"), rag_backend="reference")
    with running_gateway(settings, driver, {"CC_GENERATOR": "extractive"}) as gateway:
        gateway.load(part("files__default: 1"))
        gateway.post("/query", query="whale", userId="alice", useContext=True)
        yield driver.chains


def documented(heading: str, page: Path = PAGE) -> list[str]:
    """The names in the numbered line below a heading."""
    lines = page.read_text("utf-8").split(heading, 1)[1].splitlines()
    (line,) = [line for line in lines if line.startswith("`route`")][:1]
    return [name.strip(" `") for name in line.split("→")]


@pytest.mark.parametrize(("heading", "what"), [("## One source", "source"), ("## One question", "question")])
def test_the_page_names_the_hands_in_their_order(chains: dict[str, list[str]], heading: str, what: str) -> None:
    # a source is handed on to a task of its batch, in which the route is not on the stack
    assert documented(heading) == [*([] if what == "question" else ["route"]), *chains[what]]
