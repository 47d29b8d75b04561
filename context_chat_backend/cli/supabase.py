"""`ccbe supabase-migration`: prints the SQL that prepares a Supabase project."""

import sys
from argparse import Namespace

import anyio

from ..toolkit.indexing.embed import EmbedSettings, make_embedder
from ..toolkit.postgres.migrations import store_script
from ..toolkit.settings import read_settings
from .command import SUCCESS, Command, Variables


def _print(_: Namespace, variables: Variables) -> int:
    async def dimension() -> int:
        async with make_embedder(read_settings(EmbedSettings, variables)) as embedder:
            return embedder.dimension

    sys.stdout.write(store_script(anyio.run(dimension)))
    return SUCCESS


COMMAND = Command("supabase-migration", "print the SQL that prepares a Supabase project", _print)
