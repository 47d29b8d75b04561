"""Runs the cases against a driver and prints a table."""

import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from ..contract import Driver, DriverError
from .capabilities import CAPABILITY_HEADER, capability_row
from .cases import CASES, Case
from .faults import FaultPlan, Faults, open_faults
from .kit import CaseSkipped, Kit

FOREIGN_ERROR = (
    "the driver raised something that is not one of the contract's errors; the traceback says where. Translate it into "
    "one of them, or fix what raised it."
)


class Result(StrEnum):
    """How a case ended."""

    PASS = "pass"  # noqa: S105 - not a password
    SKIP = "skip"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Report:
    """A case with its result; `detail` says why it failed or was skipped, `advice` what to do about a failure."""

    case: Case
    result: Result
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The open drivers that cases run on."""

    driver: Driver
    folder: Path
    faults: Faults | None = None

    @asynccontextmanager
    async def kit(self, case: Case) -> AsyncIterator[Kit]:
        """A kit for a case; removes what it stored."""
        if case.group == "faults" and self.faults is not None:
            kit = Kit(self.faults.driver, self.folder, faults=self.faults)
        else:
            kit = Kit(self.driver, self.folder)
        try:
            yield kit
        finally:
            await kit.clean_up()


@asynccontextmanager
async def open_stage(driver: Driver, plan: FaultPlan | None = None) -> AsyncIterator[Stage]:
    """Open a driver that is not open yet, and with a plan a second one behind a proxy. Raises `DriverError`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccbe-conform-")))
        faults = None if plan is None else await stack.enter_async_context(open_faults(plan, folder / "faults"))
        yield Stage(await stack.enter_async_context(driver), folder, faults)


async def conform(
    driver: Driver, *, name: str = "driver", faults: FaultPlan | None = None, out: TextIO | None = None
) -> bool:
    """Run all cases against a driver that is not open yet; True if none failed. Without `faults` those are skipped.
    The table goes to `out`, by default stdout.

    Raises `DriverError` when it cannot be opened, or `faults` cannot be carried out.
    """
    out = sys.stdout if out is None else out
    reports: list[Report] = []
    async with open_stage(driver, faults) as stage:
        for case in CASES:
            report = await run_case(case, stage)
            _print_row(report, reports[-1].detail if reports else "", out)
            reports.append(report)
    _print_summary(reports, out)
    print(f"\n{CAPABILITY_HEADER}{capability_row(name, driver.capabilities)}", end="", file=out)
    return all(report.result is not Result.FAIL for report in reports)


async def run_case(case: Case, stage: Stage) -> Report:
    """Run one case. Whatever the driver does, this raises nothing."""
    try:
        async with stage.kit(case) as kit:
            await case.run(kit)
    except CaseSkipped as skipped:
        return Report(case, Result.SKIP, str(skipped))
    except AssertionError as failure:
        return Report(case, Result.FAIL, str(failure), case.remedy)
    except Exception as error:  # noqa: BLE001 - whatever a driver under test raises is a failed case, not a broken kit
        return Report(case, Result.FAIL, _described(error), advice_on(case, error))
    return Report(case, Result.PASS)


def advice_on(case: Case, error: Exception) -> str:
    """What the author has to do: the case's remedy, unless the driver crashed before it could break the promise."""
    leaves = _leaves(error)
    is_of_the_case = any(isinstance(leaf, AssertionError) for leaf in leaves)
    return case.remedy if is_of_the_case or all(isinstance(leaf, DriverError) for leaf in leaves) else FOREIGN_ERROR


def _described(error: Exception) -> str:
    """Failed promises by what they say, all else with the place where it happened."""
    if isinstance(error, ExceptionGroup) and (failures := error.subgroup(AssertionError)) is not None:
        return "; ".join(dict.fromkeys(map(str, _leaves(failures))))
    return "".join(traceback.format_exception(error, limit=-3))


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _print_row(report: Report, said: str, out: TextIO) -> None:
    """`said` is the detail of the row before, which is not repeated."""
    print(f"{report.result:5} {report.case.group:13} {report.case.promise}", file=out, flush=True)
    if report.detail and report.detail != said:
        name = f"{report.case.name}: " if report.result is Result.FAIL else ""
        print(f"      {name}{report.detail}", file=out, flush=True)
    if report.result is Result.FAIL:
        print(f"      -> {report.advice}", file=out, flush=True)


def _print_summary(reports: Sequence[Report], out: TextIO) -> None:
    print(f"\n{'group':13} passed failed skipped", file=out)
    for group in dict.fromkeys(report.case.group for report in reports):
        passed, failed, skipped = _counts(report for report in reports if report.case.group == group)
        print(f"{group:13} {passed:6} {failed:6} {skipped:7}", file=out)
    passed, failed, skipped = _counts(reports)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", file=out)


def _counts(reports: Iterable[Report]) -> tuple[int, int, int]:
    results = [report.result for report in reports]
    return results.count(Result.PASS), results.count(Result.FAIL), results.count(Result.SKIP)
