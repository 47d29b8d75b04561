"""The gateway is killed while it brings a data folder of the version before up to date."""

import ast
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from tests.gateway import GatewayProcess
from tests.golden.previous.documents import COUNTS, FAILED, SETTLED, seen_of
from tests.postgres import postgres_in
from tests.slow.tools import eventually

from .previous import restore_state, seen, send

OPEN_AND_DIE = """
import os, signal, sqlite3, sys
from pathlib import Path
import anyio
from context_chat_backend.core.state import State

left = int(sys.argv[2])

def before(statement):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

class Watched(sqlite3.Connection):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.set_trace_callback(before)

connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=Watched)

async def main():
    async with State(Path(sys.argv[1])):
        pass

anyio.run(main)
"""
"""Opens a state, and is killed before it runs another statement than so many."""

ALL = 1000


def open_state(path: Path, statements: int = ALL) -> bool:
    """Whether it was killed."""
    done = subprocess.run([sys.executable, "-c", OPEN_AND_DIE, path, str(statements)], check=False)
    assert done.returncode in {0, -signal.SIGKILL}
    return done.returncode != 0


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [*db.iterdump(), str(db.execute("pragma user_version").fetchone())]


def version(content: list[str]) -> int:
    (number,) = ast.literal_eval(content[-1])
    return int(number)


def test_killed_before_any_statement_the_state_is_brought_up_to_date_the_next_time(tmp_path: Path) -> None:
    restore_state("builtin", tmp_path)
    of_before, path = tmp_path / "state.db", tmp_path / "opened.db"
    shutil.copy(of_before, path)
    assert not open_state(path)
    expected = content(path)
    assert expected != content(of_before)
    statements = 0
    left: list[list[str]] = []
    killed = True
    while killed:
        path = tmp_path / f"killed-{statements}.db"
        shutil.copy(of_before, path)
        killed = open_state(path, statements)
        left.append(content(path))
        assert not open_state(path)
        assert content(path) == expected
        statements += 1
    assert statements > 5
    whole = [each for number, each in enumerate(left) if each not in left[:number]]
    assert (whole[0], whole[-1]) == (content(of_before), expected)
    assert len(whole) == 1 + version(expected) - version(whole[0]), "what is left is of one version, never half of it"


@contextmanager
def migration_held_up(cluster: Path) -> Iterator[Callable[[], bool]]:
    """Have the database migrated, but for what writes down that it is, until the block ends. Yields whether a gateway
    waits there."""
    with postgres_in(cluster) as uri, psycopg.connect(uri) as connection:
        connection.execute("update ccb.settings set value = 'others' where key = 'functions'")
        connection.commit()
        connection.execute("lock table ccb.settings in share row exclusive mode")  # it can be read
        waiting = "select count(*) > 0 from pg_locks where not granted"
        yield lambda: connection.execute(waiting.encode()).fetchone() == (True,)
        assert connection.execute("select value from ccb.settings where key = 'functions'").fetchone() == ("others",)
        connection.rollback()


def test_killed_before_the_database_is_up_to_date_it_is_brought_there_the_next_time(builtin: Path) -> None:
    cluster = builtin / "backends" / "builtin"
    with closing(GatewayProcess(builtin, {})) as gateway:
        with migration_held_up(cluster) as is_waiting:
            gateway.start(ready=False)
            eventually(is_waiting)
            gateway.kill()
        gateway.start()
        assert (gateway.nextcloud.counts(), seen(gateway.nextcloud)) == (COUNTS, seen_of())
        with postgres_in(cluster) as uri, psycopg.connect(uri) as connection:
            written = connection.execute("select value from ccb.settings where key = 'functions'").fetchone()
            assert written != ("others",)
        assert [send(gateway.nextcloud, failed.request) for failed in FAILED] == [200] * len(FAILED)
        assert seen(gateway.nextcloud) == seen_of(SETTLED)
        assert gateway.errors() == []
