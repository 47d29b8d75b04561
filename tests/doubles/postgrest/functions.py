"""PostgREST's schema cache: which functions there are, and which one a request means."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.doubles.postgrest.database import ROLES
from tests.doubles.postgrest.replies import Refusal, refused

SCHEMAS = ("public",)
"""Those that the API shows."""

_FUNCTIONS = """
select n.nspname, p.proname, p.provolatile::text in ('s', 'i'), p.proretset, p.prorettype = 'void'::regtype,
       p.prorettype = 'record'::regtype or t.typtype = 'c' or coalesce(p.proargmodes && '{t,o,b}', false),
       coalesce(p.proargnames, '{}'), coalesce(p.proargmodes::text[], '{}'),
       (select coalesce(array_agg(format_type(type, null) order by number), '{}')
          from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as arguments (type, number)),
       p.pronargdefaults, coalesce(p.proconfig, '{}')
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_type t on t.oid = p.prorettype
 where p.prokind = 'f' and n.nspname = any (%s)
 order by p.oid
"""
_ROLE_SETTINGS = """
select r.rolname, unnest(s.setconfig) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
 where r.rolname = any (%s)
   and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
 order by s.setdatabase
"""


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str


@dataclass(frozen=True)
class Function:
    schema: str
    name: str
    is_read_only: bool
    returns_set: bool
    returns_nothing: bool
    returns_rows: bool
    """Composite values, not scalars."""
    parameters: Sequence[Parameter]
    required: frozenset[str]
    settings: Mapping[str, str]

    def takes(self, names: frozenset[str]) -> bool:
        return self.required <= names <= {parameter.name for parameter in self.parameters}

    @property
    def signature(self) -> str:
        parameters = ", ".join(f"{each.name} => {each.type}" for each in self.parameters)
        return f"{self.schema}.{self.name}({parameters})"


class SchemaCache:
    """Does not change: a reload makes another one."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._functions: dict[tuple[str, str], list[Function]] = {}
        for row in connection.execute(_FUNCTIONS, [list(SCHEMAS)]):
            function = _function(row)
            self._functions.setdefault((function.schema, function.name), []).append(function)
        self.role_settings: dict[str, dict[str, str]] = {role: {} for role in ROLES}
        for role, setting in connection.execute(_ROLE_SETTINGS, [list(ROLES)]):
            self.role_settings[role].update(_settings([setting]))

    def find(self, schema: str, name: str, arguments: frozenset[str]) -> Function:
        """By the names of the arguments; their types do not matter."""
        overloads = self._functions.get((schema, name), [])
        fitting = [each for each in overloads if each.takes(arguments)]
        if not fitting:
            raise self._unknown(schema, name, sorted(arguments), overloads)
        if len(fitting) > 1:
            candidates = ", ".join(each.signature for each in fitting)
            raise refused(
                300,
                "PGRST203",
                f"Could not choose the best candidate function between: {candidates}",
                hint="Try renaming the parameters or the function itself in the database so function overloading "
                "can be resolved",
            )
        return fitting[0]

    def _unknown(self, schema: str, name: str, arguments: Sequence[str], overloads: Sequence[Function]) -> Refusal:
        listed = ", ".join(arguments)
        shown = f"({listed})" if arguments else " without parameters"
        searched = f"with parameter{'s' * (len(arguments) > 1)} {listed}" if arguments else "without parameters"
        return refused(
            404,
            "PGRST202",
            f"Could not find the function {schema}.{name}{shown} in the schema cache",
            details=f"Searched for the function {schema}.{name} {searched} or with a single unnamed json/jsonb "
            "parameter, but no matches were found in the schema cache.",
            hint=self._meant(schema, name, overloads),
        )

    def _meant(self, schema: str, name: str, overloads: Sequence[Function]) -> str | None:
        names = [each for (where, each) in self._functions if where == schema]
        if overloads:
            parameters = ", ".join(each.name for each in overloads[0].parameters)
            near = [f"{name}({parameters})"]
        else:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
        return f"Perhaps you meant to call the function {schema}.{near[0]}" if near else None


def _function(row: Sequence[Any]) -> Function:
    schema, name, is_read_only, returns_set, returns_nothing, returns_rows, names, modes, types, defaults, config = row
    inputs = [index for index in range(len(types)) if not modes or modes[index] in {"i", "b", "v"}]
    parameters = [Parameter(names[index] if index < len(names) else "", types[index]) for index in inputs]
    return Function(
        schema,
        name,
        is_read_only=is_read_only,
        returns_set=returns_set,
        returns_nothing=returns_nothing,
        returns_rows=returns_rows,
        parameters=parameters,
        required=frozenset(each.name for each in parameters[: len(parameters) - defaults]),
        settings=_settings(config),
    )


def _settings(lines: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
