"""What may hold uploads back: a backend that answers slowly, full queues behind it."""

import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol, Self

import anyio
import httpx
from pydantic import BaseModel, Field, NonNegativeInt, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from ..contract import Driver, DriverError, Misconfigured, Unavailable
from ..toolkit.http import HttpAddress, json_model, translate_errors
from ..toolkit.settings import VariableSettings

log = logging.getLogger(__name__)


class Probe(Protocol):
    """Tells whether the backend should get more work."""

    async def reason_to_wait(self) -> str | None:
        """A short text for the log, or None when there is nothing against it."""


class LatencyProbe:
    """Exponentially weighted moving average of the time a ping takes, measured at most every few seconds."""

    WEIGHT = 0.3
    INTERVAL = 5.0

    def __init__(self, driver: Driver, max_rtt_ms: float) -> None:
        self._driver = driver
        self._max_rtt_ms = max_rtt_ms
        self._average_ms: float | None = None
        self._measured_at = float("-inf")

    async def reason_to_wait(self) -> str | None:
        if anyio.current_time() - self._measured_at >= self.INTERVAL:
            await self._measure()
        if self._average_ms is None or self._average_ms <= self._max_rtt_ms:
            return None
        return f"the backend answers in {self._average_ms:.0f} ms, the limit is {self._max_rtt_ms:.0f} ms"

    async def _measure(self) -> None:
        start = anyio.current_time()
        self._measured_at = start
        await self._driver.ping()
        milliseconds = (anyio.current_time() - start) * 1000
        previous = milliseconds if self._average_ms is None else self._average_ms
        self._average_ms = self.WEIGHT * milliseconds + (1 - self.WEIGHT) * previous


