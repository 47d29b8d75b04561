"""Asks before something that cannot be undone."""

import sys
from argparse import ArgumentParser

from ..contract import Misconfigured


def add_yes(parser: ArgumentParser) -> None:
    """The option not to be asked."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def agreed(question: str) -> bool:
    """Whether whoever runs the command says yes. Raises `Misconfigured` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Misconfigured("this needs a confirmation and there is no terminal to ask for it: add --yes")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
