"""On every backend: whatever happens in Nextcloud, everybody finds exactly what is theirs, also if requests fail."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.backends import BACKENDS
from tests.pull.model import Model
from tests.pull.site import Site, site

pytest_plugins = ["tests.pg"]

ROUNDS, HAPPENINGS = 5, 12
FAULTS = ["lost", "reset", "truncate", "cut", "late", "maintenance", "html"]


QUICK = ("reference", "builtin")
"""The others go through it in the slow suite."""


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKENDS])
def pulling_with(request: pytest.FixtureRequest, tmp_path: Path, quick: None) -> Iterator[Site]:
    with ExitStack() as stack:
        variables = stack.enter_context(BACKENDS[request.param]())
        yield stack.enter_context(site(tmp_path, rag_backend=request.param, variables=variables))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 4))])
def test_everybody_finds_exactly_what_is_theirs(pulling_with: Site, seed: int) -> None:
    pulling, rng = pulling_with, random.Random(seed)
    model = Model(pulling.nextcloud, rng)
    for _ in range(ROUNDS):
        if seed:
            break_something(pulling, rng)
        for _ in range(HAPPENINGS):
            model.happen()
        settle_whatever_is_lost(pulling)
        model.settled()
        compare(pulling, model)


def break_something(pulling: Site, rng: random.Random) -> None:
    for kind in rng.sample(FAULTS, 3):
        pulling.nextcloud.fault(kind, path="context_chat", times=2, p=0.3, skip=rng.randrange(4), at=30, delay=0.2)


def settle_whatever_is_lost(pulling: Site) -> None:
    """Rows whose answer was lost come back after a day."""
    end = time.monotonic() + 90
    pulling.hurry()
    while not pulling.nextcloud.wait_idle(3):
        assert time.monotonic() < end, pulling.nextcloud.stats()
        pulling.nextcloud.travel(24 * 3600 + 1)
        pulling.hurry()
    pulling.nextcloud.clear_faults()


def compare(pulling: Site, model: Model) -> None:
    wrong: dict[str, tuple[set[str], set[str]]] = {}
    end = time.monotonic() + 10  # some backends need a moment until all searches see a change
    while time.monotonic() < end:
        found = {user: pulling.found(user) for user in model.users}
        wrong = {user: (model.expected(user), found[user]) for user in found if found[user] != model.expected(user)}
        if not wrong:
            return
        assert not any(ids - expected for expected, ids in wrong.values()), f"found what is not theirs: {wrong}"
        time.sleep(0.2)
    assert not wrong, f"lost: {wrong}"
