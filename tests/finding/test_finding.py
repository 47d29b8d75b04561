"""What people type finds what they mean, through HTTP and with builtin. tests/slow has this at full size."""

from collections.abc import Iterator

import pytest

from tests.gateway import Nextcloud, make_settings, running_gateway

from .asking import Office, german_forms, questions, sentences
from .office import FILES, Text, invoices, named_files, others, technicals

EVERY = 4
"""Of the invoices are asked for."""


@pytest.fixture(scope="module")
def nextcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    with running_gateway(make_settings(tmp_path_factory.mktemp("finding"))) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def office(nextcloud: Nextcloud) -> Office:
    office = Office(nextcloud)
    office.load(
        [
            *others(20),
            *(invoice.text for invoice in invoices(24)),
            *(technical.text for technical in technicals(4)),
            *named_files(),
            *(text for _, (_, text) in sentences()),
            *(text for _, text in german_forms()),
        ]
    )
    return office


def test_what_is_typed_is_found_first(office: Office) -> None:
    office.ask_all(questions(invoices(24)[::EVERY], technicals(4)[::2]))
    assert office.too_rarely_first() == {}


def test_german_words_are_found_in_other_forms_and_as_parts_of_others(office: Office) -> None:
    found = {word: office.found(word) for word, _ in german_forms()}
    assert sum(text.source_id in found[word][:3] for word, text in german_forms()) >= 12, found


def test_a_renamed_file_is_found_by_its_new_name(office: Office) -> None:
    content = "Tomatoes want sun and little water, and basil beside them."
    old = Text(f"{FILES}: 4000", "files/Plans/harvest calendar.txt", content)
    rival = Text(f"{FILES}: 4001", "files/Plans/harvest calendar (copy).txt", "Something else altogether.")
    office.load([old, rival])
    assert office.found("find the file harvest calendar.txt")[0] == old.source_id
    office.load([Text(old.source_id, "files/Plans/wedding seating.txt", content)])
    assert office.found("find the file wedding seating.txt")[0] == old.source_id
    assert office.found("wedding seating")[0] == old.source_id
    assert office.found("harvest calendar")[0] == rival.source_id
    assert office.found("find the file harvest calendar.txt")[0] == rival.source_id
