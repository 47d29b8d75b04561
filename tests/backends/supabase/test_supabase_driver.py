"""The Supabase driver on the SQL that `ccbe supabase-migration` prints, through the stand-in for PostgREST."""

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backends.supabase.driver import SupabaseDriver, create
from backends.supabase.functions import SupabaseFunctions
from backends.supabase.settings import SupabaseSettings
from context_chat_backend.cli import main
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import Misconfigured, Outcome, Query, Unavailable
from context_chat_backend.toolkit.indexing.embed.shipped import DIMENSION
from context_chat_backend.toolkit.indexing.split import Chunk
from context_chat_backend.toolkit.postgres.document_store import DocumentStore
from context_chat_backend.toolkit.postgres.migrations import Edition, store_script
from context_chat_backend.toolkit.settings import read_settings
from tests.config import config
from tests.doubles.postgrest import UNAVAILABLE, SupabaseDouble, as_role, supabase_server

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def project(empty_database: str) -> Iterator[SupabaseDouble]:
    """A project of before May 2026, which grants everything new to everybody, with the migration run in it."""
    with supabase_server(empty_database, older_project=True) as double:
        migrate(double)
        yield double
        assert double.violations == []


def migrate(double: SupabaseDouble) -> None:
    with double.expect_reload(), psycopg.connect(double.owner_uri, autocommit=True) as connection:
        connection.execute(store_script(DIMENSION).encode())


def make_driver(double: SupabaseDouble, folder: Path, **variables: str) -> SupabaseDriver:
    return create(config(folder, {**variables_of(double), **variables}))


def variables_of(double: SupabaseDouble) -> dict[str, str]:
    return {"SUPABASE_URL": double.url, "SUPABASE_KEY": double.secret_key}


def settings(double: SupabaseDouble) -> SupabaseSettings:
    return read_settings(SupabaseSettings, variables_of(double))


@pytest.fixture
async def kit(project: SupabaseDouble, tmp_path: Path) -> AsyncIterator[Kit]:
    async with make_driver(project, tmp_path) as driver:
        yield Kit(driver, tmp_path)


async def test_it_keeps_the_contract(project: SupabaseDouble, tmp_path: Path) -> None:
    out = io.StringIO()
    assert await conform(make_driver(project, tmp_path), out=out), out.getvalue()


@pytest.mark.slow
async def test_it_keeps_the_contract_through_all_faults(project: SupabaseDouble, tmp_path: Path) -> None:
    faults, out = FaultPlan(create, variables_of(project), "SUPABASE_URL"), io.StringIO()
    assert await conform(make_driver(project, tmp_path), faults=faults, out=out), out.getvalue()
    skipped = sum(case.group in {"store", "inventory"} for case in CASES)
    assert f" {skipped} skipped" in out.getvalue()


@pytest.mark.parametrize("key", ["secret_key", "service_role_jwt"])
async def test_both_kinds_of_keys_open_the_store(project: SupabaseDouble, tmp_path: Path, key: str) -> None:
    keys = {"secret_key": project.secret_key, "service_role_jwt": project.service_role_jwt}
    async with make_driver(project, tmp_path, SUPABASE_KEY=keys[key]) as driver:
        await driver.ping()


def test_the_command_prints_the_migration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["supabase-migration"]) == 0
    assert capsys.readouterr().out == store_script(DIMENSION)


def test_the_migration_may_be_run_again(project: SupabaseDouble) -> None:
    migrate(project)


async def test_a_project_without_the_migration_is_told_what_to_do(empty_database: str, tmp_path: Path) -> None:
    with supabase_server(empty_database) as double, pytest.raises(Misconfigured, match="ccbe supabase-migration"):
        async with make_driver(double, tmp_path):
            pytest.fail("opened")


async def test_a_project_with_functions_of_another_version_is_told_what_to_do(
    project: SupabaseDouble, tmp_path: Path
) -> None:
    with psycopg.connect(project.owner_uri, autocommit=True) as connection:
        connection.execute("update ccb.settings set value = 'other' where key = 'functions'")
    with pytest.raises(Misconfigured, match="ccbe supabase-migration"):
        async with make_driver(project, tmp_path):
            pytest.fail("opened")
    migrate(project)
    async with make_driver(project, tmp_path) as driver:
        await driver.ping()


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_nobody_but_the_service_role_can_read_or_call_anything(project: SupabaseDouble, role: str) -> None:
    with psycopg.connect(as_role(project.owner_uri, "authenticator"), autocommit=True) as connection:
        connection.execute(f"set role {role}".encode())
        callable_functions = connection.execute(
            "select proname from pg_proc where proname like 'ccb%' and pronamespace = 'public'::regnamespace"
            " and has_function_privilege(oid, 'execute')"
        ).fetchall()
        assert callable_functions == []
        tables = connection.execute("select relname from pg_class where relnamespace = 'ccb'::regnamespace").fetchall()
        assert len(tables) > 5
        for (table,) in tables:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from ccb.{table}".encode())


