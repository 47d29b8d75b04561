"""What a command of `ccbe` is, and how it ends. A new one is a module with a `COMMAND`, and a line in `COMMANDS`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..gateway import Plan, plan_gateway
from ..settings import Settings
from ..toolkit.settings import read_settings

SUCCESS = 0
FAILURE = 1
"""The command did its work, and the answer is no: an error was found, a case failed, somebody declined."""
CANNOT_START = 2
"""The command line or the environment is wrong, or what the command needs cannot be used; stderr says what to do."""
INTERRUPTED = 130
"""By Ctrl-C, as shells have it; or nobody reads the output any more."""

Variables = Mapping[str, str]
"""The environment of a command. `main` reads it once; a command looks nowhere else."""
Run = Callable[[Namespace, Variables], int]
"""Does the work of a command and returns its exit status. A `DriverError` ends it with `CANNOT_START`."""


def _no_arguments(_: ArgumentParser) -> None:
    """For a command that takes none."""


@dataclass(frozen=True, slots=True)
class Command:
    """A word after `ccbe`, or after the name of a group."""

    name: str
    help: str
    run: Run
    arguments: Callable[[ArgumentParser], None] = _no_arguments
    """Declares what `run` finds in its options."""

    def configure(self, parser: ArgumentParser) -> None:
        self.arguments(parser)
        parser.set_defaults(run=self.run)


@dataclass(frozen=True, slots=True)
class Group:
    """A word after `ccbe` that is followed by the name of a command."""

    name: str
    help: str
    commands: Sequence[Command]
    metavar: str

    def configure(self, parser: ArgumentParser) -> None:
        add_commands(parser, self.commands, metavar=self.metavar)


def add_commands(parser: ArgumentParser, commands: Sequence[Command | Group], *, metavar: str) -> None:
    """Have the parser expect the name of one of these next."""
    parsers = parser.add_subparsers(required=True, metavar=metavar)
    for command in commands:
        command.configure(parsers.add_parser(command.name, help=command.help, description=command.help))


def read_plan(variables: Variables) -> Plan:
    """The gateway that these variables describe, nothing of it open. Raises `Misconfigured`."""
    return plan_gateway(read_settings(Settings, variables), variables)
