"""The command line: `ccbe serve`, `check`, `accept-backend`, `cache`, `conform`, `backends`, `demo` and
`supabase-migration`."""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import anyio
from dotenv import load_dotenv

from .. import __version__
from ..conformance.faults import FaultPlan
from ..conformance.runner import conform
from ..contract import DriverError, Finding, Level, Misconfigured
from ..core.switching import accept_next
from ..gateway import Plan, make_driver, plan_gateway
from ..http.server import serve
from ..layers.upsert_cache import Statistics
from ..registry import driver_factory, driver_names
from ..settings import Settings
from ..toolkit.indexing.embed import EmbedSettings, make_embedder
from ..toolkit.postgres.migrations import store_script
from ..toolkit.settings import read_settings
from . import cache_tools
from .cache_tools import CacheTools
from .demo.run import run_demo
from .doctor import examine
from .progress import Progress

T = TypeVar("T")

CANNOT_START = 2
"""Exit code when the environment is wrong."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
ACCEPT_QUESTION = (
    "Use the backend that is opened next as it is? What was revoked or deleted while another one was in use can then "
    "be found there again."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    load_dotenv(".env")  # variables that are set already win
    try:
        return int(options.run(options))
    except DriverError as error:
        sys.stderr.write(f"ccbe: {error}\n")
        return CANNOT_START
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # e.g. `ccbe check | head -3`; what is still buffered has nowhere to go either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ccbe",
        description="Retrieval gateway for Nextcloud Context Chat",
        epilog="Settings come from environment variables and from .env, see docs/configuration.md.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="run the gateway (what main.py does)")
    serving.set_defaults(run=_serve)
    check = commands.add_parser("check", help="look at everything that a gateway needs and say what is wrong")
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(run=_check)
    accept = commands.add_parser(
        "accept-backend", help="use a backend as it is that was in use before another one; a gateway may run"
    )
    accept.add_argument("--yes", action="store_true", help="do not ask")
    accept.set_defaults(run=_accept_backend)
    _add_cache_tools(commands.add_parser("cache", help="look at the upsert cache, empty it, fill it, tidy it up"))
    conformance = commands.add_parser("conform", help="test a driver against the contract")
    conformance.add_argument("name", help="name of the driver, as in RAG_BACKEND")
    conformance.add_argument(
        "--faults",
        metavar="VARIABLE",
        help="also let its backend fail; VARIABLE is the environment variable with the backend's base URL, "
        "e.g. R2R_BASE_URL",
    )
    conformance.set_defaults(run=_conform)
    backends = commands.add_parser("backends", help="list the drivers that can be named here")
    backends.set_defaults(run=_backends)
    migration = commands.add_parser("supabase-migration", help="print the SQL that prepares a Supabase project")
    migration.set_defaults(run=_supabase_migration)
    demo = commands.add_parser("demo", help="load sample documents over HTTP and ask questions about them")
    demo.add_argument("--once", action="store_true", help="stop after the questions")
    demo.add_argument("--port", type=int, default=0, help="port to listen on, default: any free one")
    demo.set_defaults(run=lambda options: run_demo(once=options.once, port=options.port))
    return parser


def _add_cache_tools(cache: argparse.ArgumentParser) -> None:
    tools = cache.add_subparsers(required=True, metavar="TOOL")
    stats = tools.add_parser("stats", help="what it holds; a gateway may run")
    stats.set_defaults(run=_cache_stats)
    clear = tools.add_parser("clear", help="forget everything, which costs uploads but no documents; a gateway may run")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    clear.set_defaults(run=_cache_clear)
    seed = tools.add_parser("seed", help="fill it from what the backend stores; the gateway has to be stopped")
    seed.add_argument("--export", action="store_true", help="use the backend's export: faster, may need more rights")
    seed.set_defaults(run=_cache_seed)
    take_over = tools.add_parser("import", help="take over the cache of the fork; the gateway has to be stopped")
    take_over.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help=f"default: R2R_UPSERT_CACHE_PATH, else {cache_tools.FORK_FILE} in APP_PERSISTENT_STORAGE",
    )
    take_over.set_defaults(run=_cache_import)
    prune = tools.add_parser("prune", help="remove what is not true any more; the gateway has to be stopped")
    prune.set_defaults(run=_cache_prune)


def _serve(_: argparse.Namespace) -> int:
    return serve(read_settings(Settings))


def _conform(options: argparse.Namespace) -> int:
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of the cancellations that belong to the cases
    settings = read_settings(Settings, rag_backend=options.name, app_secret="unused")  # noqa: S106 - no HTTP
    faults = FaultPlan(driver_factory(options.name), options.faults) if options.faults else None
    passed = anyio.run(lambda: conform(make_driver(settings), name=options.name, faults=faults))
    return 0 if passed else 1


def _backends(_: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(driver_names()) + "\n")
    return 0


def _supabase_migration(_: argparse.Namespace) -> int:
    async def dimension() -> int:
        async with make_embedder(read_settings(EmbedSettings)) as embedder:
            return embedder.dimension

    sys.stdout.write(store_script(anyio.run(dimension)))
    return 0


def _check(options: argparse.Namespace) -> int:
    async def collect() -> list[Finding]:
        findings = []
        async for finding in examine():
            findings.append(finding)
            if not options.json:
                _print_finding(finding)
        return findings

    findings = anyio.run(collect)
    if options.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    return int(any(finding.level is Level.ERROR for finding in findings))


def _print_finding(finding: Finding) -> None:
    sys.stdout.write(f"{finding.level:8} {finding.subject:16} {finding.text}\n")
    if finding.cure:
        sys.stdout.write(f"{'':25} -> {finding.cure}\n")
    sys.stdout.flush()


def _accept_backend(options: argparse.Namespace) -> int:
    settings = read_settings(Settings)
    if not cache_tools.state_file(settings).exists():
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: no gateway has run on {settings.app_persistent_storage} yet")
    if not (options.yes or _agreed(ACCEPT_QUESTION)):
        return 1

    async def accept() -> None:
        async with cache_tools.open_state(settings) as state:
            await accept_next(state)

    anyio.run(accept)
    sys.stdout.write(
        "the next backend is accepted as it is; a gateway that waits for this opens it within a minute or two\n"
    )
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Misconfigured("nobody is there to ask: repeat it with --yes")
    return input(f"{question} [y/N] ").lower() == "y"


# ---------------------------------------------------------------------- the upsert cache


def _cache_stats(_: argparse.Namespace) -> int:
    plan = plan_gateway(read_settings(Settings))
    stores = anyio.run(lambda: cache_tools.statistics(plan.settings, plan.layers, now=time.time()))
    size = cache_tools.file_bytes(plan.settings)
    all_window, meta_window = plan.layers.skip_upsert_all_within_secs, plan.layers.skip_upsert_meta_within_secs
    sys.stdout.write(
        f"{cache_tools.state_file(plan.settings)}: {size:,} bytes, {sum(store.entries for store in stores):,} entries\n"
        f"windows of RAG_BACKEND={plan.settings.rag_backend}: identical sources {_days(all_window)}, "
        f"unchanged content {_days(meta_window)}\n"
    )
    for store in stores:
        _print_store(store)
    return 0


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
    return f"{seconds / 86_400:.3g} days" if seconds else "off"


def _cache_clear(options: argparse.Namespace) -> int:
    settings = read_settings(Settings)
    if not (options.yes or _agreed("Forget everything? Nextcloud's next scan then sends all sources again.")):
        return 1
    anyio.run(cache_tools.clear, settings)
    sys.stdout.write("the upsert cache is empty\n")
    return 0


def _cache_seed(options: argparse.Namespace) -> int:
    plan = plan_gateway(read_settings(Settings))
    cache_tools.require_cache(plan.driver.capabilities, plan.layers, plan.settings.rag_backend)
    report = _use_tools(plan, lambda tools: tools.seed(bulk=options.export))
    before = f", after {report.before:,} of an interrupted run" if report.before else ""
    sys.stdout.write(f"{report.written:,} entries written{before}\n")
    return 0


def _cache_import(options: argparse.Namespace) -> int:
    plan = plan_gateway(read_settings(Settings))
    cache_tools.require_cache(plan.driver.capabilities, plan.layers, plan.settings.rag_backend)
    lines = cache_tools.read_fork_file(options.file or _fork_file(plan.settings))
    report = _use_tools(plan, lambda tools: tools.take_over(lines))
    sys.stdout.write(
        f"{report.taken_over:,} taken over, {report.missing:,} not in this backend, "
        f"{report.different:,} with different content, {report.unreadable:,} unreadable\n"
    )
    return 0


def _fork_file(settings: Settings) -> Path:
    named = os.environ.get("R2R_UPSERT_CACHE_PATH")
    return Path(named) if named else settings.app_persistent_storage / cache_tools.FORK_FILE


def _cache_prune(_: argparse.Namespace) -> int:
    removed = _use_tools(plan_gateway(read_settings(Settings)), CacheTools.prune)
    sys.stdout.write(f"{removed:,} entries removed\n")
    return 0


def _use_tools(plan: Plan, work: Callable[[CacheTools], Awaitable[T]]) -> T:
    """The result of the work. If it is interrupted or fails, what is done already is said and stays."""
    progress = Progress()

    async def run() -> T:
        async with cache_tools.open_tools(plan.settings, plan.driver, progress) as tools:
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
        sys.stderr.write(f"ccbe: stopped after {progress.done:,} sources, which are done; run it again for the rest\n")
