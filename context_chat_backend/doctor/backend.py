"""The backend: opens, answers, and what it says itself; or what the running gateway says of it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import httpx

from ..contract import Driver, Finding, Inventory, Misconfigured, Unavailable
from ..core.state import State
from ..core.switching import require_admitted
from ..gateway import Plan
from ..settings import Settings
from ..storage import claimed_storage, state_file
from ..toolkit.http import json_object
from .findings import guarded, ok, problem

MIB = 2**20
BACKEND_SECONDS = 180
"""For opening the driver and its check; the first start of an embedded database takes some seconds."""
HTTP_SECONDS = 15


async def check_backend(plan: Plan) -> Sequence[Finding]:
    """A gateway that runs is asked how its backend is; else the backend is opened here.

    The rule: a store that is not shared has one user at a time, which is whoever holds the lock on the storage. An
    embedded database is of this kind. A shared store is opened in any case.
    """
    settings, driver = plan.settings, plan.driver
    with _claim(settings.app_persistent_storage) as free:
        if free:
            running = ok("gateway", "none is running on this storage")
            return [running, *await open_backend(settings, driver)]
        served = await guarded("gateway", lambda: ask_gateway(settings))
        if not driver.capabilities.shared:
            return [*served, _capabilities_finding(driver), _not_opened()]
        return [*served, *await open_backend(settings, driver)]


@contextmanager
def _claim(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the folder; it is then ours until the end, so that no gateway starts meanwhile."""
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed_storage(folder))
        except Misconfigured as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise  # the folder cannot be used at all
            yield False
        else:
            yield True


async def open_backend(settings: Settings, driver: Driver) -> Sequence[Finding]:
    """The driver opens and answers, what it says itself, and whether a gateway would use it."""
    name = settings.rag_backend
    try:
        with anyio.fail_after(BACKEND_SECONDS):
            async with driver:
                await driver.ping()
                opened = [ok("backend", f"{name} opens and answers"), _capabilities_finding(driver)]
                switched = await guarded("backend", lambda: check_switch(settings, driver.identity))
                return [*opened, *switched, *await guarded("backend", driver.check)]
    except TimeoutError as error:
        raise Unavailable(f"RAG_BACKEND={name} did not answer within {BACKEND_SECONDS} s") from error


async def check_switch(settings: Settings, identity: str) -> Sequence[Finding]:
    """Raises `Misconfigured` where a gateway would refuse this data. Changes nothing of what is remembered."""
    file = state_file(settings.app_persistent_storage)
    if file.exists():
        async with State(file) as state:
            await require_admitted(state, identity)
    return []


def _capabilities_finding(driver: Driver) -> Finding:
    declared = driver.capabilities
    size = declared.max_source_bytes
    parts = [
        f"writes answers {_yes_or_no(declared.answers)}",
        f"lists what it stores {_yes_or_no(isinstance(driver, Inventory))}",
        f"upsert cache {'off, since others may write to the store' if declared.shared else 'on'}",
        f"writes visible {f'after {declared.settle_seconds:g} s' if declared.settle_seconds else 'at once'}",
        "sources of any size" if size is None else f"sources up to {size // MIB} MiB",
        "any MIME type" if declared.mime_types is None else f"{len(declared.mime_types)} MIME types",
    ]
    return ok("capabilities", ", ".join(parts))


def _not_opened() -> Finding:
    text = "not opened here, because the running gateway has the store to itself; stop it to have the backend checked"
    return ok("backend", text)


async def ask_gateway(settings: Settings) -> list[Finding]:
    """What the running gateway answers to a readiness probe."""
    url, transport = _address(settings)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=HTTP_SECONDS, trust_env=False) as client:
        try:
            response = await client.get("/health/ready")
        except httpx.RequestError as error:
            return [
                problem(
                    "gateway",
                    f"the storage is in use, but nothing answers at {url}: {type(error).__name__}",
                    "Check that APP_HOST and APP_PORT are those of the running gateway. It may be starting, or a "
                    "`ccbe cache` command may be at work.",
                )
            ]
    if response.status_code == httpx.codes.OK:
        return [ok("gateway", f"is running at {url}, and its backend serves")]
    status = str(json_object(response).get("status", response.status_code))
    remedy = 'See its log: the line "the backend cannot be opened" names the cause.'
    return [problem("gateway", f"is running at {url}, but its backend is {status}", remedy)]


def _address(settings: Settings) -> tuple[str, httpx.AsyncHTTPTransport | None]:
    """Where a gateway with these settings listens, as in `ccbe serve`."""
    if settings.hp_shared_key is not None:
        return "http://localhost", httpx.AsyncHTTPTransport(uds=str(settings.hp_exapp_sock))
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only looked up
    host = everywhere.get(settings.app_host, settings.app_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.app_port}", None


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
