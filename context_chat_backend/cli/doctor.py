"""The doctor: looks at everything that a gateway needs and says what is wrong and what to do about it."""

import shutil
import sqlite3
import tempfile
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

import anyio
import httpx
from anyio import to_thread

from ..contract import (
    Capabilities,
    Driver,
    DriverError,
    Finding,
    Level,
    Misconfigured,
    NotFound,
    TransientError,
    Unavailable,
)
from ..core.state import State
from ..core.switching import require_admitted
from ..gateway import Plan, plan_gateway
from ..nextcloud.client import OcsClient
from ..retrieval.settings import AnswerSettings
from ..settings import Settings
from ..storage import claimed_storage
from ..toolkit.http import json_object, translate_errors
from ..toolkit.settings import read_settings
from .cache_tools import open_state, state_file

MIB = 2**20
LITTLE_DISK_MIB = 2048
NO_DISK_MIB = 256
"""One request of Nextcloud brings up to 200 MB of uploads."""
MOST_CLOCK_SECONDS = 60
BACKEND_SECONDS = 180
"""For opening the driver and its check; the first start of an embedded database takes some seconds."""
HTTP_SECONDS = 15
GOOD_SECRET = 32

Check = Callable[[], Awaitable[Sequence[Finding]]]


async def examine() -> AsyncIterator[Finding]:
    """What there is to say about the gateway that the environment describes, subject by subject.

    It writes nothing to any store. Where no gateway runs it opens the backend as a start of the gateway would, which
    creates the persistent storage and an embedded database if they are not there yet.
    """
    try:
        settings = read_settings(Settings)
    except Misconfigured as error:
        yield _failure("settings", error)
        return
    if len(settings.app_secret.get_secret_value()) < GOOD_SECRET:
        text = f"APP_SECRET is shorter than {GOOD_SECRET} characters: whoever reaches the port can try to guess it"
        yield _warning("settings", text, "Register the app again with a long random secret; AppAPI makes them itself.")
    try:
        plan = plan_gateway(settings)
    except Misconfigured as error:
        yield _failure("settings", error)
        checks = _gateway_checks(settings)
    else:
        yield _ok("settings", f"complete, RAG_BACKEND={settings.rag_backend}")
        checks = _gateway_checks(settings) | _plan_checks(plan)
    for subject, check in checks.items():
        for finding in await guarded(subject, check):
            yield finding


def _gateway_checks(settings: Settings) -> dict[str, Check]:
    return {
        "storage": lambda: to_thread.run_sync(check_storage, settings.app_persistent_storage),
        "state.db": lambda: check_state(settings.app_persistent_storage / "state.db"),
        "Nextcloud": lambda: check_nextcloud(settings),
    }


def _plan_checks(plan: Plan) -> dict[str, Check]:
    return {
        "backend": lambda: check_backend(plan),
        "answers": lambda: check_answers(plan),
    }


async def guarded(subject: str, check: Check) -> Sequence[Finding]:
    """What the check finds; if it raises, that is the finding."""
    try:
        return await check()
    except DriverError as error:
        return [_failure(subject, error)]
    except Exception as error:  # noqa: BLE001 - the doctor goes on with the next subject whatever happens
        return [_bug(subject, error)]


# ---------------------------------------------------------------------- storage


