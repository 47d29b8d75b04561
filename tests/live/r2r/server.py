"""A real R2R 3.6.6 with a database and models of its own, for tests that a double cannot stand in for."""

import json
import os
import re
import secrets
import signal
import subprocess
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from psycopg.conninfo import conninfo_to_dict

from tests.gateway import free_port
from tests.slow.tools import Database

from .install import ensure_r2r
from .model_stub import ModelStub, model_stub

TOML = Path(__file__).with_name("r2r.toml")
START_SECONDS = 180
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Account:
    email: str
    password: str


class R2RDatabase(Database):
    """The embedded PostgreSQL, with what R2R wants to find in it."""

    def start(self) -> None:
        super().start()
        self.ask("create extension if not exists vector")
        # The only function that R2R uses of the modules that the embedded PostgreSQL lacks.
        self.ask(
            "create or replace function public.uuid_generate_v4() returns uuid language sql volatile"
            " return gen_random_uuid()"
        )
        # Nobody misses this data after a power failure.
        self.ask("alter system set fsync = off")
        self.ask("alter system set synchronous_commit = off")
        self.ask("select pg_reload_conf()")

    @property
    def socket_folder(self) -> str:
        return str(conninfo_to_dict(self.uri)["host"])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Statements and new connections hang, open connections stay."""
        postmaster = int((self.folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])
        stopped = [postmaster]
        try:
            _signal(stopped, signal.SIGSTOP)  # first, so that it starts no others meanwhile
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            stopped += map(int, children)
            _signal(stopped, signal.SIGSTOP)
            yield
        finally:
            _signal(stopped[::-1], signal.SIGCONT)


class R2RServer:
    """R2R in a process of its own. It keeps address, accounts, tokens and documents when it is started again."""

    def __init__(
        self,
        folder: Path,
        *,
        python: Path,
        toml: str,
        database: R2RDatabase,
        models: ModelStub,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.models = models
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        auth = tomllib.loads(toml)["auth"]
        self.admin = Account(auth["default_admin_email"], auth["default_admin_password"])
        """A superuser: without rate limits, and its search filters are used as sent."""
        self._python = python
        self._config = folder / "r2r.toml"
        self._config.write_text(toml, encoding="utf-8")
        self._secret = secrets.token_urlsafe(32)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What all starts have written."""
        return self.folder / "r2r.log"

    def start(self) -> None:
        """Returns once it serves requests. RuntimeError with the end of the log if it does not come to that."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, "-m", "r2r.serve", "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever stops it in order
            )
        self._wait_until_healthy(self._process)

    def stop(self) -> int:
        """Ask it to end and return the exit code; negative for a signal."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """It gets no chance to finish anything."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def login(self, account: Account | None = None) -> httpx.Client:
        """A client with the token of the account, by default the admin. It is the caller's to close."""
        account = account or self.admin
        form = {"username": account.email, "password": account.password}
        response = httpx.post(f"{self.url}/v3/users/login", data=form, timeout=30)
        response.raise_for_status()
        token = response.json()["results"]["access_token"]["token"]
        # After some errors R2R closes a connection without saying so: never use one again.
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, limits=limits, timeout=120)

    def ordinary_account(self) -> Account:
        """A new account that is no superuser: rate limits bind it, and R2R rewrites its search filters."""
        account = Account(f"{uuid.uuid4().hex}@example.com", secrets.token_urlsafe(16))
        body = {"email": account.email, "password": account.password}
        with self.login() as admin:
            admin.post("/v3/users", json=body).raise_for_status()
        return account

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "R2R_CONFIG_PATH": str(self._config),
            "R2R_SECRET_KEY": self._secret,  # without one it signs with a key that is in its source
            "R2R_POSTGRES_HOST": self.database.socket_folder,
            "R2R_POSTGRES_PORT": "0",  # only then R2R takes the host for the folder of a socket
            "R2R_POSTGRES_USER": "postgres",
            "R2R_POSTGRES_PASSWORD": "unused",
            "R2R_POSTGRES_DBNAME": "postgres",
            "R2R_POSTGRES_MAX_CONNECTIONS": "40",  # the embedded PostgreSQL has 50
            "OPENAI_BASE_URL": self.models.url,
            "OPENAI_API_BASE": self.models.url,
            "OPENAI_API_KEY": "unused",
            "MISTRAL_API_KEY": "unused",
            "ANTHROPIC_API_KEY": "unused",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is downloaded
        }

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"R2R did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v3/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "it was never started"
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


@contextmanager
def r2r_server(
    *, toml: Path = TOML, settings: Mapping[str, bool | int | str] | None = None, port: int | None = None
) -> Iterator[R2RServer]:
    """A running R2R with nothing in it; afterwards nothing of it is left.

    `settings` are names of the TOML that get another value wherever they occur: `require_authentication` (true in
    ours), `global_per_min`, `route_per_min` and `monthly_limit` (of accounts that are no superusers), …
    """
    python = ensure_r2r()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccbe-r2r-")))
        folder.chmod(0o755)  # the account of the embedded PostgreSQL has to pass through
        models = stack.enter_context(model_stub())
        database = R2RDatabase(folder / "postgres")
        stack.callback(database.stop)
        database.start()
        text = change_settings(toml.read_text(encoding="utf-8"), settings or {})
        server = R2RServer(folder, python=python, toml=text, database=database, models=models, port=port)
        stack.callback(server.close)
        server.start()
        yield server


def change_settings(toml: str, settings: Mapping[str, bool | int | str]) -> str:
    """The text with other values. LookupError for a name that it does not have."""
    for name, value in settings.items():
        line = re.compile(rf"^(\s*{re.escape(name)}\s*=\s*).*$", re.MULTILINE)
        if not line.search(toml):
            raise LookupError(f"the TOML does not set {name}")
        toml = line.sub(lambda found, value=value: f"{found[1]}{json.dumps(value)}", toml)  # type: ignore[misc]
    return toml


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it has ended meanwhile
