"""What `make.py` loads into the version before, and what is stored in the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from context_chat_backend.nextcloud.push_client import part

BEGIN = 1_750_000_000
USERS = ("alice", "bob", "carol", "dora", "erin", "jörg", "stranger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A source as Nextcloud sends it."""

    id: str
    title: str
    text: str
    readers: tuple[str, ...]
    type: str = "text/markdown"
    modified: int = BEGIN

    @property
    def part(self) -> bytes:
        return part(
            self.id,
            self.text.encode(),
            users=self.readers,
            title=self.title,
            mime_type=self.type,
            modified=self.modified,
        )

    def now(self, *readers: str) -> "Document":
        """The same with other readers."""
        return replace(self, readers=readers)


def _file(number: int, name: str, text: str, *readers: str) -> Document:
    return Document(id=f"files__default: {number}", title=f"files/{name}", text=text, readers=readers)


CHAPTERS = (
    "The keeper of the harbour wrote down every ship that came in, until his eyes failed.",
    "Nobody read the books of the harbour for a hundred years, and mice lived between the shelves.",
    "Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more.",
)

WHALE = _file(1, "whale.md", "The whale swims past the harbour into the deep blue sea.", "alice", "bob")
BUDGET = _file(2, "budget.md", "The budget of the harbour for the coming year.", "alice", "bob")
TULIPS = _file(3, "tulips.md", "Tulips flower in the garden behind the harbour.", "alice", "bob")
DRAFT = _file(4, "book.md", "A draft: the harbour in winter.", "alice", "carol")
BOOK = replace(
    DRAFT.now("alice"),
    text="\n\n".join(f"# Chapter {n}\n\n{' '.join([text] * 6)}" for n, text in enumerate(CHAPTERS, 1)),
    modified=BEGIN + 1,
)
CAKE = _file(5, "apple-cake.md", "Apple cake as it is baked in the harbour.", "alice", "erin")
CRANE = replace(_file(8, "crane.html", "<h1>The crane</h1><p>It stands in the harbour.</p>", "carol"), type="text/html")
GONE = _file(9, "gone.md", "Nobody may find this harbour any more.", "alice", "carol")
LETTER = Document(
    id="mail__mail: 12:345",
    title="A letter für Jörg ✉",
    text="Grüße aus dem Hafen: a letter from the harbour, with a \\ and a 'quote'.",
    readers=("alice", "bob"),
    type="text/plain",
)
REPLY = Document(
    id="mail__mail: 12:346",
    title="Re: A letter",
    text="Nothing is new in the harbour.",
    readers=("bob",),
    type="text/plain",
)
CARD = Document(
    id="deck__deck: 1", title="Paint the boat", text="Paint the boat in the harbour.", readers=("alice", "bob")
)
OTHER_CARD = Document(
    id="deck__deck: 2", title="Mend the nets", text="Mend the nets of the harbour.", readers=("dora",)
)
NOTE = Document(id="notes__notes: 1", title="Lighthouse", text="The lighthouse of the harbour.", readers=("alice",))
SECOND_NOTE = Document(
    id="notes__notes: 2", title="Tides", text="High tide in the harbour at noon.", readers=("bob", "dora")
)

LOADED = (
    WHALE, BUDGET, TULIPS, DRAFT, CAKE, CRANE, GONE, LETTER, REPLY, CARD, OTHER_CARD, NOTE, SECOND_NOTE,
)  # fmt: skip

CHANGES: tuple[tuple[str, dict[str, object]], ...] = (
    ("/updateAccess", {"op": "deny", "userIds": ["bob"], "sourceId": WHALE.id}),
    ("/updateAccess", {"op": "allow", "userIds": ["dora", "jörg"], "sourceId": BUDGET.id}),
    ("/updateAccessDeclarative", {"userIds": ["alice", "jörg"], "sourceId": NOTE.id}),
    ("/updateAccessProvider", {"op": "allow", "userIds": ["carol"], "providerId": "mail__mail"}),
    ("/updateAccessProvider", {"op": "deny", "userIds": ["bob"], "providerId": "deck__deck"}),
    ("/deleteSources", {"sourceIds": [GONE.id]}),
    ("/deleteUser", {"userId": "bob, who left"}),
)

STORED = (
    WHALE.now("alice"),
    BUDGET.now("alice", "bob", "dora", "jörg"),
    TULIPS,
    BOOK,
    CAKE,
    CRANE,
    LETTER.now("alice", "bob", "carol"),
    REPLY.now("bob", "carol"),
    CARD.now("alice"),
    OTHER_CARD,
    NOTE.now("alice", "jörg"),
    SECOND_NOTE,
)
"""With the readers of the end. All have the word "harbour"."""

COUNTS = {"files__default": 6, "mail__mail": 2, "deck__deck": 2, "notes__notes": 2}

Seen = Mapping[str, set[str]]


def seen_of(documents: Iterable[Document] = STORED) -> Seen:
    """What each user finds of them."""
    kept = list(documents)
    return {user: {each.id for each in kept if user in each.readers} for user in USERS}


Request = tuple[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Failed:
    """An action that failed in the version before, which left a mark."""

    request: Request
    meets: tuple[Request, ...]
    """Later actions that have to wait for it."""
    waits_for: int | None = None
    """The place in `FAILED` of the one that has to be repeated before."""


def allow(user: str, document: Document, op: str = "allow") -> Request:
    """An access change."""
    return "/updateAccess", {"op": op, "userIds": [user], "sourceId": document.id}


FAILED = (
    Failed(
        allow("carol", TULIPS),
        (
            allow("dora", TULIPS),
            ("/updateAccessProvider", {"op": "deny", "userIds": ["stranger"], "providerId": "files__default"}),
        ),
    ),
    Failed(allow("carol", TULIPS, "deny"), (), waits_for=0),
    Failed(
        ("/deleteProvider", {"providerKey": "deck__deck"}),
        (allow("dora", CARD), ("/deleteSources", {"sourceIds": [OTHER_CARD.id]})),
    ),
    Failed(
        ("/deleteSources", {"sourceIds": [CRANE.id, SECOND_NOTE.id]}),
        (allow("dora", CRANE), ("/updateAccessDeclarative", {"userIds": ["dora"], "sourceId": SECOND_NOTE.id})),
    ),
    Failed(("/deleteUser", {"userId": "erin"}), (allow("erin", WHALE),)),
    Failed(
        ("/updateAccessProvider", {"op": "deny", "userIds": ["jörg"], "providerId": "notes__notes"}),
        (allow("jörg", NOTE),),
        waits_for=3,
    ),
)
"""In the order in which Nextcloud sent them, to the gateway with the backend builtin."""

HELD = {TULIPS.id, CRANE.id, CAKE.id, CARD.id, OTHER_CARD.id, NOTE.id, SECOND_NOTE.id}
"""Sources whose uploads have to wait for one of them."""

SETTLED = tuple(
    each.now("alice") if each.id in {NOTE.id, CAKE.id} else each
    for each in STORED
    if each.id not in {CRANE.id, SECOND_NOTE.id, CARD.id, OTHER_CARD.id}
)
"""What is stored once all of them were repeated."""

AFTERWARDS = tuple(
    {
        TULIPS.id: TULIPS.now("alice", "bob", "dora"),
        WHALE.id: WHALE.now("alice", "erin"),
        NOTE.id: NOTE.now("alice", "jörg"),
    }.get(each.id, each)
    for each in SETTLED
)
"""What is stored once those that had to wait for them were repeated, too."""
