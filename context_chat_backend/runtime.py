"""Puts the parts together: settings in, a running gateway out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from pydantic_settings import BaseSettings

from .answer import Answerer, AnswerSettings, Extractive, Generator, NextcloudText, OpenAIChat
from .contract import Driver, Misconfigured
from .layers import LayerSettings, compose
from .layers.startup import Startup
from .metrics import Metrics
from .nextcloud.lifecycle import Lifecycle
from .nextcloud.ocs import OcsClient
from .ordering import HeldActions
from .registry import driver_factory
from .service import ContextChat
from .settings import Settings
from .state import State


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the HTTP front end needs."""

    settings: Settings
    chat: ContextChat
    lifecycle: Lifecycle
    metrics: Metrics


def make_driver(settings: Settings) -> Driver:
    """The driver that `RAG_BACKEND` names, not opened. Raises `Misconfigured`."""
    name = settings.rag_backend
    return driver_factory(name)(settings.app_persistent_storage / "backends" / name)


def layer_settings(backend: str) -> LayerSettings:
    """The layers' settings of a backend, e.g. `BUILTIN_ATTEMPTS`."""
    return LayerSettings(_env_prefix=f"{backend.upper().replace('-', '_')}_")


@asynccontextmanager
async def open_gateway(settings: Settings, driver: Driver, metrics: Metrics) -> AsyncIterator[Gateway]:
    """Run a gateway around a driver that is not opened yet; it keeps trying to open it."""
    layers = layer_settings(settings.rag_backend)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(State(settings.app_persistent_storage / "state.db"))
        ocs = await stack.enter_async_context(OcsClient(settings)) if settings.nextcloud_url else None
        generator = await _open_generator(stack, AnswerSettings(), ocs)
        layered = compose(driver, backend=settings.rag_backend, settings=layers, state=state, metrics=metrics)
        chat = ContextChat(
            await stack.enter_async_context(Startup(layered)),
            held=HeldActions(state, settings.action_hold_secs),
            answerer=Answerer(generator),
            metrics=metrics,
            parallel_loads=layers.max_inflight_upserts,
            load_deadline=settings.load_deadline_secs,
            action_wait=settings.action_wait_secs,
        )
        await stack.enter_async_context(chat)
        lifecycle = await stack.enter_async_context(Lifecycle(state, chat, ocs))
        yield Gateway(settings=settings, chat=chat, lifecycle=lifecycle, metrics=metrics)


async def _open_generator(stack: AsyncExitStack, settings: AnswerSettings, ocs: OcsClient | None) -> Generator:
    match settings.generator, settings.llm_base_url, ocs:
        case (("auto" | "openai"), str(base_url), _):
            return OpenAIChat(await stack.enter_async_context(_llm_client(base_url, settings)), settings)
        case (("auto" | "nextcloud"), _, OcsClient()):
            return NextcloudText(ocs, settings)
        case "nextcloud", _, None:
            raise Misconfigured("CC_GENERATOR=nextcloud needs NEXTCLOUD_URL")
        case _:
            return Extractive()


def _llm_client(base_url: str, settings: AnswerSettings) -> httpx.AsyncClient:
    key = settings.llm_api_key
    return httpx.AsyncClient(
        base_url=base_url.rstrip("/") + "/",
        timeout=httpx.Timeout(settings.timeout, connect=10),
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
    )


SETTINGS: tuple[type[BaseSettings], ...] = (Settings, AnswerSettings, LayerSettings)
"""Settings classes of the core, in the order of docs/configuration.md."""
