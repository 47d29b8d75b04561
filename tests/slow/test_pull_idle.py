"""How often an idle gateway asks Nextcloud, and how soon it finds out that there is something to do."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.pull.site import site

pytestmark = pytest.mark.slow

UNTIL_IDLE, WATCHED = 20, 45
QUEUES = ("queues/documents", "queues/actions", "tasks_provider/next")


def test_an_idle_gateway_asks_for_each_kind_of_work_less_than_once_in_ten_seconds(tmp_path: Path) -> None:
    with site(tmp_path) as pulling:
        time.sleep(UNTIL_IDLE)
        begun = time.time()
        time.sleep(WATCHED)
        for queue in QUEUES:
            times = [asked.at for asked in pulling.nextcloud.statistics.exchanges if queue in asked.route]
            pauses = [after - before for before, after in pairwise(times) if before > begun]
            assert pauses, queue
            assert min(pauses) > 10, queue