def check_storage(folder: Path) -> list[Finding]:
    """The folder can be written and has room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"APP_PERSISTENT_STORAGE: {folder} cannot be written: {error.strerror}"
        return [_error("storage", text, "Give the folder to the account that runs the gateway, or name another one.")]
    return [_ok("storage", f"{folder} can be written"), disk_finding(shutil.disk_usage(folder).free // MIB)]


def disk_finding(free_mib: int) -> Finding:
    """What this much free space means."""
    text = f"{free_mib:,} MiB free"
    cure = "Make room, or put the persistent storage on a larger disk."
    if free_mib < NO_DISK_MIB:
        return _error("disk", f"{text}: uploads will fail", cure)
    if free_mib < LITTLE_DISK_MIB:
        return _warning("disk", f"{text}: uploads and an embedded database need more", cure)
    return _ok("disk", text)


async def check_state(file: Path) -> list[Finding]:
    """What the gateway remembers can be read; a gateway may use it meanwhile."""
    if not await anyio.Path(file).exists():
        return [_ok("state.db", "not there yet, the first start makes it")]
    cure = (
        "Check the owner of the file. If it is damaged: stop the gateway and remove state.db*; "
        "docs/operations.md says what is lost."
    )
    try:
        async with State(file) as state:
            ((entries,),) = await state.fetch("select count(*) from upserts")
    except RuntimeError as error:
        return [_error("state.db", str(error), "Install the newer version again.")]
    except (sqlite3.Error, OSError) as error:
        return [_error("state.db", f"{file} cannot be used: {error}", cure)]
    return [_ok("state.db", f"opens, {entries:,} entries in the upsert cache")]


# ---------------------------------------------------------------------- backend


async def check_backend(plan: Plan) -> Sequence[Finding]:
    """A gateway that runs is asked how its backend is; else the backend is opened here.

    The rule: what a driver calls exclusive has one user at a time, which is whoever holds the lock on the storage. An
    embedded database is of this kind. A store that others may use, too, is opened in any case.
    """
    settings, driver = plan.settings, plan.driver
    with _claim(settings.app_persistent_storage) as free:
        if free:
            running = _ok("gateway", "none is running on this storage")
            return [running, *await open_backend(settings, driver)]
        served = await guarded("gateway", lambda: ask_gateway(settings))
        if driver.capabilities.exclusive:
            return [*served, _capabilities_finding(driver.capabilities), _not_opened()]
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
                opened = [_ok("backend", f"{name} opens and answers"), _capabilities_finding(driver.capabilities)]
                switched = await guarded("backend", lambda: check_switch(settings, driver.identity))
                return [*opened, *switched, *await guarded("backend", driver.check)]
    except TimeoutError as error:
        raise Unavailable(f"RAG_BACKEND={name} did not answer within {BACKEND_SECONDS} s") from error


async def check_switch(settings: Settings, identity: str) -> Sequence[Finding]:
    """Raises `Misconfigured` where a gateway would refuse this data. Changes nothing of what is remembered."""
    if state_file(settings).exists():
        async with open_state(settings) as state:
            await require_admitted(state, identity)
    return []


def _capabilities_finding(declared: Capabilities) -> Finding:
    size = declared.max_source_bytes
    parts = [
        f"answers {_yes_or_no(declared.answers)}",
        f"inventory {_yes_or_no(declared.inventory)}",
        f"upsert cache {'on' if declared.exclusive else 'off, because others may write to the store'}",
        f"writes visible {f'after {declared.settle_seconds:g} s' if declared.settle_seconds else 'at once'}",
        "sources of any size" if size is None else f"sources up to {size // MIB} MiB",
        "any type" if declared.mime_types is None else f"{len(declared.mime_types)} types",
    ]
    return _ok("capabilities", ", ".join(parts))


def _not_opened() -> Finding:
    text = "not opened here, because the running gateway has its store for itself; stop that to have it looked at"
    return _ok("backend", text)


async def ask_gateway(settings: Settings) -> list[Finding]:
    """What the running gateway answers to a readiness probe."""
    url, transport = _address(settings)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=HTTP_SECONDS, trust_env=False) as client:
        try:
            response = await client.get("/health/ready")
        except httpx.RequestError as error:
            return [
                _error(
                    "gateway",
                    f"the storage is in use, but nothing answers at {url}: {type(error).__name__}",
                    "Check that APP_HOST and APP_PORT are those of the running gateway. It may be starting, or a "
                    "`ccbe cache` command may be at work.",
                )
            ]
    if response.status_code == httpx.codes.OK:
        return [_ok("gateway", f"is running at {url}, and its backend serves")]
    problem = str(json_object(response).get("status", response.status_code))
    cure = "See its log: the line that says why the backend cannot be opened names the cause."
    return [_error("gateway", f"is running at {url}, but its backend is {problem}", cure)]


def _address(settings: Settings) -> tuple[str, httpx.AsyncHTTPTransport | None]:
    """Where a gateway with these settings listens, as in `ccbe serve`."""
    if settings.hp_shared_key is not None:
        return "http://localhost", httpx.AsyncHTTPTransport(uds=str(settings.hp_exapp_sock))
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only looked up
    host = everywhere.get(settings.app_host, settings.app_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.app_port}", None


# ---------------------------------------------------------------------- Nextcloud


async def check_nextcloud(settings: Settings) -> list[Finding]:
    """It can be reached, knows this app, and has a Context Chat that speaks to it."""
    if settings.nextcloud_url is None:
        cure = "Set NEXTCLOUD_URL to its address."
        return [_warning("Nextcloud", "NEXTCLOUD_URL is not set: the start is not reported to it", cure)]
    findings = await server_findings(settings.nextcloud_url)
    async with OcsClient(settings) as ocs:
        return [*findings, *await app_findings(ocs)]


async def server_findings(url: str) -> list[Finding]:
    """Its public status page: version, maintenance, clock. Raises a `DriverError` where it cannot be read."""
    async with httpx.AsyncClient(timeout=HTTP_SECONDS) as client:
        with translate_errors():
            response = await client.get(f"{url}/status.php")
            response.raise_for_status()
    status = json_object(response)
    version = status.get("versionstring") or "(version hidden)"
    findings = [_ok("Nextcloud", f"{version} answers")]
    if status.get("maintenance") or status.get("needsDbUpgrade"):
        text = f"{version} is in maintenance: it sends nothing and takes nothing"
        findings = [_warning("Nextcloud", text, "End the maintenance or the upgrade with occ.")]
    return [*findings, *clock_findings(response.headers.get("Date", ""), datetime.now(UTC))]


def clock_findings(date: str, now: datetime) -> list[Finding]:
    """Compares a `Date` header with our clock; nothing where there is none."""
    try:
        seconds = abs((parsedate_to_datetime(date) - now).total_seconds())
    except (ValueError, TypeError):  # unreadable, or without a zone
        return []
    if seconds <= MOST_CLOCK_SECONDS:
        return [_ok("clock", f"differs by {seconds:.0f} s from Nextcloud's")]
    cure = "Have both machines set their clocks by NTP."
    return [_warning("clock", f"differs by {seconds:,.0f} s from Nextcloud's", cure)]


async def app_findings(ocs: OcsClient) -> list[Finding]:
    """What AppAPI says of this app. One call only if it refuses: AppAPI counts wrong secrets."""
    try:
        enabled = await ocs.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
    except Misconfigured as error:
        cure = "Register the app with the same APP_ID and APP_SECRET, see README.md."
        return [_error("AppAPI", str(error), cure)]
    except NotFound as error:
        return [_error("AppAPI", str(error), "Install and enable the app AppAPI in Nextcloud.")]
    if not enabled:
        text = "knows this app, which is disabled: nothing is sent"
        return [_warning("AppAPI", text, f"occ app_api:app:enable {ocs.app_id}")]
    return [_ok("AppAPI", "knows this app, which is enabled"), await generation_finding(ocs)]


async def generation_finding(ocs: OcsClient) -> Finding:
    """Which contract Context Chat speaks. The probe asks for no item, so it takes none away."""
    try:
        await ocs.call("GET", "/ocs/v2.php/apps/context_chat/queues/actions/", params={"n": 0})
    except NotFound:
        return _ok("Context Chat", "not installed, or 5.3 and earlier, which send everything to the gateway")
    except DriverError as error:
        return _warning("Context Chat", f"does not tell its version: {error}", "Ask again later.")
    text = "is 5.4 or later, which this version of the gateway does not speak: nothing arrives"
    return _error("Context Chat", text, "Install Context Chat 5.3.")


# ---------------------------------------------------------------------- answers


async def check_answers(plan: Plan) -> list[Finding]:
    """Who writes answers from documents, and who answers questions without them."""
    findings = await check_generator(plan.settings, plan.answers)
    if plan.driver.capabilities.answers:
        text = "the backend writes those from documents itself; what follows is about questions without documents"
        return [_ok("answers", text), *findings]
    return findings


async def check_generator(settings: Settings, answers: AnswerSettings) -> list[Finding]:
    """Whether what writes answers can be reached."""
    match generator_of(answers, settings.nextcloud_url):
        case "openai":
            return [await language_model_finding(answers)]
        case "nextcloud":
            async with OcsClient(settings) as ocs:
                return [await text_provider_finding(ocs)]
        case "extractive" if answers.generator == "extractive":
            return [_ok("answers", "no language model: passages are shown, as CC_GENERATOR says")]
        case "extractive":
            text = "no language model is configured: answers are passages of documents, or say that there is no model"
            return [_warning("answers", text, "Set CC_LLM_BASE_URL, or NEXTCLOUD_URL, or CC_GENERATOR=extractive.")]


def generator_of(answers: AnswerSettings, nextcloud_url: str | None) -> Literal["openai", "nextcloud", "extractive"]:
    """The choice that the gateway makes at its start; a test holds the two together."""
    if answers.generator != "auto":
        return answers.generator
    if answers.llm_base_url is not None:
        return "openai"
    return "nextcloud" if nextcloud_url is not None else "extractive"


async def language_model_finding(answers: AnswerSettings) -> Finding:
    """The server answers and knows the model. Asks for the list of models, which costs no tokens."""
    key = answers.llm_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    async with httpx.AsyncClient(timeout=HTTP_SECONDS, headers=headers) as client:
        try:
            with translate_errors(not_found={404, 405}):
                response = await client.get(f"{(answers.llm_base_url or '').rstrip('/')}/models")
                response.raise_for_status()
        except NotFound:
            cure = "Ask a question to find out; check CC_LLM_BASE_URL if it fails. It usually ends in /v1."
            return _warning("answers", "the language model's server answers, but has no list of models", cure)
        except Misconfigured as error:
            return _error("answers", str(error), "Check CC_LLM_BASE_URL and CC_LLM_API_KEY.")
        except DriverError as error:
            return _error("answers", str(error), "Start the language model's server, or check CC_LLM_BASE_URL.")
    return _model_finding(answers.llm_model, response)


def _model_finding(model: str, response: httpx.Response) -> Finding:
    match json_object(response):
        case {"data": [*listed]}:
            names = {item.get("id") for item in listed if isinstance(item, dict)}
        case _:
            names = set()
    if model in names:
        return _ok("answers", f"the language model {model} is there")
    text = f"the language model's server does not list {model}"
    return _warning("answers", text, "Set CC_LLM_MODEL to a name that the server knows; some take names not listed.")


async def text_provider_finding(ocs: OcsClient) -> Finding:
    """Nextcloud has an app that provides text processing. Not all versions tell an app that asks for no user."""
    try:
        data = await ocs.call("GET", "/ocs/v2.php/taskprocessing/tasktypes")
    except TransientError as error:
        return _error("answers", str(error), "Check NEXTCLOUD_URL, or set CC_LLM_BASE_URL.")
    except DriverError:
        return _ok("answers", "Nextcloud's text model writes them; whether there is one shows at the first question")
    match data:
        case {"types": {"core:text2text": _}}:
            return _ok("answers", "Nextcloud has a text model")
        case _:
            cure = "Install an app that provides text processing, or set CC_LLM_BASE_URL, or CC_GENERATOR=extractive."
            return _error("answers", "Nextcloud has no text model", cure)


# ---------------------------------------------------------------------- findings


def _ok(subject: str, text: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, text=text)


def _warning(subject: str, text: str, cure: str) -> Finding:
    return Finding(level=Level.WARNING, subject=subject, text=text, cure=cure)


def _error(subject: str, text: str, cure: str) -> Finding:
    return Finding(level=Level.ERROR, subject=subject, text=text, cure=cure)


def _failure(subject: str, error: DriverError) -> Finding:
    match error:
        case Misconfigured():
            cure = "Do what the message says; docs/configuration.md explains variables, docs/backends the backends."
        case TransientError():
            cure = "Check that it runs and that this machine reaches it. A gateway keeps trying by itself."
        case _:
            cure = "See the message."
    return _error(subject, str(error), cure)


def _bug(subject: str, error: Exception) -> Finding:
    # without the message, which may hold a password
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"the check failed: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return _error(subject, text, "This is a mistake in the gateway or in the driver: please report it.")


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
