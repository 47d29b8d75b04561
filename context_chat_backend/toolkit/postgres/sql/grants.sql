-- The owner and, where it exists (Supabase), service_role.  Nobody else.

do $do$
declare
  f regprocedure;
  r text;
begin
  revoke all on schema ccb from public;
  for f in select p.oid::regprocedure from pg_proc p
            where p.pronamespace = 'public'::regnamespace and p.proname like 'ccb\_%'
  loop
    execute 'revoke all on function ' || f::text || ' from public';
    foreach r in array array['anon', 'authenticated'] loop
      if exists (select 1 from pg_roles where rolname = r) then
        execute 'revoke all on function ' || f::text || ' from ' || r;
      end if;
    end loop;
    if exists (select 1 from pg_roles where rolname = 'service_role') then
      execute 'grant execute on function ' || f::text || ' to service_role';
    end if;
  end loop;
  if exists (select 1 from pg_roles where rolname = 'service_role') then
    grant usage on schema ccb to service_role;
    grant all on all tables in schema ccb to service_role;
    grant all on all sequences in schema ccb to service_role;
    grant execute on all functions in schema ccb to service_role;
  end if;
end
$do$;

-- PostgREST reloads its schema cache; nobody else listens.
notify pgrst, 'reload schema';
