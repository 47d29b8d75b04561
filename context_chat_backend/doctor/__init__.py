"""The doctor: looks at everything that a gateway needs and says what is wrong and what to do about it."""

from collections.abc import AsyncIterator, Mapping

from anyio import to_thread

from ..contract import Finding, Misconfigured
from ..gateway import Plan, plan_gateway
from ..settings import Settings
from ..storage import state_file
from ..toolkit.settings import read_settings
from . import answers, backend, host, nextcloud, reranking, sources, storage, tunnel
from .findings import Check, failure, guarded, ok


async def examine(variables: Mapping[str, str]) -> AsyncIterator[Finding]:
    """What there is to say about the gateway that these variables describe, subject by subject.

    It stores no document and changes none. Where no gateway is running it opens the backend as a start of the gateway
    would, which creates what the backend needs (persistent storage, embedded database, index) if it is not there yet.
    """
    try:
        settings = read_settings(Settings, variables)
    except Misconfigured as error:
        yield failure("settings", error)
        return
    try:
        plan = plan_gateway(settings, variables)
    except Misconfigured as error:
        yield failure("settings", error)
        checks = _gateway_checks(settings)
    else:
        role = "" if settings.app_role is None else f", APP_ROLE={settings.app_role}"
        yield ok("settings", f"complete, RAG_BACKEND={settings.rag_backend}{role}")
        checks = _gateway_checks(settings) | _plan_checks(plan, variables)
    for subject, check in checks.items():
        for finding in await guarded(subject, check):
            yield finding


def _gateway_checks(settings: Settings) -> dict[str, Check]:
    folder = settings.app_persistent_storage

    async def check_host() -> list[Finding]:
        return [host.open_files_finding(host.most_open_files()), *host.secret_findings(settings)]

    async def check_tunnel() -> list[Finding]:
        return tunnel.tunnel_findings(settings)

    return {
        "host": check_host,
        "HaRP": check_tunnel,
        "storage": lambda: to_thread.run_sync(storage.check_storage, folder),
        "state.db": lambda: storage.check_state(state_file(folder)),
        "Nextcloud": lambda: nextcloud.check_nextcloud(settings),
    }


def _plan_checks(plan: Plan, variables: Mapping[str, str]) -> dict[str, Check]:
    return {
        "sources": lambda: sources.check_sources(plan, variables),
        "backend": lambda: backend.check_backend(plan),
        "answers": lambda: answers.check_answers(plan),
        "reranking": lambda: reranking.check_reranking(plan),
    }
