"""The simulated Nextcloud's state, and what its users do to it."""
# ruff: noqa: A002 - the names of the control API

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.sim.model import FILES, MIME_TYPES, Node, Queue
from tests.doubles.sim.ocs import Plain
from tests.doubles.sim.php import to_json
from tests.doubles.sim.statistics import Statistics

FOLDER_TYPE = "httpd/unix-directory"


@dataclass
class ExApp:
    """As AppAPI's table has it."""

    enabled: bool
    version: str
    installed: bool = True
    status: dict[str, Any] = field(default_factory=lambda: {"type": "", "init": 100, "error": ""})

    def as_json(self) -> dict[str, Any]:
        return {
            "enabled": int(self.enabled),
            "version": self.version,
            "installed": self.installed,
            "status": dict(self.status),
        }


@dataclass
class TextModel:
    """The model behind core:text2text. It answers so many seconds after a task was scheduled."""

    mode: str = "echo"
    """`echo`, `fail`, `hang`, or `off`: there is no provider."""
    delay: float = 0.0
    answer: str = ""
    """In place of an echo of the prompt's end."""
    reply: Callable[[str], str] | None = None
    """Writes the answer to a prompt, if there is no fixed one."""

    def write(self, prompt: str) -> str:
        if self.answer:
            return self.answer
        return self.reply(prompt) if self.reply else f"ANSWER TO: {prompt[-200:]}"


@dataclass
class FileModel:
    """A model behind `core:image2text:ocr` or `core:audio2text`: it takes the bytes of a file for the text in it."""

    mode: str = "off"
    """`read`, `fail`, `hang`, or `off`: there is no provider."""
    delay: float = 0.0
    """Seconds after a task was scheduled until it answers."""


