"""One case of each kind of trouble; tests/slow has all the others, and tests/core those of the clock."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.disk import full, small_disk
from tests.gateway import GatewayProcess, gateway_process, make_settings, running_gateway
from tests.postgres import new_database, server
from tests.slow.faults import Site, allow, assert_passing_failure, complaints, deny, new_site
from tests.slow.tools import embedding_server, file

IN_MEMORY = {"RAG_BACKEND": "reference"}
ALLOW, DENY = allow("mallory", file(1)), deny("mallory", file(1))


def assert_order_holds(site: Site, trouble: AbstractContextManager[object]) -> None:
    with trouble:
        assert_passing_failure(site.nextcloud.post(ALLOW[0], **ALLOW[1]))
    site.act(ALLOW)
    assert_passing_failure(site.nextcloud.post(DENY[0], **DENY[1]))
    site.act(DENY)
    site.settle()


def test_a_full_disk_is_named_in_the_log_and_costs_no_order_and_no_source(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, gateway_process(IN_MEMORY, storage=disk) as gateway:
        site = new_site(gateway.nextcloud)
        site.add(file(10))
        with full(disk):
            assert site.run() == 1
        assert_order_holds(site, full(disk))
        assert any("database or disk is full" in line for line in complaints(gateway.console()))


@contextmanager
def gone(database: str) -> Iterator[None]:
    """Nobody is let in, and who was inside is put out."""
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f"alter database {database} set default_transaction_read_only = on".encode())
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
        try:
            yield
        finally:
            connection.execute(f"alter database {database} reset default_transaction_read_only".encode())
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])


def test_the_order_survives_a_database_that_fails(tmp_path: Path) -> None:
    with new_database() as uri, embedding_server() as embeddings:
        variables = {"CCB_DB_URL": uri, "BUILTIN_ATTEMPTS": "1", **embeddings.environment}
        with running_gateway(make_settings(tmp_path), variables=variables) as nextcloud:
            with psycopg.connect(uri) as connection:
                name = connection.info.dbname
            assert_order_holds(new_site(nextcloud), gone(name))


@pytest.mark.parametrize("blocked", ["spool", "logs"])
def test_a_start_that_cannot_have_its_folders_says_so_in_a_line(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / blocked).touch()
    gateway = GatewayProcess(tmp_path, IN_MEMORY, storage=tmp_path / "storage")
    with pytest.raises(TimeoutError):
        gateway.start()
    assert gateway.wait() == 2
    assert gateway.console().startswith("ccbe: APP_PERSISTENT_STORAGE: ")
    assert gateway.console().count("\n") == 1
    gateway.close()
