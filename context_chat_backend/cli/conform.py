"""`ccbe conform`: tests a driver against the contract."""

import logging
from argparse import ArgumentParser, Namespace

import anyio

from ..conformance.faults import FaultPlan
from ..conformance.runner import conform
from ..gateway import make_driver
from ..registry import driver_factory
from ..settings import Settings
from ..toolkit.settings import read_settings
from .command import FAILURE, SUCCESS, Command, Variables


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="name of the driver, as in RAG_BACKEND")
    parser.add_argument(
        "--faults",
        metavar="VARIABLE",
        help="also test how the driver copes with a failing backend; VARIABLE is the environment variable with the "
        "backend's base URL, e.g. R2R_BASE_URL",
    )


def _conform(options: Namespace, variables: Variables) -> int:
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of the cancellations that belong to the cases
    settings = read_settings(Settings, variables, rag_backend=options.name, app_secret="unused")  # noqa: S106 - no HTTP
    faults = FaultPlan(driver_factory(options.name), variables, options.faults) if options.faults else None
    passed = anyio.run(lambda: conform(make_driver(settings, variables), name=options.name, faults=faults))
    return SUCCESS if passed else FAILURE


COMMAND = Command("conform", "test a driver against the contract", _conform, _arguments)
