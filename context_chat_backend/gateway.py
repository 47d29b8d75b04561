"""Puts the parts together: settings in, a running gateway out."""

import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from .contract import Driver, DriverConfig, DriverError, Misconfigured
from .core.admission import Admissions
from .core.commands import Commands
from .core.ledger import Ledger
from .core.marks import Marks
from .core.ordering import Order
from .core.rules import Rules, read_rules
from .core.service import ContextChat
from .core.state import State
from .core.sweep import sweep
from .core.switching import note_backend
from .layers import LayerSettings, Probe, compose
from .layers.probes import QueueDepthProbe, QueueSettings
from .layers.writes import Writes
from .lifecycle import Lifecycle
from .metrics import Metrics
from .nextcloud.client import NextcloudClient
from .nextcloud.consumer import TaskConsumer
from .nextcloud.refusals import Refusals
from .nextcloud.text_model import NextcloudText
from .nextcloud.webhooks import Webhooks
from .pull.intake import Intake, IntakePlan
from .registry import driver_factory
from .retrieval.answer_cache import AnswerCache
from .retrieval.generators import Extractive, Generator, Prompted
from .retrieval.models import OpenAIChat, TextModel, llm_client
from .retrieval.ordering import Questions, Rerank
from .retrieval.pipeline import Stage
from .retrieval.relevance import FOR_A_MODEL, FOR_PEOPLE, RelevanceBar
from .retrieval.rerankers import make_reranker
from .retrieval.settings import AnswerSettings, RerankSettings, RetrievalSettings, StageName
from .retrieval.stages import Stages, stages_named
from .retrieval.tokens import EstimatedTokens, ModelTokens
from .roles import DUTIES, Agreement, Duties, require_suitable
from .settings import Settings
from .storage import agreement_file, backend_folder, spool_folder, state_file
from .toolkit.background import periodically, run_in_background
from .toolkit.settings import read_settings

log = logging.getLogger(__name__)

FETCHED_AHEAD = 2
"""Documents that are pulled beside those that the backend has a place for."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What front ends need."""

    plan: "Plan"
    state: State
    chat: ContextChat
    lifecycle: Lifecycle
    intake: Intake | None
    """None without a Nextcloud to ask."""
    webhooks: Webhooks
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Plan:
    """All settings read and checked, and a driver that is not opened."""

    settings: Settings
    layers: LayerSettings
    queues: QueueSettings
    answers: AnswerSettings
    retrieval: RetrievalSettings
    rerank: RerankSettings
    rules: Rules
    driver: Driver
    duties: Duties

    @property
    def upserts_at_once(self) -> int:
        """Sources that are indexed at the same time."""
        return self.layers.upserts_at_once(self.driver.capabilities)


def plan_gateway(settings: Settings, variables: Mapping[str, str], driver: Driver | None = None) -> Plan:
    """Read what `Settings` does not hold. `driver` defaults to the one of `RAG_BACKEND`. Raises `Misconfigured`."""
    answers = read_settings(AnswerSettings, variables)
    if answers.generator == "nextcloud" and settings.nextcloud_url is None:
        raise Misconfigured("CC_GENERATOR=nextcloud needs NEXTCLOUD_URL")
    retrieval, rerank = read_settings(RetrievalSettings, variables), read_settings(RerankSettings, variables)
    _require_models(retrieval, rerank, writer=answers.writer(with_nextcloud=settings.nextcloud_url is not None))
    return Plan(
        settings=settings,
        layers=read_settings(LayerSettings, variables, prefix=f"{settings.rag_backend.upper().replace('-', '_')}_"),
        queues=read_settings(QueueSettings, variables),
        answers=answers,
        retrieval=retrieval,
        rerank=rerank,
        rules=Rules() if settings.index_rules is None else read_rules(settings.index_rules),
        driver=_suitable(settings, make_driver(settings, variables) if driver is None else driver),
        duties=DUTIES[settings.app_role],
    )


def _require_models(retrieval: RetrievalSettings, rerank: RerankSettings, *, writer: str) -> None:
    if "rerank" in retrieval.stages and not rerank.is_set:
        raise Misconfigured("CC_STAGES: rerank needs CC_RERANK_BASE_URL or CC_RERANK_MODEL_PATH")
    if "questions" in retrieval.stages and writer == "extractive":
        raise Misconfigured(
            "CC_STAGES: questions needs a language model: set CC_LLM_BASE_URL or NEXTCLOUD_URL, and "
            "CC_GENERATOR to another value than extractive"
        )


def _suitable(settings: Settings, driver: Driver) -> Driver:
    if settings.app_role is not None:
        require_suitable(settings.app_role, settings.rag_backend, driver)
    return driver


def make_driver(settings: Settings, variables: Mapping[str, str]) -> Driver:
    """The driver of `RAG_BACKEND`, not opened. Raises `Misconfigured`."""
    name = settings.rag_backend
    folder = backend_folder(settings.app_persistent_storage, name)
    return driver_factory(name)(DriverConfig(folder=folder, variables=variables))


