"""`ccbe serve`: runs the gateway."""

import argparse

from ..http.server import serve
from ..settings import Settings
from ..toolkit.settings import read_settings
from .command import Command, Variables


def _serve(_: argparse.Namespace, variables: Variables) -> int:
    return serve(read_settings(Settings, variables), variables)


COMMAND = Command("serve", "run the gateway, as main.py does", _serve)
