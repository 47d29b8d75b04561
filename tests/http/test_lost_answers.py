"""An action whose answer Nextcloud did not get is repeated by it, so nothing may overtake it."""

import json
import socket
import threading
from pathlib import Path

import anyio
import httpx

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Outcome, Source
from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, headers, make_settings, marked_actions, running_gateway
from tests.slow.tools import eventually

WHALE = "files__default: 1"


class Slow(ReferenceDriver):
    """Holds upserts until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.go_on = threading.Event(), threading.Event()

    async def upsert(self, source: Source) -> Outcome:
        self.busy.set()
        await anyio.to_thread.run_sync(self.go_on.wait, 60)
        return await super().upsert(source)


def send_and_hang_up(nextcloud: Nextcloud, storage: Path, path: str, **body: object) -> None:
    """Once the action waits for its source."""
    url, content = httpx.URL(nextcloud.base_url), json.dumps(body).encode()
    lines = {**headers(), "Host": "gateway", "Content-Type": "application/json", "Content-Length": str(len(content))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(head.encode() + b"\r\n" + content)
        eventually(lambda: marked_actions(storage) > 0)


def test_an_action_whose_answer_was_lost_keeps_its_place(tmp_path: Path) -> None:
    driver = Slow()
    with running_gateway(make_settings(tmp_path, rag_backend="reference"), driver) as nextcloud:
        loading = threading.Thread(target=nextcloud.load, args=[part(WHALE)])
        loading.start()
        assert driver.busy.wait(60)
        allow = {"op": "allow", "userIds": ["bob"], "sourceId": WHALE}
        try:
            send_and_hang_up(nextcloud, tmp_path, "/updateAccess", **allow)
        finally:
            driver.go_on.set()
            loading.join()
        deny = {**allow, "op": "deny"}
        assert nextcloud.post("/updateAccess", **deny).status_code == 503
        assert nextcloud.post("/updateAccess", **allow).status_code == 200
        assert nextcloud.post("/updateAccess", **deny).status_code == 200
        assert nextcloud.found("bob") == set()