def test_the_migration_leaves_a_database_of_another_backend_alone(catalogue: str) -> None:
    with psycopg.connect(catalogue, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="in use by another backend"):
            connection.execute(store_script(DIMENSION).encode())
        assert connection.execute("select to_regclass('ccb.chunks') is null").fetchone() == (True,)


async def test_functions_of_others_in_the_schema_public_are_never_called(
    project: SupabaseDouble, tmp_path: Path
) -> None:
    """Supabase's guides give some tools a role that may create there; theirs would fit better than PostgreSQL's own."""
    superuser = as_role(project.owner_uri, "postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("create role tool login")
        connection.execute("grant usage, create on schema public to tool")
    try:
        with psycopg.connect(as_role(project.owner_uri, "tool"), autocommit=True) as connection:
            for signature in ("hashtextextended(text, int)", "jsonb_build_object(text, text, text, uuid)"):
                body = "begin raise exception 'called'; end"
                connection.execute(
                    f"create function public.{signature} returns bigint language plpgsql as $${body}$$".encode()
                )
        migrate(project)
        async with make_driver(project, tmp_path) as driver:
            kit = Kit(driver, tmp_path)
            await driver.upsert(kit.source(1))
            await kit.expect("alice", {kit.id(1)})
            await driver.delete_user(kit.user("alice"))
    finally:
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("drop owned by tool")
            connection.execute("drop role tool")


async def test_a_public_key_opens_nothing(project: SupabaseDouble, tmp_path: Path) -> None:
    for key in (project.publishable_key, project.anon_jwt):
        with pytest.raises(Misconfigured, match="SUPABASE_KEY"):
            make_driver(project, tmp_path, SUPABASE_KEY=key)


async def test_a_document_of_500_chunks_appears_in_one_step(kit: Kit, project: SupabaseDouble) -> None:
    source = kit.source(1)
    async with SupabaseFunctions(settings(project)) as functions:
        store = DocumentStore(functions)
        assert await store.publish(source, "old", pages("old", 1)) is Outcome.CREATED
        newer = replace(source, modified=source.modified + 1)
        project.calls.clear()
        with project.fail_all(UNAVAILABLE, function="ccb_publish_source"), pytest.raises(Unavailable):
            await store.publish(newer, "new", pages("new", 500))
        assert project.functions_called.count("ccb_stage_chunks") == 10
        assert await texts(kit) == ["old 0"]
        assert await store.publish(newer, "new", pages("new", 500)) is Outcome.UPDATED
        assert sorted(await texts(kit)) == sorted(f"new {number}" for number in range(500))


async def pages(word: str, count: int) -> AsyncIterator[Sequence[Chunk]]:
    for start in range(0, count, 50):
        yield [Chunk(number, "", f"{word} {number}") for number in range(start, min(start + 50, count))]


async def texts(kit: Kit) -> list[str]:
    hits = await kit.driver.search(Query(user_id=kit.user("alice"), text="whale", limit=1000))
    return [hit.text for hit in hits]


async def test_no_answer_is_cut_off_by_the_row_limit(kit: Kit, project: SupabaseDouble) -> None:
    project.max_rows = 3
    for item in range(8):
        await kit.driver.upsert(kit.source(item, provider=f"p{item}", text=f"Whale number {item} sings."))
    assert len(await texts(kit)) == 8
    assert sum(count for name, count in (await kit.driver.count()).items() if kit.namespace in name) == 8


async def test_a_paused_project_is_unavailable_and_goes_on_by_itself(kit: Kit, project: SupabaseDouble) -> None:
    await kit.driver.upsert(kit.source(1))
    with project.database_down(), pytest.raises(Unavailable):
        await kit.driver.ping()
    await kit.driver.ping()
    assert await kit.found("alice") == {kit.id(1)}


def test_the_store_has_no_other_functions_than_those_of_the_builtin_backend(project: SupabaseDouble) -> None:
    with psycopg.connect(project.owner_uri) as connection:
        query = "select value from ccb.settings where key = 'functions'"
        assert connection.execute(query).fetchone() == (Edition.STORE.digest,)
