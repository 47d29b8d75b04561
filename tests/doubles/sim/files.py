"""The bytes of files, as `QueueController::getFileContents` of context_chat 5.4.0 sends them."""

from tests.doubles.sim.http import Request, Response
from tests.doubles.sim.ocs import Answer
from tests.doubles.sim.php import Arguments
from tests.doubles.sim.world import World

NOT_A_FILE = {"error": "Node is not a file or could not be found."}
UNREADABLE = {"error": "File could not be opened for reading."}
UNKNOWN = {"error": "Unknown error occurred."}


class Files:
    def __init__(self, world: World) -> None:
        self._world = world

    def content(self, request: Request, arguments: Arguments) -> Answer | Response:
        """Raw, without envelope and without length. An unknown user is 500."""
        file_id, user = arguments.integer("fileId"), arguments.text("userId")
        if user not in self._world.users:
            return Answer(500, UNKNOWN)
        node = self._world.nodes.get(file_id)
        if node is None or node.folder or user not in node.users:
            return Answer(404, NOT_A_FILE)
        if not node.readable:
            return Answer(422, UNREADABLE)
        self._count(file_id)
        return Response(200, node.content, {"Content-Type": "text/html; charset=UTF-8"}, stream=True)

    def _count(self, file_id: int) -> None:
        now = self._world.now()
        statistics = self._world.statistics
        if not any(row.is_leased(now) for row in self._world.files.with_key(file_id)):
            statistics.acks["file fetched without a lease"] += 1
        statistics.fetched[file_id] += 1
