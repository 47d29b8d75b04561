-- Where names are looked for in the script that follows, and in every function that it makes: our schema, and the one that
-- the vector types were installed in.  No other, because whoever may create functions there could have ours call theirs.
select pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'ccb',
         (select pg_catalog.quote_ident(n.nspname)
            from pg_catalog.pg_extension e
            join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) e.extnamespace
           where e.extname operator(pg_catalog.=) 'vector'), 'pg_temp'), false);
