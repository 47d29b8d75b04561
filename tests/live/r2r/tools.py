"""Gateways on a real R2R."""

from collections.abc import Mapping
from typing import Any

from backends.r2r.names import Names
from backends.r2r.namespace import load_namespace
from context_chat_backend.contract import SourceId
from tests.gateway import GatewayProcess, Nextcloud
from tests.slow.test_outage import Queue, run_job
from tests.slow.tools import eventually, partition

from .server import Account, R2RServer

SECONDS = 90
"""Longer than the minute that a source waits which was sent to R2R and that R2R does not show."""


def r2r_environment(r2r: R2RServer, account: Account | None = None) -> dict[str, str]:
    """Settings of a gateway that uses this R2R, by default as its superuser."""
    account = account or r2r.admin
    return {
        "RAG_BACKEND": "r2r",
        "R2R_BASE_URL": r2r.url,
        "R2R_USER": account.email,
        "R2R_PASSWORD": account.password,
    }


def load_all(nextcloud: Nextcloud, parts: Mapping[str, bytes]) -> None:
    """Nextcloud sends again what it is asked for until all is loaded."""
    left = dict(parts)

    def is_loaded() -> bool:
        loaded, retry = partition(nextcloud, *left.values())
        assert loaded | retry == set(left)
        for source_id in loaded:
            del left[source_id]
        return not left

    eventually(is_loaded, SECONDS)


def drain(nextcloud: Nextcloud, queue: Queue) -> None:
    """Nextcloud repeats the actions that failed until all are done."""
    left = list(queue)

    def is_drained() -> bool:
        left[:] = run_job(nextcloud, left)
        return not left

    eventually(is_drained, SECONDS)


def stored(gateway: GatewayProcess, r2r: R2RServer, source_id: str) -> list[dict[str, Any]]:
    """The documents that R2R has of a source, as it describes them."""
    names = Names(load_namespace(None, gateway.folder / "backends" / "r2r"))
    ids = [str(id_) for id_ in names.documents(SourceId(source_id))]
    with r2r.login() as admin:
        documents: list[dict[str, Any]] = admin.get("/v3/documents", params={"ids": ids}).json()["results"]
    return documents
