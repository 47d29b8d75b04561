"""What could not be read is named once it may be, and read when it comes again."""

from dataclasses import replace
from pathlib import Path

import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import BeyondReader, Level, Outcome, Source
from context_chat_backend.core.rereading import WhatReads
from context_chat_backend.core.sources import Unread
from context_chat_backend.doctor.sources import unread_finding
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.toolkit.indexing.extract import READER_VERSION
from context_chat_backend.toolkit.indexing.extract.reader import Reader
from tests.cli.running import run
from tests.gateway import make_settings, running_gateway
from tests.pull.site import file_id, site

RTF, MARKDOWN = "text/rtf", "text/markdown"
ONE, TWO, THREE = (f"files__default: {number}" for number in (1, 2, 3))


class Reading(ReferenceDriver):
    """Reads what its reader can: the first one no RTF, and nothing that is hard."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.read_by(version)
        self.upserts = 0

    def read_by(self, version: int) -> None:
        self.version = version
        types = {MARKDOWN, RTF} if version > 1 else {MARKDOWN}
        self.capabilities = replace(ReferenceDriver.capabilities, mime_types=frozenset(types))

    async def upsert(self, source: Source) -> Outcome:
        self.upserts += 1
        await source.content.path()
        if "hard" in source.title and self.version == 1:
            await self.delete({source.id})
            raise BeyondReader("damaged (BadZipFile)", reader="1")
        return await super().upsert(source)


def ccbe(folder: Path, *arguments: str, backend: str = "builtin") -> str:
    done = run(*arguments, cwd=folder, APP_SECRET="12345", APP_PERSISTENT_STORAGE=str(folder), RAG_BACKEND=backend)
    return done.stdout + done.stderr


def listed(folder: Path, backend: str = "builtin") -> set[str]:
    said = ccbe(folder, "sources", "list", "--readable-now", backend=backend)
    return {line.split("\t")[0] for line in said.splitlines() if "\t" in line}


def test_a_document_that_a_later_reader_knows_is_named_and_read_when_it_comes_again(tmp_path: Path) -> None:
    sent = (part(ONE, title="files/a.rtf", mime_type=RTF), part(TWO, title="files/hard.md"), part(THREE, b""))
    driver = Reading(version=1)
    with running_gateway(make_settings(tmp_path), driver) as nextcloud:
        assert nextcloud.load(*sent).json() == {"loaded_sources": [], "sources_to_retry": []}
        nextcloud.load(*sent)
        assert driver.upserts == 2 * len(sent), "the upsert cache does not answer for what is not stored"
    assert listed(tmp_path) == {ONE, TWO}
    assert listed(tmp_path, "reference") == {TWO}, "it reads no RTF"
    assert "reader     1 gave up\n" in ccbe(tmp_path, "sources", "show", TWO)
    said = ccbe(tmp_path, "check", "--json", backend="reference")
    assert "1 that could not be read when they came may be readable now" in said
    assert "occ context_chat:scan USER" in said
    driver.read_by(READER_VERSION)
    with running_gateway(make_settings(tmp_path), driver) as nextcloud:
        assert set(nextcloud.load(*sent).json()["loaded_sources"]) == {ONE, TWO}
        assert nextcloud.found("alice") == {ONE, TWO}
    assert listed(tmp_path) == set()


def test_the_same_row_of_the_queue_is_read_by_a_later_reader(tmp_path: Path) -> None:
    driver = Reading(version=1)
    with site(tmp_path, driver) as pulling:
        pulling.nextcloud.add_file(1, "alice", "files/hard.md", MARKDOWN, b"a whale")
        pulling.nextcloud.enqueue_file(1)
        pulling.settle()
        assert pulling.found("alice") == set()
        driver.read_by(READER_VERSION)
        pulling.nextcloud.enqueue_file(1)
        pulling.settle()
        assert pulling.found("alice") == {file_id(1)}


WHAT_READS = WhatReads(frozenset({RTF, MARKDOWN}), Reader(memory_mb=1, cpu_seconds=1, ocr_languages=frozenset()))


@pytest.mark.parametrize(
    ("mode", "command"),
    [("push", {"scan"}), ("pull", {"reindex"}), (None, {"scan", "reindex"})],
)
def test_the_doctor_counts_by_type_and_names_the_command_that_this_nextcloud_has(
    mode: str | None, command: set[str]
) -> None:
    unread = [Unread(RTF, "", 1200), Unread(RTF, "1", 34), Unread(MARKDOWN, "1", 5), Unread("image/png", "", 7)]
    finding = unread_finding([*unread, Unread(RTF, str(READER_VERSION), 9)], WHAT_READS, mode)
    assert finding.level is Level.WARNING
    assert finding.text.startswith("1,239 ")
    assert finding.text.endswith(f": 1,234 {RTF}, 5 {MARKDOWN}")
    assert {name for name in ("scan", "reindex") if f"occ context_chat:{name}" in finding.remedy} == command


def test_the_doctor_is_content_where_nothing_has_changed() -> None:
    unread = [Unread(RTF, str(READER_VERSION), 9), Unread("image/png", "", 7)]
    assert unread_finding(unread, WHAT_READS, "push").level is Level.OK


def test_many_types_are_summed_up() -> None:
    unread = [Unread(f"text/{number}", "", 10 - number) for number in range(8)]
    finding = unread_finding(unread, replace(WHAT_READS, mime_types=None), "push")
    assert finding.text.startswith("52 ")
    assert finding.text.endswith(", 12 of other types")