class QueueSettings(VariableSettings):
    """Read from variables that begin with `QUEUE_`. Without `health_url` there is no probe."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_")

    health_url: HttpAddress | None = Field(
        None, description="RabbitMQ's management API without `/api`, e.g. `http://rabbitmq:15672`; unset: off"
    )
    health_user: str | None = Field(
        None,
        description="a user of RabbitMQ with the tag `management` who may access the virtual host of the queues; empty "
        "permissions (`^$`) are enough",
    )
    health_password: SecretStr | None = Field(None, description="password of that user")
    max_messages: NonNegativeInt = Field(
        0, description="no new sources while all queues together have more messages, ready or unacknowledged; 0: off"
    )
    max_per_consumer: NonNegativeInt = Field(
        0,
        description="no new sources while a queue has more messages per consumer, or messages and no consumer at all; "
        "streams and queues that only delay messages count too; 0: off",
    )

    @model_validator(mode="after")
    def _something_to_ask_for(self) -> Self:
        if self.health_url is not None and not (self.max_messages or self.max_per_consumer):
            raise ValueError("QUEUE_HEALTH_URL needs a limit: set QUEUE_MAX_MESSAGES or QUEUE_MAX_PER_CONSUMER")
        if (self.health_user is None) != (self.health_password is None):
            raise ValueError("QUEUE_HEALTH_USER and QUEUE_HEALTH_PASSWORD have to be set together")
        return self


class _Queue(BaseModel):
    # A queue has no figures for its first seconds; a broker with `management.disable_stats` never gives them.
    name: str
    vhost: str
    messages: NonNegativeInt | None = None
    consumers: NonNegativeInt | None = None


class _Page(BaseModel):
    items: list[_Queue]
    page_count: NonNegativeInt


class QueueDepthProbe:
    """Tells whether the queues behind the backend are full, as RabbitMQ's management API says: R2R's full stack ingests
    through Hatchet, which keeps its tasks in RabbitMQ.

    A `Probe`, usable while entered. Entering asks nothing, so a broker that is down does not stop the start.

    It is advice: what cannot be reached holds nothing back, and is logged once until it works again.
    """

    INTERVAL = 5.0
    """Seconds between questions; RabbitMQ renews its figures as often (`collect_statistics_interval`, by default)."""

    TIMEOUT = 3.0
    """Seconds for an answer with all its pages: an upload waits for it."""

    PAGE_SIZE = 500
    """The most that RabbitMQ gives."""

    # /api/queues and not /api/overview: one question serves both limits, and the log can name the queue, while the
    # overview's `queue_totals` say nothing of consumers. Its documented short form (`disable_stats` with
    # `enable_queue_totals`) has no consumers either, nor the messages of streams; `columns` is as short and has both.
    # https://www.rabbitmq.com/docs/http-api-reference#get-apiqueues
    COLUMNS = "name,vhost,messages,consumers"

    def __init__(
        self,
        settings: QueueSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """`transport` and `clock` replace the network and the time in tests. Raises `Misconfigured` without a URL."""
        if settings.health_url is None:
            raise Misconfigured("QUEUE_HEALTH_URL is not set")
        self._max_messages = settings.max_messages
        self._max_per_consumer = settings.max_per_consumer
        self._client = httpx.AsyncClient(
            base_url=settings.health_url,
            auth=_auth(settings),
            timeout=None,  # noqa: S113 - httpx counts each phase of each request; TIMEOUT is for all of them
            transport=transport,
        )
        self._clock = clock
        self._turn = anyio.Lock()
        self._asked_at = float("-inf")
        self._reason: str | None = None
        self._warned = False

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def reason_to_wait(self) -> str | None:
        """Which limit is passed by how much. At most `INTERVAL` seconds old; callers at the same time share a question.

        Raises nothing when the management API cannot be reached.
        """
        async with self._turn:
            if self._clock() - self._asked_at >= self.INTERVAL:
                self._reason = await self._ask()
                self._asked_at = self._clock()  # not before: a caller cancelled while asking leaves it to the next
            return self._reason

    async def _ask(self) -> str | None:
        try:
            reason = self._judge(await self._queues_in_time())
        except DriverError as error:
            self._warn(error)
            return None
        self._warned = False
        return reason

    def _warn(self, error: DriverError) -> None:
        if not self._warned:
            log.warning("uploads are not held back by QUEUE_HEALTH_URL until it works: %s", error)
        self._warned = True

    async def _queues_in_time(self) -> list[_Queue]:
        try:
            with anyio.fail_after(self.TIMEOUT):
                return await self._queues()
        except TimeoutError:
            raise Unavailable(f"no answer within {self.TIMEOUT:g} s") from None

    async def _queues(self) -> list[_Queue]:
        queues: list[_Queue] = []
        for number in count(1):
            page = await self._page(number)
            queues += page.items
            if number >= page.page_count:
                break
        return queues

    async def _page(self, number: int) -> _Page:
        with translate_errors():
            response = await self._client.get(
                "api/queues", params={"page": number, "page_size": self.PAGE_SIZE, "columns": self.COLUMNS}
            )
            response.raise_for_status()
        return json_model(response, _Page)

    def _judge(self, queues: Sequence[_Queue]) -> str | None:
        if not queues:  # the answer, with status 200, to a user without access to the virtual host
            raise Misconfigured("no queue is visible to QUEUE_HEALTH_USER; it needs access to the virtual host")
        return self._judge_sum(queues) or self._judge_consumers(queues)

    def _judge_sum(self, queues: Sequence[_Queue]) -> str | None:
        known = [queue.messages for queue in queues if queue.messages is not None]
        if not known:
            raise Unavailable("RabbitMQ gives no number of messages for any queue; are its statistics disabled?")
        if not self._max_messages or sum(known) <= self._max_messages:
            return None
        return f"{sum(known)} messages are in the queues, the limit is {self._max_messages}"

    def _judge_consumers(self, queues: Sequence[_Queue]) -> str | None:
        if not self._max_per_consumer:
            return None
        known = [
            (queue.messages - self._max_per_consumer * queue.consumers, queue)
            for queue in queues
            if queue.messages is not None and queue.consumers is not None
        ]
        if not known:
            raise Unavailable("RabbitMQ gives no number of consumers for any queue; are its statistics disabled?")
        excess, worst = max(known, key=lambda pair: pair[0])
        if excess <= 0:
            return None
        return (
            f"queue {worst.name!r} of virtual host {worst.vhost!r} has {worst.messages} messages, "
            f"consumers: {worst.consumers}, the limit is {self._max_per_consumer} messages per consumer"
        )


def _auth(settings: QueueSettings) -> httpx.BasicAuth | None:
    if settings.health_user is None or settings.health_password is None:
        return None
    return httpx.BasicAuth(settings.health_user, settings.health_password.get_secret_value())
