"""The command line. `ccbe --help` lists the commands; each has a module here."""

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..contract import DriverError
from ..settings import environment
from . import accept, backends, cache, check, conform, demo, evaluation, reembed, serve, sources, supabase
from .command import CANNOT_START, INTERRUPTED, add_commands

COMMANDS = (
    serve.COMMAND,
    check.COMMAND,
    accept.COMMAND,
    sources.COMMAND,
    cache.COMMAND,
    conform.COMMAND,
    backends.COMMAND,
    reembed.COMMAND,
    supabase.COMMAND,
    demo.COMMAND,
    evaluation.COMMAND,
)
EPILOG = """\
Settings come from environment variables and from .env, see docs/configuration.md.

Exit status: 0 success; 1 the answer is no (check found an error, a case of conform failed, you declined);
2 wrong arguments or settings, or something that the command needs cannot be used; 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options, environment()))
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
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_commands(parser, COMMANDS, metavar="COMMAND")
    return parser
