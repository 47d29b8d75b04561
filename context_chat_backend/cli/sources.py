"""`ccbe sources`: says what became of the sources that Nextcloud handed over."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import anyio

from ..contract import Misconfigured, ProviderId, SourceId
from ..core.commands import Command as Wish
from ..core.commands import Verb, leave
from ..core.rereading import WhatReads
from ..core.sources import Entry, SourceTable, Stage
from ..core.state import State
from ..gateway import make_driver
from ..settings import Settings
from ..storage import state_file
from ..toolkit.settings import read_settings
from .asking import add_yes, agreed
from .command import FAILURE, SUCCESS, Command, Group, Variables

PAGE = 1000


def _state(variables: Variables) -> State:
    storage = read_settings(Settings, variables).app_persistent_storage
    if not state_file(storage).exists():
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: no gateway has run on {storage} yet")
    return State(state_file(storage))


# ---------------------------------------------------------------------- list, show


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--stage", choices=[stage.value for stage in Stage], help="only sources in this stage")
    parser.add_argument(
        "--readable-now",
        action="store_true",
        help="only those that could not be read, and may be by this version, backend and settings",
    )
    parser.add_argument("--provider", help="only those of this provider, e.g. files__default")
    parser.add_argument("--limit", type=int, default=100, help="most lines to print, default 100; 0 for all")


def _list(options: Namespace, variables: Variables) -> int:
    chosen = _readable_now(variables) if options.readable_now else _every

    async def run() -> None:
        async with _state(variables) as state:
            table = SourceTable(state)
            summary = await table.summary()
            left = options.limit or sys.maxsize
            async with aclosing(_entries(table, stage=options.stage, provider=options.provider)) as entries:
                async for entry in entries:
                    if chosen(entry):
                        sys.stdout.write(f"{_line(entry)}\n")
                        left -= 1
                    if not left:
                        break
        counts = ", ".join(f"{summary.counts[stage]:,} {stage}" for stage in Stage if stage in summary.counts)
        sys.stderr.write(f"{counts or 'no sources are known'}\n")

    anyio.run(run)
    return SUCCESS


def _every(_: Entry) -> bool:
    return True


def _readable_now(variables: Variables) -> Callable[[Entry], bool]:
    driver = make_driver(read_settings(Settings, variables), variables)
    what_reads = WhatReads.installed(driver.capabilities, variables)
    return lambda entry: what_reads.may_read(entry.mime_type, entry.reader)


async def _entries(
    table: SourceTable, *, stage: str | None = None, provider: str | None = None
) -> AsyncGenerator[Entry, None]:
    of_stage = None if stage is None else Stage(stage)
    of_provider = None if provider is None else ProviderId(provider)
    after = None
    while page := await table.entries(stage=of_stage, provider=of_provider, after=after, limit=PAGE):
        for entry in page:
            yield entry
        after = page[-1].source_id


def _line(entry: Entry) -> str:
    told = f"{entry.source_id}\t{entry.stage}\t{_moment(entry.since)}\t{entry.title}"
    return f"{told}\t{entry.reason}" if entry.reason else told


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", help='its id, e.g. "files__default: 555"')


def _show(options: Namespace, variables: Variables) -> int:
    async def run() -> Sequence[Entry]:
        async with _state(variables) as state:
            return await SourceTable(state).known({SourceId(options.source)})

    known = anyio.run(run)
    if not known:
        sys.stdout.write("nothing is known of it: Nextcloud has not handed it over, or it was deleted\n")
        return FAILURE
    for name, value in _described(known[0]):
        sys.stdout.write(f"{name:<10} {value}\n")
    return SUCCESS


def _described(entry: Entry) -> list[tuple[str, str]]:
    lines = [
        ("source", entry.source_id),
        ("title", entry.title),
        ("provider", entry.provider),
        ("type", entry.mime_type),
        ("size", f"{entry.size:,} bytes"),
        ("stage", f"{entry.stage}, since {_moment(entry.since)}"),
    ]
    if entry.reason:
        lines.append(("reason", entry.reason))
    if entry.reader is not None:
        lines.append(("reader", f"{entry.reader} gave up" if entry.reader else "none knew the type"))
    if entry.tries:
        lines.append(("tries", f"{entry.tries:,} failed"))
    if entry.next_try is not None:
        lines.append(("next try", _moment(entry.next_try)))
    return lines


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# ---------------------------------------------------------------------- retry, drop


def _retry_arguments(parser: ArgumentParser) -> None:
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("source", nargs="?", help="its id")
    chosen.add_argument("--failing", action="store_true", help="all that failed and wait for another try")


def _retry(options: Namespace, variables: Variables) -> int:
    async def run() -> int:
        async with _state(variables) as state:
            table = SourceTable(state)
            failing = await _failing(table, None if options.failing else SourceId(options.source))
            await leave(state, [Wish(Verb.RETRY, source_id) for source_id in failing])
            return len(failing)

    count = anyio.run(run)
    if not count and not options.failing:
        sys.stdout.write("it does not wait for another try; what is through is sent again by Nextcloud only\n")
        return FAILURE
    sys.stdout.write(f"{count:,} to be tried now; those that Nextcloud sends come when it sends them\n")
    return SUCCESS


async def _failing(table: SourceTable, source_id: SourceId | None) -> list[SourceId]:
    if source_id is not None:
        return [entry.source_id for entry in await table.known({source_id}) if entry.stage is Stage.FAILING]
    return [entry.source_id async for entry in _entries(table, stage=Stage.FAILING)]


def _drop_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", nargs="+", help="its id")
    add_yes(parser)


def _drop(options: Namespace, variables: Variables) -> int:
    dropped = [Wish(Verb.DROP, SourceId(source_id)) for source_id in dict.fromkeys(options.source)]
    question = f"Take {len(dropped):,} out of the index? They come back when Nextcloud sends them again."
    if not (options.yes or agreed(question)):
        return FAILURE

    async def run() -> None:
        async with _state(variables) as state:
            await leave(state, dropped)

    anyio.run(run)
    sys.stdout.write("a gateway that runs takes them out within seconds, another one when it starts\n")
    return SUCCESS


TOOLS = (
    Command("list", "one line each: id, stage, since when, title, reason", _list, _list_arguments),
    Command("show", "all that is known of one", _show, _show_arguments),
    Command("retry", "try again now what waits for another try", _retry, _retry_arguments),
    Command("drop", "take sources out of the index and give them up", _drop, _drop_arguments),
)
COMMAND = Group("sources", "say what became of each source; the gateway may be running", TOOLS, metavar="TOOL")
