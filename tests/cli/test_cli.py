"""The command line as a user meets it."""

import json
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Set
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from context_chat_backend.cli import COMMANDS, main
from context_chat_backend.cli.cache_tools import BATCH
from context_chat_backend.cli.command import CANNOT_START, FAILURE, INTERRUPTED, SUCCESS
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import ProviderId, SourceId, StoredVersion
from context_chat_backend.core.state import State
from context_chat_backend.core.switching import note_backend
from context_chat_backend.storage import claimed_storage
from tests.cli.running import run, run_process

T = TypeVar("T")

GATEWAY = {"APP_SECRET": "hidden-secret", "RAG_BACKEND": "reference"}


def test_the_backends_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    assert {"builtin", "reference"} <= set(capsys.readouterr().out.split())


def test_conform_prints_a_table_and_succeeds(tmp_path: Path) -> None:
    done = run_process("conform", "reference", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed, " in done.stdout
    assert done.stdout.count("\npass") >= 25


def test_a_typo_in_the_name_of_a_backend_is_explained(tmp_path: Path) -> None:
    done = run_process("conform", "refrence", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'reference'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "APP_SECRET"),
        ({"APP_SECRET": "x"}, "APP_SECRET"),
        ({"APP_SECRET": "hidden-secret", "APP_PORT": "many"}, "APP_PORT"),
        ({"APP_SECRET": "hidden-secret", "NEXTCLOUD_URL": "cloud.example.org"}, "NEXTCLOUD_URL"),
        ({"APP_SECRET": "hidden-secret", "CCB_DB_URL": "mysql://user:hidden-password@host/db"}, "CCB_DB_URL"),
        ({"APP_SECRET": "hidden-secret", "CC_EM_BASE_URL": "nonsense"}, "CC_EM_BASE_URL"),
        ({"APP_SECRET": "hidden-secret", "BUILTIN_ATTEMPTS": "0"}, "BUILTIN_ATTEMPTS"),
        ({"APP_SECRET": "hidden-secret", "CC_GENERATOR": "openai"}, "CC_LLM_BASE_URL"),
        ({"APP_SECRET": "hidden-secret", "RAG_BACKEND": "bultin"}, "builtin"),
    ],
)
def test_wrong_settings_stop_the_start_and_are_named(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    done = run("serve", cwd=tmp_path, **environment)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden-" not in done.stderr


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RAG_BACKEND=fromfile\nAPP_SECRET=hidden-secret\n")
    assert "RAG_BACKEND=fromfile" in run("serve", cwd=tmp_path).stderr
    assert "RAG_BACKEND=fromenv" in run("serve", cwd=tmp_path, RAG_BACKEND="fromenv").stderr


@pytest.mark.parametrize(("words", "does"), [(["serve"], "run the gateway"), (["cache", "prune"], "remove entries")])
def test_the_help_of_a_command_says_what_it_does(
    words: list[str], does: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert does in capsys.readouterr().out


def test_help_tells_the_commands_and_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(f"\n    {command.name}" in told for command in COMMANDS)
    assert all(re.search(rf"\b{status} ", told) for status in (SUCCESS, FAILURE, CANNOT_START, INTERRUPTED))


# ------------------------------------------------------------------ what is remembered


def write_a_newer_state(file: Path) -> None:
    db = sqlite3.connect(file)
    db.execute("pragma user_version = 1000")
    db.close()


def write_a_damaged_state(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)


UNUSABLE = [(write_a_newer_state, "newer version"), (write_a_damaged_state, "state.db")]


@pytest.mark.parametrize(("write", "said"), UNUSABLE)
@pytest.mark.parametrize(
    "command", [["serve"], ["cache", "clear", "--yes"], ["cache", "stats"], ["accept-backend", "--yes"]]
)
def test_a_state_that_cannot_be_used_ends_a_command_in_one_line(
    tmp_path: Path, command: list[str], write: Callable[[Path], None], said: str
) -> None:
    (tmp_path / "persistent_storage").mkdir()
    write(tmp_path / "persistent_storage" / "state.db")
    done = run(*command, cwd=tmp_path, APP_PORT="0", **GATEWAY)
    assert done.returncode == CANNOT_START, done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("write", "said"), UNUSABLE)
def test_check_finds_a_state_that_cannot_be_used(tmp_path: Path, write: Callable[[Path], None], said: str) -> None:
    (tmp_path / "persistent_storage").mkdir()
    write(tmp_path / "persistent_storage" / "state.db")
    done = run("check", "--json", cwd=tmp_path, **GATEWAY)
    assert done.returncode == FAILURE, done.stderr
    (finding,) = [each for each in json.loads(done.stdout) if each["subject"] == "state.db"]
    assert finding["level"] == "error"
    assert said in finding["text"]
    assert "the check failed" not in finding["text"]


# ------------------------------------------------------------------ the upsert cache


class Stored(ReferenceDriver):
    """Lists more than one batch; on demand an admin presses Ctrl-C in the middle of the second."""

    ITEMS = BATCH + 10

    def __init__(self, *, interrupted: bool = False) -> None:
        super().__init__()
        self.interrupted = interrupted

    @property
    def identity(self) -> str:
        return "always the same"

    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        for item in range(skip, self.ITEMS):
            if self.interrupted and item == BATCH + 3:
                signal.raise_signal(signal.SIGINT)
                await anyio.sleep_forever()
            yield StoredVersion(
                source_id=SourceId(f"files__default: {item}"),
                provider=ProviderId("files__default"),
                title="",
                mime_type="text/plain",
                modified=1,
                sha256="0" * 64,
                user_ids=None,
            )


@pytest.fixture
def gateway_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of a gateway in this process."""
    monkeypatch.chdir(tmp_path)
    for name, value in GATEWAY.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def use_driver(gateway_env: pytest.MonkeyPatch, driver: Stored) -> None:
    gateway_env.setattr("context_chat_backend.gateway.make_driver", lambda *_: driver)


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_keeps_what_is_seeded_and_the_next_run_goes_on(
    gateway_env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_driver(gateway_env, Stored(interrupted=True))
    with pytest.raises(SystemExit) as exit_:
        main(["cache", "seed"])
    assert exit_.value.code == 130
    assert f"stopped after {BATCH}" in capsys.readouterr().err
    use_driver(gateway_env, Stored())
    assert main(["cache", "seed"]) == 0
    assert f"10 entries written, after {BATCH} of an interrupted run" in capsys.readouterr().out
    assert main(["cache", "stats"]) == 0
    stats = capsys.readouterr().out
    assert "always the same" in stats
    assert f"{Stored.ITEMS} entries" in stats


@pytest.mark.parametrize("tool", ["seed", "import", "prune"])
def test_a_running_gateway_refuses_the_tools_that_would_race_with_it(tmp_path: Path, tool: str) -> None:
    (tmp_path / "cache.json").write_text("{}")
    with claimed_storage(tmp_path / "persistent_storage"):
        done = run("cache", tool, cwd=tmp_path, R2R_UPSERT_CACHE_PATH="cache.json", **GATEWAY)
        assert done.returncode == 2
        assert "Stop the gateway first" in done.stderr
        assert "would be wrong" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_cache_can_be_looked_at_and_cleared_while_a_gateway_runs(tmp_path: Path) -> None:
    assert run("cache", "seed", cwd=tmp_path, **GATEWAY).returncode == 0
    with claimed_storage(tmp_path / "persistent_storage"):
        stats = run("cache", "stats", cwd=tmp_path, REFERENCE_SKIP_UPSERT_META_WITHIN_SECS="0", **GATEWAY)
        assert "0 entries" in stats.stdout
        assert "identical sources 2 days, unchanged content off" in stats.stdout
        assert run("cache", "clear", "--yes", cwd=tmp_path, **GATEWAY).returncode == 0


def test_clear_asks_before_it_forgets(tmp_path: Path) -> None:
    done = run("cache", "clear", cwd=tmp_path, **GATEWAY)
    assert done.returncode == 2
    assert "--yes" in done.stderr


@pytest.mark.parametrize("environment", [{}, {"R2R_UPSERT_CACHE_PATH": ""}, {"R2R_UPSERT_CACHE_PATH": "named.json"}])
def test_the_file_of_the_fork_is_found(tmp_path: Path, environment: dict[str, str]) -> None:
    named = environment.get("R2R_UPSERT_CACHE_PATH")
    file = tmp_path / named if named else tmp_path / "persistent_storage" / "r2r_upsert_cache.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"0" * 64: {"ts": 1, "doc_id": "x", "filename": "files__default:1"}, "bad": 1}))
    done = run("cache", "import", cwd=tmp_path, **GATEWAY, **environment)
    assert done.stdout == "0 taken over, 1 not in this backend, 0 with different content, 1 unreadable\n", done.stderr


def test_a_bad_file_of_the_fork_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"a"')
    done = run("cache", "import", "bad.json", cwd=tmp_path, **GATEWAY)
    assert done.returncode == 2
    assert "bad.json is not JSON" in done.stderr
    assert not (tmp_path / "persistent_storage").exists()


def test_a_backend_without_inventory_is_explained(tmp_path: Path) -> None:
    done = run("cache", "seed", cwd=tmp_path, **{**GATEWAY, "RAG_BACKEND": "builtin"})
    assert done.returncode == 2
    assert "cannot list what it stores" in done.stderr


# ------------------------------------------------------------------ a backend that comes back


ACCEPT = ["accept-backend", "--yes"]


@pytest.fixture
def came_back(gateway_env: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of a gateway whose backend was in use before another one."""
    driver = Stored()
    use_driver(gateway_env, driver)
    in_state(tmp_path, lambda state: note_backend(state, driver.identity))
    in_state(tmp_path, lambda state: note_backend(state, "another one"))
    return gateway_env


def in_state(folder: Path, work: Callable[[State], Awaitable[T]]) -> T:
    """The result of working on the state of a gateway in that folder."""

    async def run() -> T:
        async with State(folder / "persistent_storage" / "state.db") as state:
            return await work(state)

    return anyio.run(run)


def remembered(folder: Path) -> list[tuple[object, ...]]:
    return in_state(folder, lambda state: state.fetch("select * from flags order by name"))


@pytest.mark.usefixtures("came_back")
def test_a_backend_can_be_accepted_while_a_gateway_runs(tmp_path: Path) -> None:
    with claimed_storage(tmp_path / "persistent_storage"):
        assert run(*ACCEPT, cwd=tmp_path, **GATEWAY).returncode == 0
    in_state(tmp_path, lambda state: note_backend(state, "always the same"))


def test_nothing_is_accepted_before_somebody_agrees(
    came_back: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = remembered(tmp_path)
    came_back.setattr("sys.stdin.isatty", lambda: False)
    assert main(["accept-backend"]) == 2  # nobody is there to ask
    assert "--yes" in capsys.readouterr().err
    asked = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "n"

    came_back.setattr("sys.stdin.isatty", lambda: True)
    came_back.setattr("builtins.input", answer)
    assert main(["accept-backend"]) == 1
    assert "revoked or deleted while another one was in use" in asked[0]
    assert remembered(tmp_path) == before


def test_there_is_nothing_to_accept_where_no_gateway_ran(tmp_path: Path) -> None:
    done = run(*ACCEPT, cwd=tmp_path, **GATEWAY)
    assert done.returncode == 2
    assert "APP_PERSISTENT_STORAGE" in done.stderr
    assert not (tmp_path / "persistent_storage").exists()


@pytest.mark.usefixtures("came_back")
def test_check_says_that_a_backend_would_be_refused_and_uses_up_no_acceptance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = remembered(tmp_path)
    assert main(["check"]) == 1
    assert "always the same was in use before, then another one" in capsys.readouterr().out
    assert remembered(tmp_path) == before
    assert main(ACCEPT) == 0
    accepted = remembered(tmp_path)
    assert accepted != before
    assert main(["check"]) == 0
    assert "another one" not in capsys.readouterr().out
    assert remembered(tmp_path) == accepted


# ------------------------------------------------------------------ the doctor


def test_check_prints_findings_and_succeeds_without_errors(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path, CC_GENERATOR="extractive", **GATEWAY)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       backend          reference opens") for line in lines)
    place = next(number for number, line in enumerate(lines) if line.startswith("warning  Nextcloud"))
    assert lines[place + 1].strip().startswith("-> Set NEXTCLOUD_URL")


def test_check_fails_if_there_is_an_error(tmp_path: Path) -> None:
    done = run("check", "--json", cwd=tmp_path, APP_SECRET="hidden-secret", RAG_BACKEND="refrence")
    assert done.returncode == 1
    findings = json.loads(done.stdout)
    assert {"level", "subject", "text", "remedy"} == set(findings[0])
    assert [finding["subject"] for finding in findings if finding["level"] == "error"] == ["settings"]
    assert "hidden-" not in done.stdout + done.stderr


@pytest.mark.parametrize(("secret", "warned"), [("hidden-secret", True), ("hidden-secret" * 4, False)])
def test_check_warns_of_a_secret_that_can_be_guessed(tmp_path: Path, secret: str, warned: bool) -> None:
    done = run("check", "--json", cwd=tmp_path, APP_SECRET=secret, RAG_BACKEND="refrence")
    warnings = [finding["subject"] for finding in json.loads(done.stdout) if finding["level"] == "warning"]
    assert ("APP_SECRET" in warnings) == warned
    assert "hidden-" not in done.stdout + done.stderr


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "APP_SECRET" in done.stdout
    assert "Traceback" not in done.stderr
