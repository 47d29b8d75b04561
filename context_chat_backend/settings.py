"""Settings of the gateway itself, from the environment that AppAPI gives an ExApp and from `.env`.

Backends, layers, embeddings and answers have their own settings classes next to their code.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator

from . import __version__
from .storage import role_folder
from .toolkit.http import http_url
from .toolkit.settings import VariableSettings


def _base_url(value: str) -> str:
    return http_url(value).removesuffix("/index.php")


def _not_guessed_at_once(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(f"has to have at least {SHORTEST_SECRET} characters; AppAPI makes secrets of 128")
    return value


SHORTEST_SECRET = 4
"""Refuses what is no secret at all. Whoever tries things out may use a short one; `ccbe check` warns of it."""

NO_DEFAULT = "Array"
"""What AppAPI put into a variable that the admin left alone, until August 2026: PHP's word for an empty element."""

BaseUrl = Annotated[str, AfterValidator(_base_url)]


def environment() -> Mapping[str, str]:
    """The variables of this process, and the lines of `.env` in its working folder that it does not set itself.

    Nothing else looks there."""
    lines = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    variables = {**lines, **os.environ}
    return {name: value for name, value in variables.items() if value != NO_DEFAULT}


class Settings(VariableSettings):
    """AppAPI sets `APP_…`, `AA_…`, `HP_…` and `NEXTCLOUD_URL`; an empty variable counts as not set."""

    app_id: str = Field("context_chat_backend", description="id of the ExApp in Nextcloud")
    app_secret: Annotated[SecretStr, AfterValidator(_not_guessed_at_once)] = Field(
        description="secret shared with Nextcloud's AppAPI; treat it as a password"
    )
    app_version: str = Field(__version__, description="version that is registered in Nextcloud")
    app_display_name: str = Field("Context Chat Backend", description="name of the ExApp")
    app_host: str = Field("127.0.0.1", description="address to listen on")
    app_port: int = Field(10034, description="port to listen on", ge=0, le=65535)
    app_persistent_storage: Path = Field(
        Path("persistent_storage"),
        description="folder for the database, the logs and what is remembered; each role has one of its own in it",
    )
    app_role: Literal["requestproc", "updatesproc", "indexing"] | None = Field(
        None,
        description="set by AppAPI in Kubernetes, where each role is a container: indexing takes documents, access "
        "changes and deletions, requestproc answers questions, updatesproc does nothing; without it one does all",
    )
    aa_version: str = Field("2.2.0", description="version of AppAPI, sent back to it")
    nextcloud_url: BaseUrl | None = Field(
        None, description="base URL of Nextcloud; without it nothing is reported there"
    )
    hp_shared_key: SecretStr | None = Field(None, description="set by AppAPI when the app is reached through HaRP")
    hp_frp_address: str | None = Field(
        None, description="host of HaRP's frp server, set by AppAPI; with it and the port the gateway starts frpc"
    )
    hp_frp_port: int | None = Field(None, description="port of HaRP's frp server, set by AppAPI", ge=1, le=65535)
    hp_exapp_sock: Path = Field(Path("/tmp/exapp.sock"), description="socket to listen on behind HaRP")  # noqa: S108
    frpc_path: Path | None = Field(
        None, description="the program frpc, which connects to HaRP; looked for in PATH if this is not set"
    )

    rag_backend: str = Field("builtin", description="name of the backend driver")

    intake: Literal["auto", "push", "pull"] = Field(
        "auto",
        description="how work arrives: Context Chat up to 5.3 sends it (push), later versions have to be asked (pull); "
        "auto finds out, again and again",
    )
    media_text: bool = Field(
        True,
        description="have Nextcloud's own models read the text of images and recordings that Context Chat queues (pull "
        "only), where it has such models and the backend does not read these files itself",
    )
    index_rules: Path | None = Field(
        None,
        description="a TOML file that says what is to be indexed, by path, type, provider, size and readers; see "
        "docs/operations.md",
    )
    load_deadline_secs: PositiveFloat = Field(
        900,
        description="a /loadSources request is answered within this time, what is left has to be sent again; "
        "keep it below the time-outs of Nextcloud (3000 s) and of proxies on the way",
    )
    action_wait_secs: PositiveFloat = Field(
        300,
        description="how long an access change or deletion waits for its turn behind other work on the same sources",
    )
    action_hold_secs: PositiveFloat = Field(
        3600, description="how long a failed action holds back later ones on the same source if it is not repeated"
    )
    searches_at_once: PositiveInt = Field(
        8,
        description="questions that are searched at the same time. Each takes a thread for its embedding and a "
        "connection to the database, some hundredths of a second of CPU time; more are no faster, unless they wait for "
        "servers elsewhere",
    )
    answers_at_once: PositiveInt = Field(
        32,
        description="answers that are written at the same time, by a language model or by the backend; each is a "
        "request that is open as long as that takes",
    )
    questions_waiting: NonNegativeInt = Field(
        200,
        description="questions that wait for a search, and as many for their answer; what is more gets 503 at once. At "
        "a tenth of a second each, two cores search so many in a third of QUESTION_WAIT_SECS, and beside a scan within "
        "it",
    )
    question_wait_secs: PositiveFloat = Field(
        30, description="how long a question waits for each of both before it gets 503"
    )
    metrics_token: SecretStr | None = Field(None, description="bearer token for /metrics; without it /metrics is open")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level that is logged")
    log_file_mb: NonNegativeInt = Field(20, description="size of a log file before it is rotated, in MiB")
    log_files: NonNegativeInt = Field(5, description="rotated log files that are kept")

    @model_validator(mode="after")
    def _separate_roles(self) -> Self:
        if self.app_role is not None:
            self.app_persistent_storage = role_folder(self.app_persistent_storage, self.app_role)
        return self
