"""An admin switches from one backend to another and back, with one storage folder."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway import SECRET, Nextcloud, gateway_process, part

from .backends import BACKENDS, REFERENCE

BUILTIN = "builtin"
OTHERS = [name for name in BACKENDS if name not in {REFERENCE, BUILTIN}]
"""The reference forgets everything at a restart."""

WHALE, BUDGET = "files__default: 1", "files__default: 2"
PARTS = [part(WHALE, users=["alice"]), part(BUDGET, b"The budget of the harbour.", users=["alice", "bob"])]
LOADED = {"loaded_sources": [WHALE, BUDGET], "sources_to_retry": []}

Seen = dict[str, set[str]]
NOTHING: Seen = {"alice": set(), "bob": set(), "carol": set()}
AS_UPLOADED: Seen = {"alice": {WHALE, BUDGET}, "bob": {BUDGET}, "carol": set()}
AS_CHANGED: Seen = {"alice": {WHALE, BUDGET}, "bob": set(), "carol": {WHALE}}


def seen(nextcloud: Nextcloud) -> Seen:
    """What each user finds."""
    return {user: nextcloud.found(user) for user in NOTHING}


@dataclass(frozen=True, slots=True)
class Site:
    """One storage folder, on which gateways run one after the other."""

    folder: Path

    @contextmanager
    def run(self, backend: str, environment: Mapping[str, str] | None = None) -> Iterator[Nextcloud]:
        """A gateway process with another `RAG_BACKEND`, and nothing else that is new but the settings of that."""
        with gateway_process({"RAG_BACKEND": backend, **(environment or {})}, folder=self.folder) as gateway:
            yield gateway.nextcloud
            assert gateway.errors() == []


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


@pytest.mark.parametrize("backend", OTHERS)
def test_each_backend_knows_its_own_sources_and_readers_only(site: Site, backend: str) -> None:
    with BACKENDS[backend]() as environment:
        with site.run(backend, environment) as nextcloud:
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 0}, NOTHING)
            # the same bytes, times and readers that the gateway saw already: it must not skip them
            assert nextcloud.load(*PARTS).json() == LOADED
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 2}, AS_UPLOADED)
            assert nextcloud.post("/deleteSources", sourceIds=[WHALE]).status_code == 200
        with site.run(BUILTIN) as nextcloud:
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 2}, AS_CHANGED)
        with site.run(backend, environment) as nextcloud:
            left = {user: sources - {WHALE} for user, sources in AS_UPLOADED.items()}
            assert (nextcloud.counts(), seen(nextcloud)) == ({"files__default": 1}, left)


@pytest.mark.parametrize("meant", [name for name in BACKENDS if name != REFERENCE])
def test_a_typo_stops_the_start_and_names_what_was_meant(meant: str, tmp_path: Path) -> None:
    environment = {"APP_SECRET": SECRET, "APP_PORT": "0", "APP_PERSISTENT_STORAGE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "context_chat_backend", "serve"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environment, "RAG_BACKEND": f"{meant[:-1]}x{meant[-1]}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert f"Did you mean {meant!r}?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "backends").exists()
