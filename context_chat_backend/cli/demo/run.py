"""The demo: starts a gateway with its defaults, loads documents of several users, asks questions as them."""

import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...nextcloud.push_client import APP_ID, CLIENT_VERSION, PushClient
from ..command import FAILURE, INTERRUPTED, SUCCESS, Variables
from ..own_gateway import Gateway, GatewayFailed, free_port, own_gateway, signals_handled_by, wait_until_ready
from .samples import Document

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ANNA, BJOERN, CARMEN = "anna", "björn", "carmen"
DOCUMENTS = (
    Document("files__default: 101", "files/Team/Holidays.md", "text/markdown", "holidays.md", (ANNA, BJOERN)),
    Document("files__default: 102", "files/Private/Salaries.md", "text/markdown", "salaries.md", (ANNA,)),
    Document("files__default: 103", "files/Budget 2027.csv", "text/csv", "budget.csv", (BJOERN,)),
    Document(
        "files__default: 104", "files/Coffee machine.pdf", "application/pdf", "coffee-machine.pdf", (ANNA, BJOERN)
    ),
    Document("files__default: 105", "files/Recipes/Apfelkuchen.docx", DOCX, "apple-cake.docx", (BJOERN,)),
    Document("files__default: 106", "files/Suppliers.json", "application/json", "suppliers.json", (ANNA,)),
    Document("files__default: 107", "files/Printer.html", "text/html", "printer.html", (ANNA, BJOERN)),
    Document("files__default: 108", "files/Welcome.txt", "text/plain", "welcome.txt", (ANNA,)),
    Document("files__default: 109", "files/Welcome.txt", "text/plain", "welcome.txt", (BJOERN,)),
    Document("mail__mail: 7", "Server room on Thursday", "text/plain", "mail.txt", (ANNA,)),
)
QUESTIONS = (
    (ANNA, "When is the office closed?"),
    (BJOERN, "The red lamp of the coffee machine blinks, what do I do?"),
    (ANNA, "How much does Björn earn?"),
    (BJOERN, "How much does Carmen earn?"),
    (BJOERN, "What is the number of the help desk?"),
    (CARMEN, "When is the office closed?"),
)
TITLES = {document.source_id: document.title for document in DOCUMENTS}


