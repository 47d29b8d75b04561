"""A gateway is asked over HTTP, and one that leaks is found out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from context_chat_backend.cli.evaluation.access import EVERYTHING, NOTHING
from context_chat_backend.cli.evaluation.answers import answer
from context_chat_backend.cli.evaluation.results import SetResult, Store
from context_chat_backend.cli.evaluation.run import search
from context_chat_backend.cli.evaluation.sandbox import PROVIDER, Sandbox, with_variables
from context_chat_backend.cli.evaluation.trial import Ask, Trial, ask_all
from context_chat_backend.cli.own_gateway import GatewayFailed
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Busy, Driver, Hit, Misconfigured, Outcome, Query, Rejected, Source, UserId
from context_chat_backend.nextcloud.push_client import part
from tests.conformance.test_conformance import NoAccessFilter
from tests.gateway import make_settings, running_gateway

from .sets import small_trial


def asked(trial: Trial, driver: Driver, folder: Path, ask: Ask = search) -> SetResult:
    with running_gateway(make_settings(folder / "storage"), driver) as nextcloud:
        return ask_all(Sandbox(nextcloud, settle_seconds=0), trial, ask)


def test_what_is_found_is_measured_for_everybody_who_asks(tmp_path: Path) -> None:
    trial = small_trial(tmp_path / "small")
    result = asked(trial, ReferenceDriver(), tmp_path)
    assert result.leaks == []
    assert result.rejected == []
    assert [(each.question, each.reads) for each in result.asked] == [
        ("1", "all"),
        ("2", "all"),
        ("1", "some"),
        ("2", "some"),
    ]
    assert {each.user for each in result.asked} <= {EVERYTHING, *trial.access.names}
    assert all(each.values["recall@10"] == 1 for each in result.asked)
    assert result.asked[1].found[0] == "bread"


def test_a_leak_is_found_whoever_asks(tmp_path: Path) -> None:
    trial = small_trial(tmp_path / "small", share=0.0)
    leaks = asked(trial, NoAccessFilter(), tmp_path).leaks
    assert {leak.user for leak in leaks} >= {NOTHING}
    assert {leak.user for leak in leaks} & set(trial.access.names)
    assert all(not trial.access.may_read(leak.user, leak.document) for leak in leaks)


class LeaksSometimes(ReferenceDriver):
    """To those who may read something, and never first."""

    async def search(self, query: Query) -> Sequence[Hit]:
        hits = await super().search(query)
        if query.user_id in {EVERYTHING, NOTHING}:
            return hits
        hidden = await super().search(Query(user_id=UserId(EVERYTHING), text=query.text, limit=100))
        return list({hit.source_id: hit for hit in [*hits, *hidden]}.values())


def test_a_leak_to_somebody_who_may_read_other_things_is_found(tmp_path: Path) -> None:
    trial = small_trial(tmp_path / "small", share=0.0)
    leaks = asked(trial, LeaksSometimes(), tmp_path).leaks
    assert leaks
    assert {leak.user for leak in leaks} <= set(trial.access.names)


def test_a_leak_among_the_sources_of_an_answer_is_found(tmp_path: Path) -> None:
    trial = small_trial(tmp_path / "small", share=0.0)
    assert asked(trial, ReferenceDriver(), tmp_path / "right", answer).leaks == []
    assert asked(trial, LeaksSometimes(), tmp_path / "wrong", answer).leaks


def test_answers_are_measured(tmp_path: Path) -> None:
    result = asked(small_trial(tmp_path / "small"), ReferenceDriver(), tmp_path, answer)
    assert [each.question for each in result.asked] == ["1", "2"]
    assert all(each.values["citation recall"] == 1 for each in result.asked)
    assert all(0 < each.values["ROUGE-L"] <= 1 for each in result.asked)


# ---------------------------------------------------------------------- loading


class Stubborn(ReferenceDriver):
    """Is busy at first, and never takes bread."""

    def __init__(self) -> None:
        super().__init__()
        self._was_busy: set[str] = set()

    async def upsert(self, source: Source) -> Outcome:
        if source.title == "files/Bread.txt":
            raise Rejected("no bread")
        if source.id not in self._was_busy:
            self._was_busy.add(source.id)
            raise Busy("later", retry_after=0.01)
        return await super().upsert(source)


def test_a_busy_gateway_is_sent_documents_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.cli.evaluation.sandbox.PAUSE", 0.01)
    result = asked(small_trial(tmp_path / "small"), Stubborn(), tmp_path)
    assert result.rejected == ["bread"]
    assert [each.values["recall@10"] for each in result.asked] == [1, 0, 1, 0]


def test_a_kept_store_holds_what_is_loaded_and_nothing_else(tmp_path: Path) -> None:
    everything = small_trial(tmp_path / "all")
    less = small_trial(tmp_path / "less", limit=1, documents=2)
    with running_gateway(make_settings(tmp_path / "storage"), ReferenceDriver()) as nextcloud:
        box = Sandbox(nextcloud, settle_seconds=0)
        box.load(everything.uploads, highest=4)
        box.load(less.uploads, highest=4)
        assert nextcloud.counts()[PROVIDER] == len(less.documents) < 4
        with pytest.raises(GatewayFailed, match="another set"):
            box.load(less.uploads[:1], highest=1)
        box.clear()
        assert nextcloud.counts().get(PROVIDER, 0) == 0


def test_rights_of_an_earlier_run_are_no_leak(tmp_path: Path) -> None:
    """A source that has not changed only ever gets further readers."""
    with running_gateway(make_settings(tmp_path / "storage"), ReferenceDriver()) as nextcloud:
        box = Sandbox(nextcloud, settle_seconds=0)
        for share, store in ((1.0, Store.FRESH), (0.0, Store.KEPT)):
            trial = small_trial(tmp_path / str(share), share=share)
            result = ask_all(box, trial, search)
            assert (result.leaks, result.store) == ([], store)


def test_a_store_that_somebody_uses_is_left_alone(tmp_path: Path) -> None:
    trial = small_trial(tmp_path / "small")
    with running_gateway(make_settings(tmp_path / "storage"), ReferenceDriver()) as nextcloud:
        assert nextcloud.load(part("files__default: 1")).is_success
        with pytest.raises(GatewayFailed, match="sources of files__default"):
            Sandbox(nextcloud, settle_seconds=0).load(trial.uploads)
        assert nextcloud.counts() == {"files__default": 1}


@pytest.mark.parametrize("assignment", ["RAG_BACKEND", "=x", "APP_SECRET=12345", "NEXTCLOUD_URL=http://localhost"])
def test_what_keeps_the_gateway_apart_cannot_be_changed(assignment: str) -> None:
    with pytest.raises(Misconfigured, match="--with"):
        with_variables({}, [assignment])
    assert with_variables({"A": "1"}, ["A=2", "B=x=y"]) == {"A": "2", "B": "x=y"}