class World:
    """Its methods may be called from any thread."""

    def __init__(self, *, nc_major: int, app_id: str, app_version: str, secret: str, enabled: bool) -> None:
        self.nc_major = nc_major
        self.app_id = app_id
        self.app_version = app_version
        self.secret = secret
        self.enabled_at_start = enabled
        self.exapp_url = ""
        """Where the gateway is; AppAPI's calls go there."""
        self.strict = False
        """Whether a careless request is answered 400."""
        self.sleeps_on_bruteforce = False
        self.invalid_utf8_status = 200
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Everything is forgotten."""
        self.offset = 0.0
        self.users: dict[str, dict[str, Any]] = {}
        self.nodes: dict[int, Node] = {}
        self.files, self.items, self.actions = Queue("files"), Queue("content_providers"), Queue("actions")
        self.content_providers: set[str] = set()
        """Their keys: `mail__mail`."""
        self.providers: dict[str, dict[str, Any]] = {}
        """The task providers of the ExApp, by id."""
        self.exapp = ExApp(self.enabled_at_start, self.app_version)
        self.app_api = self.context_chat = True
        """Whether these apps are enabled."""
        self.maintenance = False
        self.text2text = TextModel()
        self.ocr, self.audio2text = FileModel(), FileModel()
        self.failed_logins: list[float] = []
        self.statistics = Statistics()
        self.lifecycle: list[str] = []
        """What the ExApp was sent, and the progress that it reported."""

    @property
    def queues(self) -> tuple[Queue, Queue, Queue]:
        return self.files, self.items, self.actions

    def now(self) -> float:
        return time.time() + self.offset

    def travel(self, seconds: float) -> None:
        """Move the server's clock, so that leases expire. [ctl]"""
        with self.lock:
            self.offset += seconds

    def lint(self, what: str, detail: str = "") -> None:
        """The real server lets it pass, but a good client does not do it."""
        self.statistics.violation(what, detail)
        if self.strict:
            raise Plain(400, to_json({"sim": "violation", "what": what, "detail": detail}))

    # ------------------------------------------------------------------ users and files

    def add_users(self, *users: str) -> None:
        """[ctl: {"users": [...]}]"""
        with self.lock:
            for user in users:
                self.users.setdefault(user, {})

    def remove_user(self, user: str, event: bool = True) -> None:
        """The account goes with its files; with `event` the action that UserDeletedListener queues comes. [ctl]"""
        with self.lock:
            self.users.pop(user, None)
            for node in list(self.nodes.values()):
                if node.owner == user:
                    del self.nodes[node.id]
                else:
                    node.users = [each for each in node.users if each != user]
            if event:
                self.enqueue_action("delete_user_id", {"userId": user})

    def add_file(
        self,
        id: int,
        owner: str,
        path: str,
        mime: str = "text/plain",
        content: bytes | str = b"",
        *,
        mtime: int = 1_700_000_000,
        users: Sequence[str] = (),
        size: int | None = None,
        parent: int | None = None,
        folder: bool = False,
        readable: bool = True,
    ) -> Node:
        """A file or folder; `users` are those it is shared with, besides the owner. [ctl]"""
        with self.lock:
            self.add_users(owner, *users)
            readers = list(dict.fromkeys([owner, *users]))
            node = Node(id, owner, path, mime, mtime, _bytes(content), readers, folder, parent, size, readable)
            self.nodes[id] = node
            return node

    def add_folder(
        self,
        id: int,
        owner: str,
        path: str,
        *,
        users: Sequence[str] = (),
        parent: int | None = None,
    ) -> Node:
        return self.add_file(id, owner, path, FOLDER_TYPE, users=users, parent=parent, folder=True)

    def write_file(
        self,
        id: int,
        content: bytes | str,
        mtime: int | None = None,
        enqueue: bool = True,
    ) -> None:
        """New content; with `enqueue` a row in the queue, unless the file has one already (also a leased one). [ctl]"""
        with self.lock:
            node = self.nodes[id]
            node.content = _bytes(content)
            node.mtime = node.mtime + 1 if mtime is None else mtime
            if enqueue:
                self.enqueue_file(id, update=True)

    def delete_file(self, id: int, event: bool = True) -> None:
        """[ctl]"""
        with self.lock:
            self.nodes.pop(id, None)
            if event:
                self.enqueue_action("delete_source_ids", {"sourceIds": [f"{FILES}: {id}"]})

    def share(
        self,
        id: int,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        event: bool = True,
    ) -> None:
        """Change who has the file. [ctl]

        With `event` FsEventService queues its action: none for types that are not taken, none if nobody is left.
        """
        with self.lock:
            node = self.nodes[id]
            added, removed = list(add), set(remove)
            self.add_users(*added)
            node.users = [user for user in dict.fromkeys([*node.users, *added]) if user not in removed]
            if event and node.users and node.mime in MIME_TYPES:
                access = {"userIds": list(node.users), "sourceId": f"{FILES}: {id}"}
                self.enqueue_action("update_access_decl_source_id", access)

    # ------------------------------------------------------------------ queues

    def enqueue_file(self, file_id: int, update: bool = False, force: bool = False) -> int:
        """QueueService::insertIntoQueue: a row that the file has already wins; `force` makes a second one. [ctl]

        Returns the id of the row.
        """
        with self.lock:
            if not force and (found := self.files.with_key(file_id)):
                return found[0].id
            node = self.nodes.get(file_id)
            data = {"file_id": file_id, "owner": node.owner if node else None, "update": update}
            return self.files.insert(data, self.now(), file_id).id

    def enqueue_item(
        self,
        app: str,
        provider: str,
        item_id: str,
        title: str | bytes,
        content: str | bytes,
        mime: str = "text/plain",
        modified: int = 1_700_000_000,
        users: Sequence[str] = (),
    ) -> int:
        """ContentManager::submitContent. An item that is queued already is an error, a bug of 5.4. [ctl]"""
        with self.lock:
            self.content_providers.add(f"{app}__{provider}")
            key = (app, provider, item_id)
            if self.items.with_key(key):
                raise ValueError("item is queued already: the real insertOrUpdate throws InvalidArgumentException")
            data = {
                "app": app,
                "provider": provider,
                "item_id": item_id,
                "title": title,
                "content": content,
                "mime": mime,
                "modified": modified,
                "users": ",".join(users),
            }
            return self.items.insert(data, self.now(), key).id

    def enqueue_action(self, type: str, payload: Any) -> int:
        """Returns the id of the row. [ctl]"""
        with self.lock:
            return self.actions.insert({"type": type, "payload": payload}, self.now()).id


def _bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content