@asynccontextmanager
async def open_gateway(plan: Plan, metrics: Metrics) -> AsyncIterator[Gateway]:
    """Run a gateway; its driver is opened in the background."""
    settings, layers = plan.settings, plan.layers
    if settings.app_role is not None:
        log.info("APP_ROLE=%s: this process %s", settings.app_role, plan.duties.summary)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(State(state_file(settings.app_persistent_storage)))
        nextcloud = await stack.enter_async_context(NextcloudClient(settings)) if settings.nextcloud_url else None
        refusals = Refusals()
        webhooks = Webhooks()
        consumer = TaskConsumer(nextcloud, webhooks) if nextcloud is not None else None
        model = await _open_text_model(stack, plan.answers, consumer)
        driver, cache = _keep_answers(plan, metrics)
        layered = compose(
            driver,
            backend=settings.rag_backend,
            settings=layers,
            state=state,
            metrics=metrics,
            opened=partial(_note_store, plan, state),
            probes=await _open_probes(stack, plan.queues),
        )
        ledger = Ledger(state, metrics)
        metrics.chunks_waiting.set_function(lambda: layered.waiting)
        chat = ContextChat(
            await stack.enter_async_context(layered),
            order=Order(Marks(state, settings.action_hold_secs), patience=settings.action_wait_secs),
            ledger=ledger,
            rules=plan.rules,
            generator=_generator(model, plan.answers),
            metrics=metrics,
            admissions=Admissions.of(settings, metrics),
            stages=await _open_stages(stack, plan, model, metrics),
            cache=cache,
        )
        await chat.open()
        stack.push_async_callback(chat.close)
        commands = Commands(state, chat)
        await run_in_background(stack, ledger.run)
        lifecycle = await stack.enter_async_context(
            Lifecycle(state, chat, nextcloud, refusals, called=plan.duties.called)
        )
        intake = None
        if nextcloud is not None and consumer is not None and plan.duties.takes:
            intake = Intake(
                plan_intake(plan),
                nextcloud,
                consumer,
                chat,
                state=state,
                sources=ledger.table,
                refusals=refusals,
                enabled=lifecycle.working,
            )
            commands.add_listener(intake.obey)
            await _announce(commands)
            await run_in_background(stack, intake.run)
        if plan.duties.writes:
            await run_in_background(stack, commands.run)
            await run_in_background(stack, partial(_follow_rules, chat, ledger, plan.rules, state))
        yield Gateway(
            plan=plan,
            state=state,
            chat=chat,
            lifecycle=lifecycle,
            intake=intake,
            webhooks=webhooks,
            metrics=metrics,
        )


def plan_intake(plan: Plan) -> IntakePlan:
    """The backend has a place for some documents; the content of others is fetched meanwhile."""
    return IntakePlan(
        mode=plan.settings.intake,
        workers=plan.upserts_at_once + FETCHED_AHEAD,
        spool=spool_folder(plan.settings.app_persistent_storage),
        takes=plan.duties.takes,
        reads_media=plan.settings.media_text,
    )


def _keep_answers(plan: Plan, metrics: Metrics) -> tuple[Driver, AnswerCache | None]:
    """The driver, with a look at what is written where that is needed."""
    settings = plan.answers
    if not settings.answer_cache:
        return plan.driver, None
    if plan.driver.capabilities.shared:
        log.warning("CC_ANSWER_CACHE: off, others may write to this backend, too, and nobody would notice")
        return plan.driver, None
    writes = Writes(plan.driver)
    cache = AnswerCache(
        lambda: writes.version, metrics, most=settings.answer_cache, seconds=settings.answer_cache_seconds
    )
    return writes, cache


async def _note_store(plan: Plan, state: State, identity: str) -> None:
    if plan.settings.app_role is not None:
        await Agreement(agreement_file(plan.settings.app_persistent_storage), plan.duties).require(identity)
    await note_backend(state, identity)


async def _announce(commands: Commands) -> None:
    try:
        await commands.announce()
    except DriverError as error:  # they are carried out all the same, a little later
        log.warning("what the operator asked for is not known yet: %s", error)


async def _follow_rules(chat: ContextChat, ledger: Ledger, rules: Rules, state: State) -> None:
    async def follow() -> None:
        await chat.until_usable()
        await sweep(chat, ledger.table, rules, state)

    await periodically("following the rules of the admin", follow, math.inf, first=0, pause=30, longest=1800)


async def _open_probes(stack: AsyncExitStack, settings: QueueSettings) -> Sequence[Probe]:
    if settings.health_url is None:
        return ()
    return (await stack.enter_async_context(QueueDepthProbe(settings)),)


async def _open_text_model(
    stack: AsyncExitStack, settings: AnswerSettings, consumer: TaskConsumer | None
) -> TextModel | None:
    match settings.writer(with_nextcloud=consumer is not None), consumer:
        case "openai", _:
            return OpenAIChat(await stack.enter_async_context(llm_client(settings)), settings)
        case "nextcloud", TaskConsumer():
            return NextcloudText(consumer, settings)
        case _:
            return None


def _generator(model: TextModel | None, settings: AnswerSettings) -> Generator:
    tokens = EstimatedTokens() if settings.llm_tokenizer is None else ModelTokens(settings.llm_tokenizer)
    bar = None if settings.least_relevance is None else RelevanceBar(settings.least_relevance)
    return Extractive(bar or FOR_PEOPLE) if model is None else Prompted(model, tokens, bar or FOR_A_MODEL)


async def _open_stages(stack: AsyncExitStack, plan: Plan, model: TextModel | None, metrics: Metrics) -> Stages:
    names = plan.retrieval.stages
    ordering: dict[StageName, Stage] = {}
    if "rerank" in names:
        reranker = await stack.enter_async_context(make_reranker(plan.rerank))
        ordering["rerank"] = partial(Rerank, reranker=reranker, settings=plan.rerank, metrics=metrics)
    if "questions" in names and model is not None:
        ordering["questions"] = partial(Questions, model=model, settings=plan.retrieval, metrics=metrics)
    return stages_named(names, ordering)
