"""The queues of Context Chat: documents are leased, actions too, and both wait to be acknowledged.

From context_chat 5.4.0, `QueueController` and `QueueMapper`: `n` applies to each of the document queues, rows whose
file is gone are dropped without a word, a lease cannot be given back, and an acknowledgement needs both lists.
"""

from collections.abc import Callable
from typing import Any

from tests.doubles.sim.http import Request
from tests.doubles.sim.model import FILES, Queue, Row
from tests.doubles.sim.ocs import Answer, OcsError
from tests.doubles.sim.php import Arguments, Object, PhpError, decoded_and_encoded, integer, values
from tests.doubles.sim.world import World

MOST_DOCUMENTS = 1024


class Queues:
    def __init__(self, world: World) -> None:
        self._world = world

    # ------------------------------------------------------------------ routes

    def documents(self, request: Request, arguments: Arguments) -> Answer:
        wanted = arguments.integer("n", 64)
        if wanted <= 0:
            return Answer(400, {"message": "Parameter n must be a positive integer"})
        wanted, now = min(wanted, MOST_DOCUMENTS), self._world.now()
        files = self._lease(self._world.files, wanted, now, self._file)
        items = self._lease(self._world.items, wanted, now, _item)
        return Answer(200, {"files": files, "content_providers": items})

    def acknowledge_documents(self, request: Request, arguments: Arguments) -> Answer:
        files, items = arguments.array("files"), arguments.array("content_providers")
        self._acknowledge(self._world.files, files)
        self._acknowledge(self._world.items, items)
        return Answer(200)

    def actions(self, request: Request, arguments: Arguments) -> Answer:
        """There is no upper limit. One payload that is not JSON spoils the answer, and the rows stay leased."""
        wanted, now = arguments.integer("n", 512), self._world.now()
        found = Object()
        for row in self._world.actions.free(max(wanted, 0), now):
            row.locked_at = now
            self._world.statistics.leases[f"actions:{row.id}"] += 1
            if isinstance(row.data["payload"], str):  # jsonSerialize throws
                raise PhpError("Syntax error")
            payload = decoded_and_encoded(row.data["payload"])
            found[str(row.id)] = {"id": row.id, "type": row.data["type"], "payload": payload}
        return Answer(200, {"actions": found})

    def acknowledge_actions(self, request: Request, arguments: Arguments) -> Answer:
        self._acknowledge(self._world.actions, arguments.array("actions"))
        return Answer(200)

    def refuse(self, request: Request, arguments: Arguments) -> Answer:
        """The statistics are for admins."""
        raise OcsError(403, "Logged in account must be an admin")

    # ------------------------------------------------------------------ leases

    def _lease(self, queue: Queue, wanted: int, now: float, entry: Callable[[Row], dict[str, Any] | None]) -> Object:
        """Those whose entry is None are dropped, and the next ones take their places."""
        found = Object()
        while len(found) < wanted and (rows := queue.free(wanted - len(found), now)):
            for row in rows:
                row.locked_at = now
                shown = entry(row)
                if shown is None:
                    queue.remove(row.id)
                    continue
                self._world.statistics.leases[f"{_counted(queue)}:{row.id}"] += 1
                found[str(row.id)] = shown
        return found

    def _file(self, row: Row) -> dict[str, Any] | None:
        node, owner = self._world.nodes.get(row.data["file_id"]), row.data["owner"]
        if node is None or node.folder or owner not in node.users or owner not in self._world.users:
            return None
        return {
            "userIds": list(node.users),
            "reference": f"{FILES}: {node.id}",
            "title": node.path or node.name,
            "content": None,
            "modified": node.mtime,
            "type": node.mime,
            "provider": FILES,
            "size": node.shown_size,
        }

    # ------------------------------------------------------------------ acknowledgements

    def _acknowledge(self, queue: Queue, row_ids: Any) -> None:
        for value in values(row_ids):
            if isinstance(value, list | dict):
                raise PhpError("nested array")
            self._acknowledge_row(queue, value)
            if not isinstance(value, int) or isinstance(value, bool):
                self._world.lint("row id is not an integer", f"{value!r}")

    def _acknowledge_row(self, queue: Queue, value: Any) -> None:
        row_id = integer(value)
        row = queue.remove(row_id)
        acks = self._world.statistics.acks
        acks[queue.name] += 1
        if row is not None:
            queue.acknowledged += 1
            if row.locked_at is None:
                self._world.lint("acknowledged a row that was not leased", f"{queue.name} {row_id}")
        elif 0 < row_id < queue.next_id:
            acks[f"{queue.name} again"] += 1
        else:
            self._world.lint("acknowledged a row that never was", f"{queue.name} {value!r}")


def _item(row: Row) -> dict[str, Any]:
    data = row.data
    provider, content = f"{data['app']}__{data['provider']}", data["content"]
    return {
        "userIds": data["users"].split(","),
        "reference": f"{provider}: {data['item_id']}",
        "title": data["title"],
        "content": content,
        "modified": data["modified"],
        "type": data["mime"],
        "provider": provider,
        "size": len(content.encode() if isinstance(content, str) else content),
    }


def _counted(queue: Queue) -> str:
    return "items" if queue.name == "content_providers" else queue.name
