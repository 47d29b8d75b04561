"""A gateway that pulls, and the simulated Nextcloud that it pulls from."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from context_chat_backend.contract import Driver
from tests.doubles.sim import Sim
from tests.gateway import SECRET, Nextcloud, make_settings, running_gateway

FILES = "files__default"
VERSION = "5.4.0"
QUESTION, SEARCH = "context_chat:context_chat", "context_chat:context_chat_search"


def file_id(number: int) -> str:
    """The source id of a file."""
    return f"{FILES}: {number}"


@dataclass(frozen=True, slots=True)
class Site:
    """Both of them."""

    nextcloud: Sim
    gateway: Nextcloud

    def found(self, user: str, query: str = "whale", **scope: Any) -> set[str]:
        return self.gateway.found(user, query, **scope)

    def text(self, user: str) -> str:
        """The passages that answer a question of this user, where documents are few and short."""
        answer = self.gateway.post("/query", userId=user, query="whale", useContext=True)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["output"])

    def hurry(self) -> None:
        """As AppAPI does when a task came in."""
        assert self.gateway.http.post("/trigger?providerId=context_chat-context_chat").status_code == 200

    def settle(self, seconds: float = 60) -> None:
        """Until every row is acknowledged and every task answered."""
        self.hurry()
        assert self.nextcloud.wait_idle(seconds), self.nextcloud.stats()

    def ask(self, user: str | None, kind: str = SEARCH, **fields: Any) -> dict[str, Any]:
        """A task that is done."""
        asked = {"prompt": "whale", "scopeType": "none", "scopeList": [], "scopeListMeta": "", **fields}
        return self.nextcloud.wait_task(self.nextcloud.schedule(user, kind, asked))


@contextmanager
def site(
    folder: Path,
    driver: Driver | None = None,
    *,
    variables: Mapping[str, str] = MappingProxyType({}),
    simulated: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Iterator[Site]:
    """On the reference backend, unless the settings name another. At the end no request was careless."""
    with ExitStack() as stack:
        nextcloud = stack.enter_context(Sim(secret=SECRET, app_version=VERSION, **simulated))
        with gateway_of(nextcloud, folder, driver, variables=variables, **settings) as gateway:
            yield Site(nextcloud, gateway)
        assert nextcloud.stats()["violations"] == {}


@contextmanager
def gateway_of(
    nextcloud: Sim,
    folder: Path,
    driver: Driver | None = None,
    *,
    variables: Mapping[str, str] = MappingProxyType({}),
    **settings: Any,
) -> Iterator[Nextcloud]:
    """One gateway of a Nextcloud that may have several, one after the other."""
    values = {"rag_backend": "reference", "nextcloud_url": nextcloud.url, "app_version": VERSION, **settings}
    with running_gateway(
        make_settings(folder, **values), driver, {"CC_GENERATOR": "extractive", **variables}
    ) as gateway:
        nextcloud.exapp_url = gateway.base_url
        nextcloud.enable()
        yield gateway
