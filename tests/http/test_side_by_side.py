"""Each backend answers the whole conversation as the reference does, and the comparison would see if one did not."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Hit, Query, Rejected, SourceId, UserId
from tests.gateway import Reply, make_settings, running_gateway
from tests.wire import load_captures

from . import compare
from .backends import BACKENDS, REFERENCE
from .compare import Difference, Transcript, describe, differences, main, play, table, transcript_of
from .conversation import conversation

OTHERS = [name for name in BACKENDS if name != REFERENCE]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """The gateways warn of every bad request, which would bury the table of a failed test."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    """What the reference driver's gateway answers."""
    return transcript_of(REFERENCE, tmp_path_factory.mktemp(REFERENCE))


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_a_backend_answers_as_the_reference_does(
    reference: Transcript, backend: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if found := differences(reference, transcript_of(backend, tmp_path_factory.mktemp(backend))):
        pytest.fail(f"{len(found)} differences\n{table(found, backend)}", pytrace=False)


def test_every_recorded_request_is_in_the_conversation() -> None:
    assert {step.capture for step in conversation()} - {""} == {capture.name for capture in load_captures()}


# ---------------------------------------------------------------------- planted differences


class Deviating(ReferenceDriver):
    """Refuses to change the readers of one source, and forgets the scope of a search."""

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        if user_ids == {"admin", "dora"}:
            raise Rejected("planted")
        await super().set_access(source_id, user_ids)

    async def search(self, query: Query) -> Sequence[Hit]:
        return await super().search(Query(user_id=query.user_id, text=query.text, limit=query.limit))


def test_planted_differences_are_found_and_shown_side_by_side(reference: Transcript, tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path, rag_backend=REFERENCE), Deviating()) as nextcloud:
        found = differences(reference, play(nextcloud))
    status = next(each for each in found if each.step == "access_declarative")
    assert (status.reference[:3], status.other[:3]) == ("200", "400")
    readers = next(each for each in found if each.step == "access_declarative once: dora searches whale")
    assert ("555" in readers.reference, "555" in readers.other) == (True, False)
    scope = next(each for each in found if each.step == "docsearch_scope_provider")
    assert ("files__default" in scope.reference, "files__default" in scope.other) == (False, True)
    head, _, row, *_ = table([status], "deviating").splitlines()
    assert head.replace(" ", "") == "step|reference|deviating"
    assert [cell.split()[0] for cell in row.split("|")] == ["access_declarative", "200", "400"]


def test_a_late_difference_in_a_long_answer_is_shown() -> None:
    same = "x" * 5_000
    shown = table([Difference("a step", f"{same} one", f"{same} two")], "other")
    assert "one" in shown
    assert "two" in shown
    assert len(shown) < 2_000


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"content-type": "application/json", **(headers or {})}, json.dumps(body).encode())


HITS = [{"source_id": "files__default: 1", "title": "a"}, {"source_id": "files__default: 2", "title": "b"}]
REQUEST = "the log of the gateway says why, request {}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (reply(HITS), reply(HITS[::-1])),
        (reply({"output": "a", "sources": ["x", "y"]}), reply({"sources": ["y", "x"], "output": "b"})),
        (reply({"error": REQUEST.format("a" * 32)}, 503), reply({"error": REQUEST.format("b" * 32)}, 503)),
        (reply({}, headers={"x-request-id": "a"}), reply({}, headers={"x-request-id": "b"})),
    ],
)
def test_what_two_good_backends_may_answer_is_no_difference(first: Reply, second: Reply) -> None:
    assert describe(first) == describe(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (reply({}), reply({}, 201)),
        (reply({}, 503), reply({}, 503, headers={"cc-retry": "true"})),
        (reply({}), reply({}, headers={"content-type": "text/html"})),
        (reply(HITS), reply(HITS[:1])),
        (reply(HITS), reply([HITS[0], HITS[0], HITS[1]])),
        (reply(HITS), reply([{**HITS[0], "title": "c"}, HITS[1]])),
        (reply({"output": "a", "sources": ["x"]}), reply({"output": "a", "sources": ["x", "x"]})),
        (reply({"output": "a", "sources": []}), reply({"output": None, "sources": []})),
        (reply({"loaded_sources": ["x", "y"]}), reply({"loaded_sources": ["y", "x"]})),
        (reply({"files__default": 0}), reply({})),
    ],
)
def test_what_nextcloud_would_notice_is_a_difference(first: Reply, second: Reply) -> None:
    assert describe(first) != describe(second)


# ---------------------------------------------------------------------- command line


@pytest.mark.parametrize(("other", "code"), [("200 {}", 0), ("500 {}", 1)])
def test_the_exit_code_and_the_last_line_tell_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str, code: int
) -> None:
    answers = dict.fromkeys(OTHERS, other) | {REFERENCE: "200 {}"}
    steps = conversation()
    monkeypatch.setattr(compare, "transcript_of", lambda backend, _: [answers[backend]] * len(steps))
    assert main(["builtin"]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    result = f"{len(steps)} differences with builtin" if code else "no difference"
    checks = len(steps) - len(load_captures())
    assert last == f"{len(load_captures())} requests and {checks} checks through reference, builtin: {result}"
