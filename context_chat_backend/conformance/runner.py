"""Runs the cases against a driver and prints a table."""

import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from ..contract import Driver
from .cases import CASES, Case
from .kit import CaseSkipped, Kit


class Result(StrEnum):
    """How a case ended."""

    PASS = "pass"  # noqa: S105 - not a password
    SKIP = "skip"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Report:
    """A case with its result; `detail` says why it failed or was skipped."""

    case: Case
    result: Result
    detail: str = ""


@asynccontextmanager
async def open_kit(driver: Driver) -> AsyncIterator[Kit]:
    """A kit around an open driver; removes what it stored."""
    with tempfile.TemporaryDirectory() as folder:
        kit = Kit(driver, Path(folder))
        try:
            yield kit
        finally:
            await kit.clean_up()


async def conform(driver: Driver, *, out: TextIO = sys.stdout) -> bool:
    """Run all cases against a driver that is not open yet; True if none failed."""
    reports = []
    async with driver:
        for case in CASES:
            report = await _run(case, driver)
            _print_row(report, out)
            reports.append(report)
        _print_summary(driver, reports, out)
    return all(report.result is not Result.FAIL for report in reports)


async def _run(case: Case, driver: Driver) -> Report:
    try:
        async with open_kit(driver) as kit:
            await case.run(kit)
    except CaseSkipped as skipped:
        return Report(case, Result.SKIP, str(skipped))
    except AssertionError as failure:
        return Report(case, Result.FAIL, str(failure))
    except Exception:  # noqa: BLE001 - whatever a driver under test raises is a failed case, not a broken kit
        return Report(case, Result.FAIL, traceback.format_exc(limit=-3))
    return Report(case, Result.PASS)


def _print_row(report: Report, out: TextIO) -> None:
    print(f"{report.result:5} {report.case.group:13} {report.case.promise}", file=out, flush=True)
    if report.detail:
        print(f"      {report.case.name}: {report.detail}", file=out, flush=True)


def _print_summary(driver: Driver, reports: list[Report], out: TextIO) -> None:
    counts = {result: sum(report.result is result for report in reports) for result in Result}
    declared = driver.capabilities
    limit = "any size" if declared.max_source_bytes is None else f"up to {declared.max_source_bytes} bytes"
    types = "any type" if declared.mime_types is None else f"{len(declared.mime_types)} types"
    print(
        f"\ncapabilities: answers {'yes' if declared.answers else 'no'}, settles in {declared.settle_seconds:g} s, "
        f"{limit}, {types}",
        file=out,
    )
    passed, failed, skipped = counts[Result.PASS], counts[Result.FAIL], counts[Result.SKIP]
    print(f"{passed} passed, {failed} failed, {skipped} skipped", file=out)
