"""What people type finds what they mean, among many other chunks. tests/finding has the fast part.

`CCBE_FINDING_CHUNKS=3000` has it take longer.
"""

import os
from pathlib import Path

import pytest

from tests.finding.asking import Office, questions, sentences
from tests.finding.office import invoices, named_files, others, technicals
from tests.gateway import make_settings, running_gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CHUNKS = int(os.environ.get("CCBE_FINDING_CHUNKS", "1000"))
EVERY = 4
"""Of the invoices and the technical texts are asked for."""


def test_what_is_typed_is_found_first_among_much_else(tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path)) as nextcloud:
        office = Office(nextcloud)
        office.load(
            [
                *others(CHUNKS),
                *(invoice.text for invoice in invoices()),
                *(technical.text for technical in technicals(40)),
                *named_files(),
                *(text for _, (_, text) in sentences()),
            ]
        )
        office.ask_all(questions(invoices()[::EVERY], technicals(40)[::2]))
        assert office.too_rarely_first() == {}
