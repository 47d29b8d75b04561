"""`python -m tools.bench`: takes five to ten minutes, with `--quick` less than one."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
from anyio.from_thread import start_blocking_portal

from context_chat_backend.toolkit.indexing.embed.local import LocalEmbedder
from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres

from .cache import measure_rescan
from .corpus import CHUNKS_PER_DOCUMENT, Corpus
from .loading import measure_first_load, measure_unchanged
from .overhead import measure_overhead
from .overload import measure_overload
from .processes import serving
from .pulling import measure_pull, measure_questions, site
from .report import Table, environment, write
from .scale import FULL, QUICK, Scale
from .search import measure_searches, search_table
from .store import fill, versions


def main() -> None:
    """Measure, print the tables, and write them into the document if asked to."""
    options = _options()
    scale = QUICK if options.quick else FULL
    with _folder() as folder:
        tables = [_overhead(folder, scale), _rescan(folder, scale), *_builtin(folder, scale), *_pull(folder, scale)]
    for table in tables:
        print(f"{table.name}\n\n{table.markdown()}")
    print("The machine may be busy with other things: trust the ratios more than the times.")
    if options.write:
        write(tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="only try whether everything runs")
    which.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    return parser.parse_args()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the account of the embedded database may enter, when run by root."""
    folder = Path(tempfile.mkdtemp(prefix="ccb-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _overhead(folder: Path, scale: Scale) -> Table:
    _say("overhead of the gateway")
    servers = "tools.bench.servers"
    with (
        serving(servers, "noop", storage=folder / "noop") as gateway,
        serving(servers, "bare", storage=folder / "bare") as bare,
    ):
        return measure_overhead(gateway, bare, scale)


def _rescan(folder: Path, scale: Scale) -> Table:
    _say("re-scan through the upsert cache")
    return measure_rescan(folder, scale)


def _builtin(folder: Path, scale: Scale) -> Iterator[Table]:
    """Of a gateway as it is installed, with an embedded database that this process opens too."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        embedder = stack.enter_context(portal.wrap_async_context_manager(LocalEmbedder()))
        corpus = Corpus(portal, embedder, scale.topics)
        gateway = stack.enter_context(serving("context_chat_backend", "serve", storage=folder / "builtin"))
        postgres = EmbeddedPostgres(gateway.storage / "backends" / "builtin")
        database = stack.enter_context(portal.wrap_async_context_manager(postgres)).uri
        rows, stored = [], 0
        for chunks in scale.store_chunks:
            _say(f"filling the store up to {chunks:,} chunks")
            documents = chunks // CHUNKS_PER_DOCUMENT
            anyio.run(fill, database, corpus, range(stored, documents))
            stored = documents
            _say("searches")
            rows += measure_searches(gateway, corpus, chunks, scale)
        yield search_table(rows)
        _say("unchanged sources")
        yield measure_unchanged(gateway, corpus, scale)
        _say("many questions at once")
        yield measure_overload(gateway, corpus, scale)
        _say("first load of documents")
        yield measure_first_load(gateway, database, corpus, partial(portal.call, embedder.embed), scale)
        yield environment(versions(database))


def _pull(folder: Path, scale: Scale) -> Iterator[Table]:
    """Of a gateway with a Nextcloud that it pulls from."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        embedder = stack.enter_context(portal.wrap_async_context_manager(LocalEmbedder()))
        pulling = stack.enter_context(site(folder, Corpus(portal, embedder, scale.topics)))
        _say("pull and push")
        yield measure_pull(pulling, scale)
        _say("questions while documents are pulled")
        yield measure_questions(pulling, scale)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
