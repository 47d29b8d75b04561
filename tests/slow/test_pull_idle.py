"""How often an idle gateway asks Nextcloud, and how soon it finds out that there is something to do."""

import time
from pathlib import Path

import pytest

from tests.pull.site import site

pytestmark = pytest.mark.slow

UNTIL_IDLE, WATCHED = 25, 65
QUEUES = ("queues/documents", "queues/actions", "tasks_provider/next")


def test_an_idle_gateway_asks_for_each_kind_of_work_less_than_once_in_ten_seconds(tmp_path: Path) -> None:
    with site(tmp_path) as pulling:
        time.sleep(UNTIL_IDLE)
        begun = time.time()
        time.sleep(WATCHED)
        routes = pulling.nextcloud.stats(since=begun)["routes"]
        for queue in QUEUES:
            asked = sum(report["requests"] for route, report in routes.items() if queue in route)
            assert 1 <= asked < WATCHED / 10, (queue, routes)
