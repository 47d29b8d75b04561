"""Whether an answer has documents to go by, in an index of three."""

from collections.abc import Iterator

import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, make_settings, running_gateway
from tests.slow.tools import eventually

from .backends import BACKENDS

WHALE, OFFICE, CAKE = (f"files__default: {item}" for item in (1, 2, 3))
NOTHING = "Who won the chess tournament in 1972?"


@pytest.fixture(scope="module", params=["builtin", "qdrant"])
def nextcloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    """With three documents of alice, two of them much alike."""
    with BACKENDS[request.param]() as variables:
        settings = make_settings(tmp_path_factory.mktemp(request.param), rag_backend=request.param)
        with running_gateway(settings, variables=variables) as nextcloud:
            nextcloud.load(
                part(WHALE),
                part(OFFICE, b"The office is closed from 24 December to 2 January."),
                part(CAKE, b"The office is closed for the cake on Friday from 14 to 15."),
            )
            nextcloud.wait_for_meaning()
            eventually(lambda: sources(nextcloud, NOTHING) == [])
            yield nextcloud


def sources(nextcloud: Nextcloud, question: str, **scope: object) -> list[str]:
    response = nextcloud.post("/query", userId="alice", query=question, **scope)
    assert response.status_code == 200, response.text
    return list(response.json()["sources"])


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("Where does the whale swim?", WHALE),
        ("Which animal lives in the ocean?", WHALE),
        ("Until which day in January is the office closed?", OFFICE),
        ("2 January", OFFICE),
        ("When do we eat cake on Friday?", CAKE),
    ],
)
def test_what_fits_is_found(nextcloud: Nextcloud, question: str, source: str) -> None:
    assert sources(nextcloud, question)[0] == source


@pytest.mark.parametrize("question", [NOTHING, "How do I change a tyre?", "Wie hoch ist der Mount Everest?"])
def test_what_does_not_fit_is_no_source(nextcloud: Nextcloud, question: str) -> None:
    assert sources(nextcloud, question) == []


@pytest.mark.parametrize("question", ["What?", "Tell me about it", NOTHING])
def test_what_was_chosen_always_fits(nextcloud: Nextcloud, question: str) -> None:
    assert sources(nextcloud, question, scopeType="source", scopeList=[CAKE]) == [CAKE]


def test_a_question_that_says_nothing_has_whatever_there_is(nextcloud: Nextcloud) -> None:
    assert set(sources(nextcloud, "What?")) == {WHALE, OFFICE, CAKE}
