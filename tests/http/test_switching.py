"""An admin switches from one backend to another and back, with one storage folder."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from context_chat_backend.contract import Misconfigured
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.registry import driver_factory
from tests.gateway import SECRET, Nextcloud, gateway_process, wait_until_ready

from .backends import BACKENDS, REFERENCE

BUILTIN = "builtin"
OTHERS = [name for name in BACKENDS if name not in {REFERENCE, BUILTIN}]
"""The reference forgets everything at a restart."""

WHALE, BUDGET, UNKNOWN = "files__default: 1", "files__default: 2", "files__default: 3"
PARTS = [part(WHALE, users=["alice"]), part(BUDGET, b"The budget of the harbour.", users=["alice", "bob"])]
LOADED = {"loaded_sources": [WHALE, BUDGET], "sources_to_retry": []}

Seen = dict[str, set[str]]
NOTHING: Seen = {"alice": set(), "bob": set(), "carol": set()}
AS_UPLOADED: Seen = {"alice": {WHALE, BUDGET}, "bob": {BUDGET}, "carol": set()}
AS_CHANGED: Seen = {"alice": {WHALE, BUDGET}, "bob": set(), "carol": {WHALE}}

REFUSAL = "was in use before, then"
"""In the log of a gateway whose backend comes back after another one."""


def seen(nextcloud: Nextcloud) -> Seen:
    """What each user finds."""
    return {user: nextcloud.found(user) for user in NOTHING}


def assert_refused(nextcloud: Nextcloud) -> None:
    """Not ready, for a reason that an admin has to mend, and nothing is shown, taken or changed."""
    wait_until_misconfigured(nextcloud)
    for user in NOTHING:
        for path, body in (("/docSearch", {}), ("/query", {"useContext": True})):
            response = nextcloud.post(path, userId=user, query="whale", **body)
            assert response.status_code == 503, response.text
            assert response.json().keys() == {"error"}
    assert nextcloud.http.post("/countIndexedDocuments").status_code == 503
    assert nextcloud.post("/updateAccess", op="allow", userIds=["bob"], sourceId=UNKNOWN).status_code == 503
    assert nextcloud.load(*PARTS).json() == {"loaded_sources": [], "sources_to_retry": [WHALE, BUDGET]}


def wait_until_misconfigured(nextcloud: Nextcloud, seconds: float = 60) -> None:
    """A gateway is `unavailable` while its backend is starting; it must never become ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        response = nextcloud.http.get("/health/ready")
        assert response.status_code == 503, response.text
        if response.json()["status"] == "misconfigured":
            return
        time.sleep(0.05)
    raise TimeoutError("the gateway did not say that it is misconfigured")


@dataclass(frozen=True, slots=True)
class Site:
    """One storage folder, on which gateways run one after the other."""

    folder: Path

    @contextmanager
    def run(self, backend: str, environment: Mapping[str, str] | None = None) -> Iterator[Nextcloud]:
        """A gateway process with another `RAG_BACKEND`, and nothing else that is new but the settings of that."""
        with gateway_process({"RAG_BACKEND": backend, **(environment or {})}, folder=self.folder) as gateway:
            yield gateway.nextcloud
            assert [error for error in gateway.errors() if REFUSAL not in error] == []

    @contextmanager
    def run_again(self, backend: str, environment: Mapping[str, str] | None = None) -> Iterator[Nextcloud]:
        """The same with a backend that was in use before another one: refused until an admin accepts it."""
        variables = {"RAG_BACKEND": backend, **(environment or {})}
        with gateway_process(variables, folder=self.folder, ready=False) as gateway:
            assert_refused(gateway.nextcloud)
            self.accept_backend()
            wait_until_ready(gateway.nextcloud, seconds=120)  # without a restart
            yield gateway.nextcloud
            assert [error for error in gateway.errors() if REFUSAL not in error] == []

    def accept_backend(self) -> None:
        """What an admin does who knows the risk."""
        subprocess.run(
            [sys.executable, "-m", "context_chat_backend", "accept-backend", "--yes"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "APP_SECRET": SECRET, "APP_PERSISTENT_STORAGE": str(self.folder)},
            capture_output=True,
            timeout=60,
            check=True,
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Two sources are in the builtin backend, and their readers are not those of the upload any more."""
    with tempfile.TemporaryDirectory(prefix="ccb-test-") as folder:
        Path(folder).chmod(0o755)  # the embedded PostgreSQL may run as another user
        site = Site(Path(folder))
        with site.run(BUILTIN) as nextcloud:
            assert nextcloud.load(*PARTS).json() == LOADED
            assert nextcloud.post("/updateAccess", op="allow", userIds=["carol"], sourceId=WHALE).status_code == 200
            assert nextcloud.post("/updateAccess", op="deny", userIds=["bob"], sourceId=BUDGET).status_code == 200
            assert seen(nextcloud) == AS_CHANGED
        yield site


@pytest.mark.parametrize("backend", [pytest.param(name, marks=pytest.mark.slow) for name in OTHERS])
def test_each_backend_knows_its_own_sources_and_readers_only(site: Site, backend: str) -> None:
    with BACKENDS[backend]() as environment:
        with site.run(backend, environment) as nextcloud:
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 0}, NOTHING)
            # the same bytes, times and readers that the gateway saw already: it must not skip them
            assert nextcloud.load(*PARTS).json() == LOADED
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 2}, AS_UPLOADED)
            assert nextcloud.post("/deleteSources", sourceIds=[WHALE]).status_code == 200
        with site.run_again(BUILTIN) as nextcloud:
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 2}, AS_CHANGED)
        with site.run_again(backend, environment) as nextcloud:
            left = {user: sources - {WHALE} for user, sources in AS_UPLOADED.items()}
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 1}, left)


@pytest.mark.parametrize("meant", [name for name in BACKENDS if name != REFERENCE])
def test_a_typo_is_told_with_what_was_meant(meant: str) -> None:
    with pytest.raises(Misconfigured, match=f"Did you mean {meant!r}"):
        driver_factory(f"{meant[:-1]}x{meant[-1]}")
