"""`ccbe sources` and the rules of the admin, beside a gateway that runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from context_chat_backend.cli.command import FAILURE, SUCCESS
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Outcome, Source, Unavailable
from context_chat_backend.core.ledger import FLUSH_SECONDS
from context_chat_backend.nextcloud.push_client import part
from tests.cli.running import run
from tests.gateway import Nextcloud, make_settings, running_gateway

ONE, TWO, THREE = (f"files__default: {number}" for number in (1, 2, 3))


class Moody(ReferenceDriver):
    """Does not take sources with a certain title for now."""

    async def upsert(self, source: Source) -> Outcome:
        if "later" in source.title:
            raise Unavailable("the store has a day off")
        return await super().upsert(source)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Nextcloud]:
    with running_gateway(make_settings(tmp_path), Moody()) as nextcloud:
        nextcloud.load(
            part(ONE, title="files/whale.md"),
            part(TWO, b"", title="files/empty.md"),
            part(THREE, title="files/later.md"),
        )
        yield nextcloud


def ccbe(folder: Path, *arguments: str) -> tuple[int, str]:
    done = run("sources", *arguments, cwd=folder, APP_SECRET="12345", APP_PERSISTENT_STORAGE=str(folder))
    return done.returncode, done.stdout + done.stderr


def until(folder: Path, expected: str, *arguments: str) -> str:
    """What the command says once that is in it."""
    deadline = time.monotonic() + 30
    while expected not in (said := ccbe(folder, *arguments)[1]):
        assert time.monotonic() < deadline, f"{expected!r} is not in:\n{said}"
        time.sleep(FLUSH_SECONDS / 5)
    return said


@pytest.mark.usefixtures("gateway")
def test_each_source_is_listed_with_its_stage_and_the_reason(tmp_path: Path) -> None:
    said = until(tmp_path, "1 indexed, 1 unfit, 1 failing", "list")
    lines = {line.split("\t")[0]: line.split("\t")[1:] for line in said.splitlines() if "\t" in line}
    assert {source_id: line[0] for source_id, line in lines.items()} == {ONE: "indexed", TWO: "unfit", THREE: "failing"}
    assert lines[ONE][2:] == ["files/whale.md"]
    assert "day off" in lines[THREE][3]
    assert "no content" in lines[TWO][3]
    assert ONE not in ccbe(tmp_path, "list", "--stage", "failing")[1]
    assert THREE in ccbe(tmp_path, "list", "--stage", "failing")[1]
    assert ONE not in ccbe(tmp_path, "list", "--provider", "mail__mail")[1]
    assert len([line for line in ccbe(tmp_path, "list", "--limit", "2")[1].splitlines() if "\t" in line]) == 2


@pytest.mark.usefixtures("gateway")
def test_one_is_shown_with_all_that_is_known(tmp_path: Path) -> None:
    said = until(tmp_path, "1 failed", "show", THREE)
    assert all(word in said for word in ("files/later.md", "failing, since", "day off", "text/markdown"))
    code, said = ccbe(tmp_path, "show", "files__default: 99")
    assert (code, "nothing is known" in said) == (FAILURE, True)


@pytest.mark.usefixtures("gateway")
def test_only_what_failed_can_be_tried_again(tmp_path: Path) -> None:
    until(tmp_path, "1 failing", "list")
    assert ccbe(tmp_path, "retry", ONE)[0] == FAILURE
    assert ccbe(tmp_path, "retry", THREE)[0] == SUCCESS
    code, said = ccbe(tmp_path, "retry", "--failing")
    assert (code, said[:2]) == (SUCCESS, "1 ")


def test_what_is_dropped_is_not_found_and_not_known_until_it_comes_again(gateway: Nextcloud, tmp_path: Path) -> None:
    assert gateway.found("alice") == {ONE}
    until(tmp_path, "indexed", "show", ONE)
    assert ccbe(tmp_path, "drop", ONE)[0] != SUCCESS, "nobody agreed"
    assert ccbe(tmp_path, "drop", ONE, "--yes")[0] == SUCCESS
    until(tmp_path, "nothing is known", "show", ONE)
    assert gateway.found("alice") == set()
    gateway.load(part(ONE))
    until(tmp_path, "indexed", "show", ONE)
    assert gateway.found("alice") == {ONE}


def test_a_folder_without_a_gateway_is_explained(tmp_path: Path) -> None:
    assert "no gateway has run" in ccbe(tmp_path, "list")[1]


# ---------------------------------------------------------------------- rules


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules.toml"


SKIP_ARCHIVES = '[[rule]]\nindex = false\npath = "Archive/*"\n'


def test_a_rule_keeps_a_source_out_and_takes_its_old_version_away(tmp_path: Path, rules: Path) -> None:
    rules.write_text(SKIP_ARCHIVES)
    with running_gateway(make_settings(tmp_path, index_rules=rules), ReferenceDriver()) as nextcloud:
        answer = nextcloud.load(part(ONE), part(TWO, title="files/Archive/whale.md")).json()
        assert answer == {"loaded_sources": [ONE], "sources_to_retry": []}
        assert nextcloud.found("alice") == {ONE}
        until(tmp_path, "rule 1 of the admin", "show", TWO)
        nextcloud.load(part(ONE, title="files/Archive/moved.md", modified=1_800_000_000))
        assert nextcloud.found("alice") == set()
        until(tmp_path, "2 skipped", "list")


def test_new_rules_decide_about_what_is_stored_already(tmp_path: Path, rules: Path) -> None:
    driver = ReferenceDriver()
    with running_gateway(make_settings(tmp_path), driver) as nextcloud:
        nextcloud.load(part(ONE), part(TWO, title="files/Archive/whale.md"))
        assert nextcloud.found("alice") == {ONE, TWO}
    rules.write_text(SKIP_ARCHIVES)
    with running_gateway(make_settings(tmp_path, index_rules=rules), driver) as nextcloud:
        until(tmp_path, "rule 1 of the admin", "show", TWO)
        assert nextcloud.found("alice") == {ONE}
    with running_gateway(make_settings(tmp_path), driver) as nextcloud:
        until(tmp_path, "the rules want it now", "show", TWO)
        nextcloud.load(part(TWO, title="files/Archive/whale.md"))
        assert nextcloud.found("alice") == {ONE, TWO}


def test_rules_about_readers_decide_when_a_source_comes(tmp_path: Path, rules: Path) -> None:
    driver = ReferenceDriver()
    with running_gateway(make_settings(tmp_path), driver) as nextcloud:
        nextcloud.load(part(ONE, users=["guest-1"]))
    rules.write_text('[[rule]]\nindex = false\nreaders = "guest-*"\n')
    with running_gateway(make_settings(tmp_path, index_rules=rules), driver) as nextcloud:
        nextcloud.load(part(TWO, users=["guest-1"]), part(THREE, users=["guest-1", "alice"]))
        until(tmp_path, "skipped", "show", TWO)
        assert nextcloud.found("guest-1") == {ONE, THREE}
