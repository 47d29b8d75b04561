"""Searches by a read replica that is really one: streaming replication between two servers."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from backends.builtin.driver import BuiltinDriver
from backends.builtin.settings import BuiltinSettings
from context_chat_backend.contract import AccessOp, Query, SourceId, UserId
from context_chat_backend.toolkit.postgres.account import as_account
from context_chat_backend.toolkit.postgres.embedded import PROGRAMS
from context_chat_backend.toolkit.search.settings import SearchSettings
from tests.toolkit.catalogue_stage import ALICE, BOB, LineIndexer, Stage

from .tools import Database

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

ONE = SourceId("files: 1")
SEARCHES = "select sum(calls) from pg_stat_user_functions where funcname = 'ccb_search'"


@contextmanager
def replica_of(primary: Database) -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="ccb-test-"))
    owner = Path(primary.folder).stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    copy = [
        str(PROGRAMS / "bin" / "pg_basebackup"),
        "-d",
        primary.uri,
        "-D",
        str(folder / "cluster"),
        "-R",
        "-c",
        "fast",
    ]
    user = as_account(owner.st_uid, owner.st_gid, [folder, PROGRAMS]) if os.geteuid() == 0 else []
    subprocess.run([*user, *copy], check=True, cwd=folder)
    replica = Database(folder)
    replica.start()
    try:
        yield replica
    finally:
        replica.stop()
        shutil.rmtree(folder)


@pytest.fixture
def replica(external: Database, tmp_path: Path) -> Iterator[Database]:
    """Of `external`, in which the store is."""
    external.ask("alter system set track_functions = 'all'")
    external.ask("select pg_reload_conf()")
    with replica_of(external) as server:
        yield server


def driver(primary: Database, replica: Database, folder: Path) -> BuiltinDriver:
    settings = BuiltinSettings(db_url=SecretStr(primary.uri), db_read_url=SecretStr(replica.uri), statement_timeout=5)
    return BuiltinDriver(settings, LineIndexer(), SearchSettings(), folder)


async def texts(opened: BuiltinDriver, user: UserId = ALICE) -> set[str]:
    return {hit.text for hit in await opened.search(Query(user_id=user, text="whale", limit=10))}


async def until_searched(database: Database) -> None:
    """Statistics come a second late."""
    with anyio.fail_after(20):
        while not database.ask(SEARCHES):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.1)


async def until_found(opened: BuiltinDriver, expected: set[str]) -> None:
    with anyio.fail_after(20):
        while await texts(opened) != expected:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.05)


def hold(replica: Database) -> None:
    """From now on it falls behind."""
    replica.ask("select pg_wal_replay_pause()")


async def test_the_replica_finds_and_the_primary_has_the_last_word(
    external: Database, replica: Database, tmp_path: Path
) -> None:
    stage = Stage(external.uri, tmp_path)
    async with driver(external, replica, tmp_path) as opened:
        await opened.upsert(stage.source(1, [ALICE, BOB], "the whale"))
        await opened.upsert(stage.source(2, [ALICE], "whales at sea"))
        await until_found(opened, {"the whale", "whales at sea"})
        await until_searched(replica)
        assert not external.ask(SEARCHES)
        hold(replica)
        await opened.update_access(AccessOp.DENY, ONE, {BOB})
        assert await texts(opened, BOB) == set()
        await opened.upsert(stage.source(2, [ALICE], "another text", modified=2000))
        assert await texts(opened) == {"the whale"}  # neither the old version nor, yet, the new one
        await opened.delete({ONE})
        assert await texts(opened) == set()
        replica.ask("select pg_wal_replay_resume()")
        await opened.upsert(stage.source(3, [ALICE], "a whale again"))
        await until_found(opened, {"a whale again", "another text"})


async def test_a_replica_that_is_gone_is_done_without(external: Database, replica: Database, tmp_path: Path) -> None:
    stage = Stage(external.uri, tmp_path)
    async with driver(external, replica, tmp_path) as opened:
        await opened.upsert(stage.source(1, [ALICE], "the whale"))
        await until_found(opened, {"the whale"})
        replica.stop()
        assert await texts(opened) == {"the whale"}
        await until_searched(external)
        replica.start()
