"""`ccbe cache`: looks at the upsert cache, empties it, fills it, tidies it up."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from ..contract import DriverError
from ..gateway import Plan
from ..layers.upsert_cache import Statistics
from ..settings import Settings
from ..storage import state_file
from ..toolkit.settings import read_settings
from . import cache_tools
from .asking import add_yes, agreed
from .cache_tools import CacheTools
from .command import FAILURE, INTERRUPTED, SUCCESS, Command, Group, Variables, read_plan
from .fork_file import FORK_FILE, read_fork_file
from .progress import Progress

T = TypeVar("T")

DAY = 86_400
FORK_VARIABLE = "R2R_UPSERT_CACHE_PATH"


# ---------------------------------------------------------------------- stats


def _stats(_: Namespace, variables: Variables) -> int:
    plan = read_plan(variables)
    storage = plan.settings.app_persistent_storage
    stores = anyio.run(lambda: cache_tools.statistics(storage, plan.layers, now=time.time()))
    all_window, meta_window = plan.layers.skip_upsert_all_within_secs, plan.layers.skip_upsert_meta_within_secs
    sys.stdout.write(
        f"{state_file(storage)}: {cache_tools.file_bytes(storage):,} bytes, "
        f"{sum(store.entries for store in stores):,} entries\n"
        f"windows of RAG_BACKEND={plan.settings.rag_backend}: identical sources {_days(all_window)}, "
        f"unchanged content {_days(meta_window)}\n"
    )
    for store in stores:
        _print_store(store)
    return SUCCESS


def _print_store(store: Statistics) -> None:
    sys.stdout.write(
        f"\n{store.identity}\n"
        f"  {store.entries:>12,} entries\n"
        f"  {store.known_readers:>12,} with known readers\n"
        f"  {store.entries - store.known_readers:>12,} without\n"
        f"  {store.in_all_window:>12,} in the first window: an identical source costs no call\n"
        f"  {store.in_meta_window:>12,} in the second window: an unchanged source costs an access check\n"
        f"  {store.expired:>12,} older: the source is sent again\n"
    )


def _days(seconds: int) -> str:
    return f"{seconds / DAY:.3g} days" if seconds else "off"


# ---------------------------------------------------------------------- clear


def _clear(options: Namespace, variables: Variables) -> int:
    storage = read_settings(Settings, variables).app_persistent_storage
    if not (options.yes or agreed("Forget everything? Nextcloud's next scan then sends all sources again.")):
        return FAILURE
    anyio.run(cache_tools.clear, storage)
    sys.stdout.write("the upsert cache is empty\n")
    return SUCCESS


# ---------------------------------------------------------------------- seed, import, prune


def _seed_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--export", action="store_true", help="use the backend's export: faster, may need more rights")


def _seed(options: Namespace, variables: Variables) -> int:
    plan = read_plan(variables)
    cache_tools.require_cache(plan.driver.capabilities, plan.layers, plan.settings.rag_backend)
    report = _use_tools(plan, lambda tools: tools.seed(bulk=options.export))
    before = f", after {report.before:,} of an interrupted run" if report.before else ""
    sys.stdout.write(f"{report.written:,} entries written{before}\n")
    return SUCCESS


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help=f"default: {FORK_VARIABLE}, else {FORK_FILE} in APP_PERSISTENT_STORAGE",
    )


def _import(options: Namespace, variables: Variables) -> int:
    plan = read_plan(variables)
    cache_tools.require_cache(plan.driver.capabilities, plan.layers, plan.settings.rag_backend)
    named = options.file or variables.get(FORK_VARIABLE)
    lines = read_fork_file(Path(named) if named else plan.settings.app_persistent_storage / FORK_FILE)
    report = _use_tools(plan, lambda tools: tools.take_over(lines))
    sys.stdout.write(
        f"{report.taken_over:,} taken over, {report.missing:,} not in this backend, "
        f"{report.different:,} with different content, {report.unreadable:,} unreadable\n"
    )
    return SUCCESS


def _prune(_: Namespace, variables: Variables) -> int:
    removed = _use_tools(read_plan(variables), CacheTools.prune)
    sys.stdout.write(f"{removed:,} entries removed\n")
    return SUCCESS


def _use_tools(plan: Plan, work: Callable[[CacheTools], Awaitable[T]]) -> T:
    """The result of the work. If it is interrupted or fails, what is done is reported, and kept."""
    progress = Progress()

    async def run() -> T:
        async with cache_tools.open_tools(plan.settings.app_persistent_storage, plan.driver, progress) as tools:
            return await work(tools)

    try:
        with progress:
            return anyio.run(run)
    except DriverError:
        _say_what_is_done(progress)
        raise
    except KeyboardInterrupt:
        _say_what_is_done(progress)
        raise SystemExit(INTERRUPTED) from None


def _say_what_is_done(progress: Progress) -> None:
    if progress.done:
        sys.stderr.write(f"ccbe: stopped after {progress.done:,} sources, which are kept; run it again for the rest\n")


# ---------------------------------------------------------------------- all of them

TOOLS = (
    Command("stats", "what the cache holds; the gateway may be running", _stats),
    Command(
        "clear",
        "forget everything: costs uploads, loses no document; the gateway may be running",
        _clear,
        add_yes,
    ),
    Command("seed", "fill it with what the backend stores; stop the gateway first", _seed, _seed_arguments),
    Command(
        "import", "take over the cache of the earlier R2R fork; stop the gateway first", _import, _import_arguments
    ),
    Command("prune", "remove entries that are no longer true; stop the gateway first", _prune),
)
COMMAND = Group("cache", "look at the upsert cache, empty it, fill it, tidy it up", TOOLS, metavar="TOOL")