def say(text: str = "") -> None:
    """One line to the user."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_demo(variables: Variables, *, once: bool, port: int) -> int:
    """Run it; without `once` serve until Ctrl-C. Returns the exit status."""
    try:
        with signals_handled_by(signal.default_int_handler):
            return SUCCESS if _run(variables, once=once, port=port) else FAILURE
    except KeyboardInterrupt:
        say("\nstopped")
        return INTERRUPTED if once else SUCCESS
    except GatewayFailed as failure:
        say(f"\n{failure}")
        return FAILURE


def _run(variables: Variables, *, once: bool, port: int) -> bool:
    secret = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="context-chat-demo-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the database runs under another account
        environment = _environment(variables, folder, secret, port or free_port())
        # in its folder: a .env file of the user does not take part
        with own_gateway(environment, folder=folder) as gateway, PushClient(gateway.base_url, secret) as client:
            return _show(gateway, client, secret, once=once)


def _show(gateway: Gateway, client: PushClient, secret: str, *, once: bool) -> bool:
    say("1. A gateway with nothing configured: embedded PostgreSQL with pgvector, embeddings computed right here")
    start = time.monotonic()
    wait_until_ready(gateway, client)
    say(f"   ready at {gateway.base_url} after {time.monotonic() - start:.1f} s")
    _load_documents(client)
    ok = _ask_questions(client) and _revoke(client) and _load_again(client)
    if ok and not once:
        _serve(gateway, secret)
    return ok


def _load_documents(client: PushClient) -> None:
    say(f"\n2. {len(DOCUMENTS)} documents over HTTP, one request each, as the Nextcloud app sends them")
    for number, document in enumerate(DOCUMENTS, start=1):
        answer = _load(client, [document])
        done = "loaded" if document.source_id in answer["loaded_sources"] else "NOT LOADED"
        readers = ", ".join(document.users)
        say(f"   [{number:2}/{len(DOCUMENTS)}] {done}  {document.title:32} for {readers}")
    counts = client.http.post("/countIndexedDocuments").json()
    say(f"   indexed: {', '.join(f'{provider} {count}' for provider, count in counts.items())}")
    start = time.monotonic()
    client.wait_for_meaning()
    say(f"   found by their words at once, and by their meaning {time.monotonic() - start:.1f} s later")
    say("   102 is private to anna; 108 and 109 have the same bytes but different owners; carmen may read nothing")


def _load(client: PushClient, documents: Sequence[Document]) -> dict[str, Any]:
    response = client.load(*(document.part() for document in documents))
    response.raise_for_status()
    return dict(response.json())


def _ask_questions(client: PushClient) -> bool:
    say("\n3. Questions. Each user is answered from their own documents only, with the sources of the answer")
    private = [_ask(client, user, question) for user, question in QUESTIONS]
    return all(private)


def _ask(client: PushClient, user: str, question: str) -> bool:
    say(f"\n   {user} asks: {question}")
    response = client.post("/query", userId=user, query=question, useContext=True)
    body = response.json()
    if response.is_error:
        say(f"     refused ({response.status_code}): {body['error']}")
        return not any(user in document.users for document in DOCUMENTS)
    for line in body["output"].splitlines():
        say(f"     {line}" if line else "")
    listed = "; ".join(f"{id_} ({TITLES[id_]})" for id_ in body["sources"])
    say(f"     sources: {listed or 'none'}")
    return _only_own(user, body["sources"])


def _only_own(user: str, source_ids: list[str]) -> bool:
    hidden = {document.source_id for document in DOCUMENTS if user not in document.users}
    leaked = hidden & set(source_ids)
    if leaked:
        say(f"     LEAK: {user} got {sorted(leaked)}")
    else:
        say(f"     none of the {len(hidden)} documents that {user} may not read was used")
    return not leaked


def _revoke(client: PushClient) -> bool:
    say("\n4. björn loses access to the shared calendar: his next search no longer finds it")
    question = {"userId": BJOERN, "query": "office calendar", "ctxLimit": 20}
    before = [hit["source_id"] for hit in client.post("/docSearch", **question).json()]
    client.post("/updateAccess", op="deny", userIds=[BJOERN], sourceId=DOCUMENTS[0].source_id)
    after = [hit["source_id"] for hit in client.post("/docSearch", **question).json()]
    say(f"   before: {', '.join(before)}")
    say(f"   after:  {', '.join(after)}")
    return DOCUMENTS[0].source_id in before and DOCUMENTS[0].source_id not in after


def _load_again(client: PushClient) -> bool:
    say("\n5. Nextcloud scans again and sends nine unchanged documents: nothing is indexed again")
    unchanged = DOCUMENTS[1:]
    start = time.monotonic()
    answer = _load(client, unchanged)
    milliseconds = (time.monotonic() - start) * 1000
    say(f"   {len(answer['loaded_sources'])} of {len(unchanged)} in {milliseconds:.0f} ms")
    return len(answer["loaded_sources"]) == len(unchanged)


def _serve(gateway: Gateway, secret: str) -> None:
    say("\nThe gateway is still running; ask it yourself, and stop it with Ctrl-C:\n")
    say(f"  curl {gateway.base_url}/query -H 'EX-APP-ID: {APP_ID}' -H 'EX-APP-VERSION: {CLIENT_VERSION}' \\")
    say(f"""    -H "AUTHORIZATION-APP-API: $(printf ':%s' '{secret}' | base64)" \\""")
    say("""    -H 'Content-Type: application/json' -d '{"userId": "anna", "query": "Who delivers coffee beans?"}'""")
    say(f"  curl {gateway.base_url}/metrics")
    gateway.process.wait()
    raise GatewayFailed("the gateway has stopped")


def _environment(variables: Variables, folder: Path, secret: str, port: int) -> dict[str, str]:
    """Nothing is configured but what keeps the demo apart from a real gateway."""
    return {
        **{name: variables[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in variables},
        "APP_SECRET": secret,
        "APP_PORT": str(port),
        "APP_PERSISTENT_STORAGE": str(folder),
        "LOG_LEVEL": "WARNING",
    }
