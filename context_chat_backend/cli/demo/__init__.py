"""`ccbe demo`: sample documents, and what a gateway makes of them."""

from argparse import ArgumentParser, Namespace

from ..command import Command, Variables
from .run import run_demo


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="stop after the questions")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; default: any free one")


def _run(options: Namespace, variables: Variables) -> int:
    return run_demo(variables, once=options.once, port=options.port)


COMMAND = Command("demo", "load sample documents over HTTP and ask questions about them", _run, _arguments)
