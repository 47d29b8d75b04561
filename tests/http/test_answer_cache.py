"""`CC_ANSWER_CACHE` in a whole gateway."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Hit, Query
from context_chat_backend.doctor.answers import cache_findings
from context_chat_backend.gateway import plan_gateway
from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, make_settings, running_gateway

ON = {"CC_ANSWER_CACHE": "10", "CC_GENERATOR": "extractive"}
ONE, TWO = "files__default: 1", "files__default: 2"


class Counting(ReferenceDriver):
    """Counts searches."""

    def __init__(self) -> None:
        super().__init__()
        self.searches = 0

    async def search(self, query: Query) -> list[Hit]:
        self.searches += 1
        return list(await super().search(query))


class Shared(Counting):
    capabilities = replace(Counting.capabilities, shared=True)


def ask(nextcloud: Nextcloud, user: str = "alice", query: str = "whale", **scope: object) -> tuple[int, str]:
    response = nextcloud.post("/query", userId=user, query=query, useContext=True, **scope)
    return response.status_code, response.text


def test_an_answer_is_given_again_until_something_is_written(tmp_path: Path) -> None:
    driver = Counting()
    with running_gateway(make_settings(tmp_path), driver, ON) as nextcloud:
        nextcloud.load(part(ONE, b"A blue whale."))
        first = ask(nextcloud)
        assert ask(nextcloud, query=" whale\n") == first
        assert (driver.searches, first[0]) == (1, 200)
        assert nextcloud.found("alice") == nextcloud.found("alice") == {ONE}
        assert driver.searches == 3, "searches for documents are not kept"
        nextcloud.load(part(ONE, b"A blue whale."))
        assert ask(nextcloud) == first
        assert driver.searches == 3, "nothing was written: the upsert cache knew the source"
        nextcloud.load(part(TWO, b"A white whale."))
        assert "A white whale." in ask(nextcloud)[1]
        assert nextcloud.post("/deleteUser", userId="alice").status_code == 200
        assert ask(nextcloud)[0] == 400
        metrics = nextcloud.http.get("/metrics").text
        assert 'ccb_answer_cache_total{outcome="hit"} 2.0' in metrics
        assert 'ccb_answer_cache_total{outcome="miss"} 3.0' in metrics


def test_other_settings_begin_with_nothing(tmp_path: Path) -> None:
    driver = Counting()
    for searches, tokens in ((1, "4000"), (2, "1000")):
        with running_gateway(make_settings(tmp_path), driver, {**ON, "CC_CONTEXT_TOKENS": tokens}) as nextcloud:
            nextcloud.load(part(ONE))
            assert ask(nextcloud) == ask(nextcloud)
            assert driver.searches == searches


@pytest.mark.parametrize(
    ("driver", "variables"), [(Counting, {}), (Shared, ON)], ids=["not asked for", "others may write"]
)
def test_it_is_off(
    driver: type[Counting], variables: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = driver()
    with (
        caplog.at_level(logging.WARNING),
        running_gateway(make_settings(tmp_path), opened, {"CC_GENERATOR": "extractive", **variables}) as nextcloud,
    ):
        nextcloud.load(part(ONE))
        assert ask(nextcloud) == ask(nextcloud)
        assert opened.searches == 2
        assert "ccb_answer_cache_total{" not in nextcloud.http.get("/metrics").text
    assert ("CC_ANSWER_CACHE: off, others may write" in caplog.text) == bool(variables)


@pytest.mark.parametrize(
    ("driver", "variables", "levels"), [(Counting, {}, []), (Counting, ON, ["ok"]), (Shared, ON, ["warning"])]
)
def test_the_doctor_says_whether_it_has_an_effect(
    driver: type[Counting], variables: dict[str, str], levels: list[str], tmp_path: Path
) -> None:
    findings = cache_findings(plan_gateway(make_settings(tmp_path), variables, driver()))
    assert [finding.level.value for finding in findings] == levels
