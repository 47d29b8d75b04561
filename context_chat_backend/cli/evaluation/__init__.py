"""`ccbe eval`: measures how well a gateway finds documents, through HTTP and with access lists."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from importlib import import_module
from pathlib import Path

from ...contract import Misconfigured
from ..command import Command, Group, Run, Variables

PACKAGES = {"ir_measures", "pytrec_eval", "scipy"}
"""Of the extra `eval`."""


def _run_of(module: str) -> Run:
    """The `run` of a module of this package; what that needs is imported then, and may be missing."""

    def run(options: Namespace, variables: Variables) -> int:
        try:
            command = import_module(f"{__package__}.{module}")
        except ModuleNotFoundError as error:
            if error.name not in PACKAGES:
                raise
            raise Misconfigured(
                f"{error.name} is not installed: pip install 'context-chat-gateway[eval]', or `make install` here"
            ) from error
        return int(command.run(options, variables))

    return run


# ---------------------------------------------------------------------- arguments


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("expected 1 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ArgumentTypeError("expected a number from 0 to 1")
    return number


def _gateway_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--with",
        dest="with_",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a variable for the gateway that is measured, e.g. RAG_BACKEND=r2r; may be repeated",
    )


def _set_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--split", metavar="NAME", help="the questions and judgements of this name, e.g. train")
    parser.add_argument("--limit", metavar="N", type=_whole, help="ask N of the questions, always the same ones")
    parser.add_argument(
        "--documents",
        metavar="N",
        type=_whole,
        help="load N of the documents: all relevant ones, and others, always the same",
    )
    parser.add_argument(
        "--share",
        metavar="S",
        type=_share,
        default=0.5,
        help="the share of documents that a user may read at random; default 0.5",
    )
    parser.add_argument(
        "--titles",
        choices=["both", "name", "text"],
        default="both",
        help="where a document has its title: as its name, as the first line of its text, or both, the default",
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        type=Path,
        help="keep the gateway's storage here; what it holds unchanged is not indexed again",
    )
    parser.add_argument(
        "--rest",
        metavar="SECONDS",
        type=_whole,
        default=0,
        help="leave the gateway alone for so long after the loading, and start it again before the questions",
    )
    _gateway_arguments(parser)


def _sets_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("sets", metavar="SET", nargs="+", type=Path, help="folder of a test collection")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the result of each question here, as JSON")
    _set_arguments(parser)


def _compare_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", type=Path, help="a file that --out wrote")
    parser.add_argument("after", metavar="B", type=Path, help="another one, with the same questions")
    parser.add_argument(
        "--tolerance",
        metavar="T",
        type=_share,
        default=0.01,
        help="by how much a mean of B may be lower than that of A; default 0.01",
    )


def _own_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with files")
    parser.add_argument("--limit", metavar="N", type=_whole, help="ask N questions of each kind, always the same ones")
    _gateway_arguments(parser)


TOOLS = (
    Command("run", "search test collections and measure what is found", _run_of("run"), _sets_arguments),
    Command("compare", "test whether B found less than A", _run_of("compare"), _compare_arguments),
    Command("answers", "compare answers and their sources with known ones", _run_of("answers"), _sets_arguments),
    Command("own", "look for your own files by name, sentence and identifier", _run_of("own"), _own_arguments),
)
COMMAND = Group("eval", "measure how well a gateway finds documents; it starts one of its own", TOOLS, metavar="TOOL")
