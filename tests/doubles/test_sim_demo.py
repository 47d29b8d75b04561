"""The demo of the simulated Nextcloud: its documents, its text model, and a real gateway that passes it."""

import subprocess
import sys

import pytest

from tests.doubles.sim import Sim
from tests.doubles.sim.corpus import PEOPLE, documents
from tests.doubles.sim.demo import NO_ANSWER, SALARY, Demo, quoted
from tests.doubles.sim.model import MIME_TYPES
from tests.gateway import SECRET, gateway_process

PROMPT = """Answer the question.

[ab12 excerpt 1: files/Blue whale.md]
# Blue whale
To: anna
It lives in all oceans. A grown whale weighs 150000 kilograms.
[ab12 end of excerpt 1]

Question: How many kilograms does a whale weigh?

Answer:"""


def test_that_the_documents_are_many_and_the_same_every_time() -> None:
    corpus = documents()
    assert corpus == documents()
    assert len({(document.kind, document.title) for document in corpus}) == len(corpus) == 263
    assert {document.mime for document in corpus} <= MIME_TYPES
    assert {document.kind for document in corpus} == {"file", "mail", "deck"}
    for person in PEOPLE:
        assert 100 < sum(person in document.readers for document in corpus) < len(corpus)


def test_that_the_text_model_quotes_the_nearest_sentence() -> None:
    assert quoted(PROMPT) == "A grown whale weighs 150000 kilograms."


def test_that_the_text_model_says_when_it_finds_nothing() -> None:
    assert quoted("Answer the question.\n\nQuestion: Who sings bass?\n\nAnswer:") == NO_ANSWER


def test_that_the_demo_notices_a_leak() -> None:
    assert SALARY.is_leaked(["Blue whale.md", "Salaries.md"])
    assert not SALARY.is_leaked(["Blue whale.md"])
    assert not SALARY.is_missed(["Blue whale.md"])


def test_that_the_command_line_explains_itself() -> None:
    command = [sys.executable, "-m", "tests.doubles.sim", "--help"]
    assert "--fault-rate" in subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.slow
def test_that_a_gateway_passes_the_demo() -> None:
    with Sim(enabled=False, secret=SECRET, strict=True) as nextcloud:
        demo = Demo(nextcloud)
        demo.load()
        environment = {"RAG_BACKEND": "reference", "NEXTCLOUD_URL": nextcloud.url, "APP_VERSION": "5.4.0"}
        with gateway_process(environment) as gateway:
            nextcloud.exapp_url = gateway.nextcloud.base_url
            nextcloud.deploy()
            assert demo.run()
        assert nextcloud.stats()["violations"] == {}
