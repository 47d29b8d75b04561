"""Memory of the gateway's own process. PostgreSQL and the workers that read documents have limits of their own."""

import os
import sys
import time
from collections.abc import Iterator

import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, gateway_process

from .tools import MIB, file, files, forget_peak, memory, partition, prose

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory from /proc"),
]

DEADLINE = 40
LARGE = 99 * MIB
"""Just below what context_chat sends at most; two of them fit into a request."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """Has loaded a source, so that everything that a gateway loads once is loaded."""
    with gateway_process({"LOAD_DEADLINE_SECS": str(DEADLINE), "EXTRACT_MAX_CHARS": "5000000"}) as gateway:
        gateway.nextcloud.http.timeout = 300
        assert partition(gateway.nextcloud, part(file(1)))[0] == {*files(1)}
        yield gateway


@pytest.fixture(autouse=True)
def _fresh_peak(gateway: GatewayProcess) -> None:
    forget_peak(gateway.pid)


def test_an_upload_of_200_mb_is_never_in_memory(gateway: GatewayProcess) -> None:
    before, content = memory(gateway.pid, "VmRSS"), os.urandom(MIB) * 99
    refused = [part(id_, content, mime_type="application/zip") for id_ in files(2, 3)]
    assert partition(gateway.nextcloud, *refused) == (set(), set())
    assert memory(gateway.pid, "VmHWM") - before < 60 * MIB
    assert gateway.spooled == []


def test_of_an_accepted_document_only_its_text_comes_into_memory(gateway: GatewayProcess) -> None:
    before, blank = memory(gateway.pid, "VmRSS"), b"whale" + b" " * (LARGE - 5)
    accepted = [part(id_, blank, mime_type="text/plain") for id_ in files(4, 5)]
    assert partition(gateway.nextcloud, *accepted) == ({*files(4, 5)}, set())
    assert memory(gateway.pid, "VmHWM") - before < 60 * MIB
    assert gateway.spooled == []


def test_a_batch_of_compressible_binaries_is_rejected_in_little_memory(gateway: GatewayProcess) -> None:
    binaries = [part(id_, bytes(4 * MIB), mime_type="text/plain") for id_ in files(*range(100, 125))]
    assert partition(gateway.nextcloud, *binaries) == (set(), set())
    assert memory(gateway.pid, "VmHWM") < 600 * MIB
    assert gateway.spooled == []


def test_a_batch_of_long_texts_is_answered_in_time_and_in_little_memory(gateway: GatewayProcess) -> None:
    short = [part(id_, prose(4000, seed), mime_type="text/plain") for seed, id_ in enumerate(files(201, 202, 203))]
    long = [part(id_, prose(4 * MIB, seed), mime_type="text/plain") for seed, id_ in enumerate(files(*range(204, 226)))]
    start = time.monotonic()
    loaded, retry = partition(gateway.nextcloud, *short, *long)
    assert time.monotonic() - start < DEADLINE + 20  # of which some seconds are for the upload of 90 MB
    assert loaded >= {*files(201, 202, 203)}
    assert loaded | retry == {*files(*range(201, 226))}
    assert retry, "too fast for this test: give it longer texts"
    assert memory(gateway.pid, "VmHWM") < 600 * MIB
    assert loaded <= gateway.nextcloud.found("alice", "whale")
    assert gateway.errors() == []
