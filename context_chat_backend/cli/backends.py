"""`ccbe backends`: lists the drivers that are installed."""

import sys
from argparse import Namespace

from ..registry import driver_names
from .command import SUCCESS, Command, Variables


def _list(_: Namespace, _variables: Variables) -> int:
    sys.stdout.write("\n".join(driver_names()) + "\n")
    return SUCCESS


COMMAND = Command("backends", "list the names that RAG_BACKEND may have here", _list)
