"""Makes a database look like that of a new Supabase project."""

from urllib.parse import urlsplit

import psycopg
from psycopg import sql

OWNER = "supabase_owner"
"""Stands in for Supabase's role `postgres`: it owns the database and is no superuser."""
LOGIN = "authenticator"
"""As whom PostgREST connects. It has no rights but to become one of `ROLES`."""
ROLES = ("anon", "authenticated", "service_role")

_CREATE_ROLES = """
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_owner login createrole createdb bypassrls;
grant anon, authenticated, service_role to authenticator;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role supabase_owner set search_path = "$user", public, extensions;
"""
_PREPARE = """
create schema if not exists extensions;
create extension if not exists vector schema extensions;
grant usage on schema extensions to public;
grant usage on schema public to anon, authenticated, service_role;
"""
_EXPOSE = """
alter default privileges for role supabase_owner in schema public
  grant all on functions to anon, authenticated, service_role;
alter default privileges for role supabase_owner in schema public
  grant all on tables to anon, authenticated, service_role;
"""


def prepare_database(uri: str, *, older_project: bool = False) -> str:
    """Roles, schema `extensions` with pgvector in it, and an owner that is no superuser; the URI for that owner.

    `uri` is a superuser's. May be repeated. A project that is older than May 2026 grants everything new in `public`
    to everybody.
    """
    with psycopg.connect(uri) as connection:
        # roles belong to the whole server
        if connection.execute("select 1 from pg_roles where rolname = %s", [OWNER]).fetchone() is None:
            connection.execute(_CREATE_ROLES)
        connection.execute(
            sql.SQL("alter database {} owner to {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(OWNER)
            )
        )
        connection.execute(_PREPARE)
        if older_project:
            connection.execute(_EXPOSE)
    return as_role(uri, OWNER)


def as_role(uri: str, role: str) -> str:
    """The same database for another role."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}@{host}").geturl()
