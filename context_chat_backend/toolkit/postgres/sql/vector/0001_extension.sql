-- pgvector >= 0.8, checked before anything is made.

reset search_path;  -- it is made where extensions are made by default

do $do$
begin
  if not exists (select 1 from pg_extension where extname = 'vector') then
    begin
      -- Supabase keeps extensions in a schema of this name.
      if exists (select 1 from pg_namespace where nspname = 'extensions') then
        create extension vector with schema extensions;
      else
        create extension vector;
      end if;
    exception when others then
      raise exception 'the extension pgvector cannot be created: %', sqlerrm
        using errcode = 'feature_not_supported',
              hint = 'Install pgvector 0.8 or later on the database server, then run CREATE EXTENSION vector'
                     ' in this database as its administrator.';
    end;
  end if;
  -- 0.8 brought iterative index scans: without them a filtered search loses results.
  if (select (regexp_match(extversion, '^\d+\.\d+'))[1] from pg_extension where extname = 'vector')
       ~ '^0\.[0-7]$' then
    raise exception 'pgvector % is too old, 0.8 or later is required',
                    (select extversion from pg_extension where extname = 'vector')
      using errcode = 'feature_not_supported',
            hint = 'Install pgvector 0.8 or later on the database server, then run ALTER EXTENSION vector UPDATE'
                   ' in this database.';
  end if;
end
$do$;
