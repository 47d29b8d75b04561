"""A Nextcloud that exists only as HTTP: AppAPI, OCS, the queues of Context Chat 5.4, and TaskProcessing.

    with Sim() as nextcloud:  # its own thread, a free port
        nextcloud.add_users("admin", "jörg")
        nextcloud.add_file(555, "admin", "files/Notes.md", "text/markdown", "# Notes", users=["jörg"])
        nextcloud.enqueue_file(555)
        nextcloud.fault("lost", path="/queues/documents", method="DELETE")
        ...  # start the gateway with NEXTCLOUD_URL=nextcloud.url, APP_SECRET=nextcloud.secret
        task = nextcloud.schedule("jörg", "context_chat:context_chat_search", {"prompt": "notes", ...})
        assert nextcloud.wait_task(task)["status"] == "STATUS_SUCCESSFUL"
        assert nextcloud.idle()
        assert nextcloud.stats()["violations"] == {}

Each module says from which file of Nextcloud, AppAPI or Context Chat its rules are. 561 requests, many of them
malformed, were answered as the real PHP controllers of context_chat 5.4.0 and app_api stable33 did; TaskProcessing is
rebuilt from reading. `nc_major` may be 32 to 35.

What the real server tolerates but a good client does not do is a violation: unknown fields, no `format=json`, a row
acknowledged that was not leased, results for tasks that were not taken, sources that are not JSON strings. They are
counted in `stats()["violations"]`; with `strict=True` such a request is answered 400.

By hand: `make nextcloud-sim`, or `python -m tests.doubles.sim --help`.
"""

from tests.doubles.sim.model import DAY
from tests.doubles.sim.ocs import OcsError
from tests.doubles.sim.sim import Sim

__all__ = ["DAY", "OcsError", "Sim"]
