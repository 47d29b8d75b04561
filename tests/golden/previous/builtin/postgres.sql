


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;


CREATE SCHEMA ccb;



CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;



COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';



CREATE FUNCTION ccb.apply_op(p_old integer[], p_op text, p_users integer[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE
    AS $$
  select coalesce(array_agg(u order by u), '{}') from (
    select u from unnest(p_old) u
     where p_op = 'allow' or (p_op = 'deny' and u <> all (p_users))
    union
    select u from unnest(p_users) u where p_op in ('allow', 'set')
  ) s
$$;



CREATE FUNCTION ccb.check_op(p_op text, p_known text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if p_op is null or p_op <> all (p_known) then
    raise exception 'unknown access operation %', p_op using errcode = 'invalid_parameter_value';
  end if;
end
$$;



CREATE FUNCTION ccb.digest_of(p_members integer[]) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT
    AS $$ select sha256(convert_to(array_to_string(p_members, ','), 'UTF8')) $$;



CREATE FUNCTION ccb.drop_unused_groups(p_groups bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  g record;
begin
  for g in
    select a.group_id, a.members from ccb.access_groups a
     where a.group_id = any (p_groups)
       and not exists (select 1 from ccb.documents d where d.group_id = a.group_id)
     order by a.group_id
       for update skip locked
  loop
    -- again under the lock: a document may have been added meanwhile
    if not exists (select 1 from ccb.documents d where d.group_id = g.group_id) then
      delete from ccb.group_members
       where group_id = g.group_id and user_no = any (g.members);
      delete from ccb.access_groups where group_id = g.group_id;
    end if;
  end loop;
end
$$;



CREATE FUNCTION ccb.drop_unused_users(p_users integer[] DEFAULT NULL::integer[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if pg_try_advisory_xact_lock(hashtextextended('ccb:users', 0::bigint)) then
    delete from ccb.users x
     where (p_users is null or x.user_no = any (p_users))
       and not exists (select 1 from ccb.group_members m where m.user_no = x.user_no);
  end if;
end
$$;



CREATE FUNCTION ccb.group_for(p_provider text, p_members integer[]) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  d   bytea := ccb.digest_of(p_members);
  gid bigint;
begin
  for attempt in 1 .. 20 loop
    select group_id into gid from ccb.access_groups
     where provider = p_provider and digest = d for key share;
    if found then return gid; end if;
    insert into ccb.access_groups (provider, digest, members)
      values (p_provider, d, p_members)
      on conflict (provider, digest) do nothing
      returning group_id into gid;
    if found then
      insert into ccb.group_members (user_no, group_id)
        select m, gid from unnest(p_members) m;
      return gid;
    end if;
  end loop;
  raise exception 'the access group is being changed' using errcode = 'serialization_failure';
end
$$;



CREATE FUNCTION ccb.groups_of(p_user text, p_providers text[]) RETURNS bigint[]
    LANGUAGE sql STABLE
    AS $$
  select coalesce(array_agg(m.group_id), '{}')
    from ccb.users u
    join ccb.group_members m using (user_no)
    join ccb.access_groups a using (group_id)
   where u.uid = p_user and (p_providers is null or a.provider = any (p_providers))
$$;



CREATE FUNCTION ccb.lock_providers(p_providers text[], p_exclusive boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  p text;
begin
  for p in select distinct x from unnest(p_providers) x where x is not null order by 1 loop
    if p_exclusive then
      perform pg_advisory_xact_lock(hashtextextended('ccb:provider:' || p, 0::bigint));
    else
      perform pg_advisory_xact_lock_shared(hashtextextended('ccb:provider:' || p, 0::bigint));
    end if;
  end loop;
end
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;


CREATE TABLE ccb.documents (
    doc_id bigint NOT NULL,
    source_id text NOT NULL,
    provider text NOT NULL,
    group_id bigint,
    title text NOT NULL,
    doc_type text NOT NULL,
    modified bigint NOT NULL,
    content_hash text NOT NULL,
    chunk_count integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);



CREATE FUNCTION ccb.lock_source(p_source_id text, p_provider text DEFAULT NULL::text) RETURNS ccb.documents
    LANGUAGE plpgsql
    AS $$
declare
  seen text := (select provider from ccb.documents
                 where source_id = p_source_id and group_id is not null);
  doc  ccb.documents;
begin
  perform ccb.lock_providers(array[seen, p_provider], false);
  perform ccb.lock_sources(array[p_source_id]);
  select * into doc from ccb.documents where source_id = p_source_id and group_id is not null;
  if doc.provider is distinct from seen and doc.provider is distinct from p_provider
     and doc.provider is not null then
    raise exception 'the source was stored meanwhile' using errcode = 'serialization_failure';
  end if;
  return doc;
end
$$;



CREATE FUNCTION ccb.lock_sources(p_sources text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  s text;
begin
  for s in select distinct unnest(p_sources) order by 1 loop
    perform pg_advisory_xact_lock(hashtextextended('ccb:source:' || s, 0::bigint));
  end loop;
end
$$;



CREATE FUNCTION ccb.members_of(p_group bigint) RETURNS integer[]
    LANGUAGE sql STABLE
    AS $$ select members from ccb.access_groups where group_id = p_group $$;



CREATE FUNCTION ccb.nearest_ann(p_q public.halfvec, p_groups bigint[], p_k integer) RETURNS TABLE(chunk_id bigint, dist double precision)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
begin
  return query
  with c as materialized (
    select c.chunk_id, c.embedding <=> p_q as dist
      from ccb.chunks c
     where exists (select 1 from ccb.documents d
                    where d.doc_id = c.doc_id and d.group_id = any (p_groups))
     order by c.embedding <=> p_q limit p_k)
  -- "+ 0": PostgreSQL 17+ believes that the CTE is sorted already; relaxed_order is not
  select c.chunk_id, c.dist from c order by c.dist + 0;
end
$$;



CREATE FUNCTION ccb.nearest_exact(p_q public.halfvec, p_docs bigint[], p_k integer) RETURNS TABLE(chunk_id bigint, dist double precision)
    LANGUAGE sql STABLE
    AS $$
  with c as materialized (
    select c.chunk_id, c.embedding <=> p_q as dist
      from ccb.chunks c where c.doc_id = any (p_docs))
  select chunk_id, dist from c order by dist limit p_k
$$;



CREATE FUNCTION ccb.publish(p_doc_id bigint, p_users text[], p_chunks integer, p_present integer, p_ticket text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  staged ccb.documents;
  stored ccb.documents;
  u      int[] := ccb.reader_numbers(p_users);
  g      bigint;
begin
  select * into staged from ccb.documents where doc_id = p_doc_id;
  stored := ccb.lock_source(staged.source_id, staged.provider);
  select * into staged from ccb.documents where doc_id = p_doc_id and group_id is null for update;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
  if p_ticket is not null then
    delete from ccb.tickets where source_id = staged.source_id and ticket = p_ticket::uuid;
    if not found then
      raise exception 'something else happened to the source of document % meanwhile', p_doc_id
        using errcode = 'no_data_found';
    end if;
  end if;
  if p_present <> p_chunks then
    raise exception 'document % has % chunks staged, % expected', p_doc_id, p_present, p_chunks
      using errcode = 'data_exception';
  end if;
  if stored.modified >= staged.modified then
    delete from ccb.documents where doc_id = p_doc_id;
    perform ccb.set_members(stored, ccb.apply_op(ccb.members_of(stored.group_id), 'allow', u));
    return 'unchanged';
  end if;
  g := ccb.group_for(staged.provider, u);           -- first: most often it is the group of the older version
  delete from ccb.documents where doc_id = stored.doc_id;
  update ccb.documents set group_id = g, chunk_count = p_chunks where doc_id = p_doc_id;
  perform ccb.drop_unused_groups(array[stored.group_id]);
  return case when stored.doc_id is null then 'created' else 'updated' end;
end
$$;



CREATE FUNCTION ccb.reader_numbers(p_uids text[]) RETURNS integer[]
    LANGUAGE plpgsql
    AS $$
declare
  u int[] := ccb.user_numbers(p_uids, true);
begin
  if u = '{}' then
    raise exception 'a source needs at least one reader' using errcode = 'invalid_parameter_value';
  end if;
  return u;
end
$$;



CREATE FUNCTION ccb.rekey_group(p_group bigint, p_members integer[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  grp    ccb.access_groups;
  target bigint;
  d      bytea := ccb.digest_of(p_members);
begin
  select * into grp from ccb.access_groups where group_id = p_group for update;
  if not found or grp.members = p_members then return; end if;
  if p_members = '{}' then
    delete from ccb.documents where group_id = p_group;
    perform ccb.drop_unused_groups(array[p_group]);
    return;
  end if;
  select group_id into target from ccb.access_groups
   where provider = grp.provider and digest = d for key share;
  if found then                                     -- same set exists: merge
    update ccb.documents set group_id = target where group_id = p_group;
    perform ccb.drop_unused_groups(array[p_group]);
  else                                              -- in place: no document is touched
    update ccb.access_groups set digest = d, members = p_members where group_id = p_group;
    delete from ccb.group_members
     where group_id = p_group and user_no = any (grp.members) and user_no <> all (p_members);
    insert into ccb.group_members (user_no, group_id)
      select m, p_group from unnest(p_members) m where m <> all (grp.members)
    on conflict do nothing;
  end if;
end
$$;



CREATE FUNCTION ccb.require_model(p_dimension integer, p_model text, p_keep boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  cure text := 'Go back to the former embedding model, or use an empty database and index everything again.';
begin
  perform ccb.require_setting('embedding_dim', p_dimension::text,
    'the store was created for embeddings of %s dimensions, the embedding model makes %s', cure, p_keep);
  perform ccb.require_setting('embedding_model', p_model,
    'the store holds embeddings of the model "%s", not of "%s"', cure, p_keep);
end
$$;



CREATE FUNCTION ccb.require_setting(p_key text, p_value text, p_otherwise text, p_hint text, p_keep boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  kept text;
begin
  if p_keep then
    insert into ccb.settings values (p_key, p_value) on conflict (key) do nothing;
  end if;
  select value into kept from ccb.settings where key = p_key;
  if kept <> p_value then
    raise exception using errcode = 'feature_not_supported',
      message = format(p_otherwise, kept, p_value), hint = p_hint;
  end if;
end
$$;



CREATE FUNCTION ccb.search(p_user text, p_embedding public.halfvec DEFAULT NULL::public.halfvec, p_query text DEFAULT NULL::text, p_k integer DEFAULT 10, p_providers text[] DEFAULT NULL::text[], p_sources text[] DEFAULT NULL::text[], p_mode text DEFAULT 'hybrid'::text) RETURNS TABLE(source_id text, provider text, title text, doc_type text, modified bigint, ordinal integer, content text, score double precision, distance double precision)
    LANGUAGE plpgsql STABLE
    AS $$
#variable_conflict use_column
declare
  groups   bigint[] := ccb.groups_of(p_user, p_providers);
  docs     bigint[];
  n_docs   bigint;
  n_chunks bigint;
  doc_cap  int := ccb.setting_int('exact_max_documents');
  depth    int := greatest(p_k * 4, 40);
  terms    text[];
  v_ids    bigint[] := '{}';
  v_dist   float8[] := '{}';
  t_ids    bigint[] := '{}';
begin
  if groups = '{}' then return; end if;

  -- How much may this user see?  Read only as far as needed to decide.
  if p_sources is not null then
    docs := array(select doc_id from ccb.documents d
                   where d.source_id = any (p_sources) and d.group_id = any (groups));
    if docs = '{}' then return; end if;
  else
    select count(*), coalesce(sum(chunk_count), 0) into n_docs, n_chunks
      from (select chunk_count from ccb.documents where group_id = any (groups) limit doc_cap + 1) s;
    if n_docs = 0 then return; end if;
    if n_docs <= doc_cap and n_chunks <= ccb.setting_int('exact_max_chunks') then
      docs := array(select doc_id from ccb.documents where group_id = any (groups));
    end if;
  end if;

  if p_mode in ('vector', 'hybrid') and p_embedding is not null then
    if docs is null then
      -- set_config, not a SET clause: a non-superuser may not attach hnsw.* to a
      -- function before the extension library is loaded in the session
      perform set_config('hnsw.iterative_scan', 'relaxed_order', true),
              set_config('hnsw.ef_search', least(1000, greatest(ccb.setting_int('ef_search'), depth))::text, true),
              set_config('hnsw.max_scan_tuples', ccb.setting_int('max_scan_tuples')::text, true);
      select array_agg(chunk_id order by dist), array_agg(dist order by dist) into v_ids, v_dist
        from ccb.nearest_ann(p_embedding, groups, depth);
    end if;
    if docs is not null or coalesce(cardinality(v_ids), 0) < p_k then
      -- few accessible chunks, or the index scan gave up before it found p_k of them
      select array_agg(chunk_id order by dist), array_agg(dist order by dist) into v_ids, v_dist
        from ccb.nearest_exact(p_embedding, coalesce(docs,
               array(select doc_id from ccb.documents where group_id = any (groups))), depth);
    end if;
  end if;

  if p_mode in ('text', 'hybrid') then
    terms := ccb.terms_of(coalesce(p_query, ''));
    if terms <> '{}' then t_ids := ccb.text_hits(terms, docs, groups, depth); end if;
  end if;

  return query
  with hits as (
    select id, 1.0::float8 / (60 + ord) as s, v_dist[ord] as dist
      from unnest(v_ids) with ordinality as a(id, ord)
    union all
    select id, 1.0::float8 / (60 + ord), null from unnest(t_ids) with ordinality as b(id, ord)
  ), fused as (
    select id, sum(s) as s, min(dist) as dist from hits group by id
     order by s desc, dist nulls last limit p_k
  )
  select d.source_id, d.provider, d.title, d.doc_type, d.modified,
         c.ordinal, c.content, f.s, f.dist
    from fused f
    join ccb.chunks c on c.chunk_id = f.id
    join ccb.documents d on d.doc_id = c.doc_id
   where d.group_id = any (groups)      -- defence in depth: never return what is not accessible
   order by f.s desc, f.dist nulls last;
end
$$;



CREATE FUNCTION ccb.set_members(p_doc ccb.documents, p_members integer[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  g bigint;
begin
  if p_members = '{}' then
    delete from ccb.documents where doc_id = p_doc.doc_id;
  else
    g := ccb.group_for(p_doc.provider, p_members);
    if g = p_doc.group_id then return; end if;
    update ccb.documents set group_id = g where doc_id = p_doc.doc_id;
  end if;
  perform ccb.drop_unused_groups(array[p_doc.group_id]);
end
$$;



CREATE FUNCTION ccb.setting_int(p_key text) RETURNS integer
    LANGUAGE sql STABLE
    AS $$ select value::int from ccb.settings where key = p_key $$;



CREATE FUNCTION ccb.terms_of(p_query text) RETURNS text[]
    LANGUAGE sql STABLE
    AS $$
  with terms as (
    select t.lexeme, coalesce(c.freq, 0.0005) as freq
      from unnest(to_tsvector('simple', p_query)) t left join ccb.common_terms c using (lexeme))
  select coalesce(array_agg(lexeme order by freq, length(lexeme) desc), '{}') from (
    select lexeme, freq from terms
     where freq < 0.1 or not exists (select 1 from terms where freq < 0.1)
     order by freq limit 8) s
$$;



CREATE FUNCTION ccb.text_array(p_list jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    AS $$ select array(select jsonb_array_elements_text(p_list)) $$;



CREATE FUNCTION ccb.text_hits(p_terms text[], p_docs bigint[], p_groups bigint[], p_depth integer) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  tiers tsquery[] := array[ccb.tsq(p_terms, '&')];
  cap   int := greatest(ccb.setting_int('text_candidates'), p_depth);
  cand  bigint[] := '{}';
  more  bigint[];
  t     tsquery;
  q_any tsquery := ccb.tsq(p_terms, '|');
begin
  if cardinality(p_terms) > 2 then tiers := tiers || ccb.tsq(p_terms[1:2], '&'); end if;
  if cardinality(p_terms) > 1 then tiers := tiers || ccb.tsq(p_terms[1:3], '|'); end if;
  foreach t in array tiers loop
    if p_docs is not null then
      select array_agg(chunk_id) into more from (
        select c.chunk_id from ccb.chunks c
         where c.doc_id = any (p_docs) and c.tsv @@ t and c.chunk_id <> all (cand)
         limit cap) s;
    else
      select array_agg(chunk_id) into more from (
        select c.chunk_id from ccb.chunks c
         where c.tsv @@ t and c.chunk_id <> all (cand)
           and exists (select 1 from ccb.documents d
                        where d.doc_id = c.doc_id and d.group_id = any (p_groups))
         limit cap) s;
    end if;
    cand := cand || coalesce(more, '{}');
    exit when cardinality(cand) >= p_depth;
  end loop;
  return (select array_agg(chunk_id order by w desc, r desc) from (
    select c.chunk_id, x.w, ts_rank_cd(c.tsv, q_any, 1) as r
      from ccb.chunks c,
           lateral (select sum(ln(1 + 1 / coalesce(ct.freq, 0.0005))) as w
                      from unnest(p_terms) u(lexeme) left join ccb.common_terms ct using (lexeme)
                     where c.tsv @@ quote_literal(u.lexeme)::tsquery) x
     where c.chunk_id = any (cand)
     order by w desc, r desc limit p_depth) s);
end
$$;



CREATE FUNCTION ccb.tidy(p_older_than interval) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
  n int;
begin
  with gone as (delete from ccb.documents where group_id is null
                and created_at < now() - p_older_than returning 1)
  select count(*) into n from gone;
  delete from ccb.tickets where issued_at < now() - p_older_than;
  perform ccb.drop_unused_groups(array(
    select group_id from ccb.access_groups a
     where not exists (select 1 from ccb.documents d where d.group_id = a.group_id)
     order by group_id limit 5000));
  perform ccb.drop_unused_users();
  return n;
end
$$;



CREATE FUNCTION ccb.tsq(p_terms text[], p_op text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE
    AS $$
  select string_agg(quote_literal(t), p_op)::tsquery from unnest(p_terms) t
$$;



CREATE FUNCTION ccb.user_numbers(p_uids text[], p_create boolean) RETURNS integer[]
    LANGUAGE plpgsql
    AS $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('ccb:users', 0::bigint));
  if p_create then
    insert into ccb.users (uid)
      select u from (select distinct unnest(p_uids) as u) s
       where u is not null and u <> ''
         and not exists (select 1 from ccb.users x where x.uid = s.u)
       order by u
    on conflict (uid) do nothing;
  end if;
  return array(select user_no from ccb.users where uid = any (p_uids) order by user_no);
end
$$;



CREATE FUNCTION ccb.void_tickets(p_sources text[]) RETURNS void
    LANGUAGE sql
    AS $$ delete from ccb.tickets where source_id = any (p_sources) $$;



CREATE FUNCTION public.ccb_begin_upsert(p_source jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
declare
  u   int[] := ccb.reader_numbers(ccb.text_array(p_source -> 'users'));
  doc ccb.documents := ccb.lock_source(p_source ->> 'source_id', p_source ->> 'provider');
  cur int[] := ccb.members_of(doc.group_id);
  t   uuid;
begin
  perform ccb.void_tickets(array[p_source ->> 'source_id']);
  if doc.doc_id is null then
    null;
  elsif doc.modified >= (p_source ->> 'modified')::bigint then
    perform ccb.set_members(doc, ccb.apply_op(cur, 'allow', u));
    return jsonb_build_object('state', 'unchanged');
  elsif (doc.content_hash, doc.title, doc.doc_type, doc.provider)
        = (p_source ->> 'content_hash', p_source ->> 'title', p_source ->> 'type', p_source ->> 'provider') then
    update ccb.documents set modified = (p_source ->> 'modified')::bigint where doc_id = doc.doc_id;
    perform ccb.set_members(doc, u);
    return jsonb_build_object('state', 'refreshed');
  else
    perform ccb.set_members(doc, array(select unnest(cur) intersect select unnest(u) order by 1));
  end if;
  insert into ccb.tickets (source_id, provider) values (p_source ->> 'source_id', p_source ->> 'provider')
    returning ticket into t;
  return jsonb_build_object('state', 'index', 'ticket', t);
end
$$;



CREATE FUNCTION public.ccb_collect_garbage(p_older_than interval DEFAULT '1 day'::interval) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  n int;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:garbage', 0::bigint)) then return 0; end if;
  n := ccb.tidy(p_older_than);
  -- document frequencies of the most common lexemes, as ANALYZE saw them
  delete from ccb.common_terms;
  insert into ccb.common_terms
    select distinct on (e.lexeme) e.lexeme, e.freq
      from pg_stats s,
           unnest(s.most_common_elems::text::text[],
                  s.most_common_elem_freqs[1:cardinality(s.most_common_elems::text::text[])]) e(lexeme, freq)
     where s.schemaname = 'ccb' and s.tablename = 'chunks' and s.attname = 'tsv' and e.lexeme is not null
     order by e.lexeme;
  return n;
end
$$;



CREATE FUNCTION public.ccb_count_documents() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
  select coalesce(jsonb_object_agg(provider, n), '{}')
    from (select provider, count(*) as n from ccb.documents where group_id is not null group by 1) s
$$;



CREATE FUNCTION public.ccb_delete_older(p_source_id text, p_modified bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
declare
  doc ccb.documents := ccb.lock_source(p_source_id);
begin
  perform ccb.void_tickets(array[p_source_id]);
  if doc.doc_id is null or doc.modified >= p_modified then return false; end if;
  perform ccb.set_members(doc, '{}');
  return true;
end
$$;



CREATE FUNCTION public.ccb_delete_provider(p_provider text, p_limit integer DEFAULT 2000) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  n int;
begin
  perform ccb.lock_providers(array[p_provider], true);
  delete from ccb.tickets where provider = p_provider;
  with gone as (delete from ccb.documents where doc_id in (
      select doc_id from ccb.documents where provider = p_provider
       order by doc_id limit p_limit for update) returning 1)
  select count(*) into n from gone;
  if n < p_limit then
    perform ccb.drop_unused_groups(array(select group_id from ccb.access_groups where provider = p_provider));
  end if;
  return n;
end
$$;



CREATE FUNCTION public.ccb_delete_sources(p_source_ids text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  old bigint[];
begin
  perform ccb.lock_providers(array(select provider from ccb.documents
                                    where source_id = any (p_source_ids) and group_id is not null), false);
  perform ccb.lock_sources(p_source_ids);
  perform ccb.void_tickets(p_source_ids);
  delete from ccb.documents where source_id = any (p_source_ids) and group_id is null;
  with gone as (delete from ccb.documents where source_id = any (p_source_ids)
                and group_id is not null returning group_id)
  select array_agg(group_id) into old from gone;
  perform ccb.drop_unused_groups(old);
  return coalesce(cardinality(old), 0);
end
$$;



CREATE FUNCTION public.ccb_delete_user(p_uid text, p_limit integer DEFAULT 500) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  u      int := (select user_no from ccb.users where uid = p_uid);
  locked text[];
  g      record;
  n      int := 0;
begin
  locked := array(select a.provider from ccb.group_members m join ccb.access_groups a using (group_id)
                   where m.user_no = u
                   union select provider from ccb.tickets);
  perform ccb.lock_providers(locked, true);
  delete from ccb.tickets where provider = any (locked);    -- whatever is being indexed may be for this reader
  u := (select user_no from ccb.users where uid = p_uid);   -- or has just brought the reader back
  for g in
    select a.group_id, a.members from ccb.group_members m join ccb.access_groups a using (group_id)
     where m.user_no = u and a.provider = any (locked) order by a.group_id limit p_limit
  loop
    perform ccb.rekey_group(g.group_id, array_remove(g.members, u));
    n := n + 1;
  end loop;
  if n < p_limit and u is not null then perform ccb.drop_unused_users(array[u]); end if;
  return n;
end
$$;



CREATE FUNCTION public.ccb_discard_staged(p_doc_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$ delete from ccb.documents where doc_id = p_doc_id and group_id is null $$;



CREATE FUNCTION public.ccb_open_store(p_dimension integer, p_model text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
begin
  perform ccb.require_model(p_dimension, p_model);
  return public.ccb_status();
end
$$;



CREATE FUNCTION public.ccb_publish_source(p_doc_id bigint, p_users text[], p_chunks integer, p_ticket text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
  select ccb.publish(p_doc_id, p_users, p_chunks,
                     (select count(*)::int from ccb.chunks where doc_id = p_doc_id), p_ticket)
$$;



CREATE FUNCTION public.ccb_search(p_user text, p_embedding public.halfvec DEFAULT NULL::public.halfvec, p_query text DEFAULT NULL::text, p_k integer DEFAULT 10, p_providers text[] DEFAULT NULL::text[], p_sources text[] DEFAULT NULL::text[], p_mode text DEFAULT 'hybrid'::text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
  select coalesce(jsonb_agg(jsonb_build_object('source_id', source_id, 'title', title, 'content', content, 'score', score)
                            order by place), '[]')
    from ccb.search(p_user, p_embedding, p_query, p_k, p_providers, p_sources, p_mode)
         with ordinality as s(source_id, provider, title, doc_type, modified, ordinal, content, score, distance, place)
$$;



CREATE FUNCTION public.ccb_stage_chunks(p_doc_id bigint, p_chunks jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
begin
  perform 1 from ccb.documents where doc_id = p_doc_id and group_id is null for key share;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
  insert into ccb.chunks (doc_id, ordinal, embedding, content)
    select p_doc_id, c.ordinal, c.embedding, c.content
      from jsonb_to_recordset(p_chunks) as c (ordinal int, embedding halfvec, content text)
  on conflict (doc_id, ordinal) do update
     set embedding = excluded.embedding, content = excluded.content;
  return jsonb_array_length(p_chunks);
end
$$;



CREATE FUNCTION public.ccb_stage_source(p_source jsonb) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
  insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash)
    values (p_source ->> 'source_id', p_source ->> 'provider', p_source ->> 'title', p_source ->> 'type',
            (p_source ->> 'modified')::bigint, p_source ->> 'content_hash')
    returning doc_id
$$;



CREATE FUNCTION public.ccb_status() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
  select jsonb_object_agg(key, value) || jsonb_build_object(
    'pgvector', (select extversion from pg_extension where extname = 'vector'),
    'postgres', current_setting('server_version_num')::int)
    from ccb.settings
   where key in ('store_id', 'schema_version', 'functions', 'embedding_dim', 'embedding_model')
$$;



CREATE FUNCTION public.ccb_store_source(p_source jsonb) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  d bigint := public.ccb_stage_source(p_source);
begin
  perform public.ccb_stage_chunks(d, p_source -> 'chunks');
  return public.ccb_publish_source(d, ccb.text_array(p_source -> 'users'),
                                   jsonb_array_length(p_source -> 'chunks'), p_source ->> 'ticket');
end
$$;



CREATE FUNCTION public.ccb_update_access(p_op text, p_users text[], p_source_id text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    AS $$
declare
  u   int[];
  doc ccb.documents;
begin
  perform ccb.check_op(p_op, '{allow,deny,set}');
  u := ccb.user_numbers(p_users, false);
  doc := ccb.lock_source(p_source_id);
  perform ccb.void_tickets(array[p_source_id]);
  if doc.doc_id is null then return false; end if;
  if p_op <> 'deny' then u := ccb.user_numbers(p_users, true); end if;
  perform ccb.set_members(doc, ccb.apply_op(ccb.members_of(doc.group_id), p_op, u));
  return true;
end
$$;



CREATE FUNCTION public.ccb_update_access_provider(p_op text, p_users text[], p_provider text, p_after bigint DEFAULT 0, p_limit integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'public', 'pg_temp'
    SET statement_timeout TO '55s'
    AS $$
declare
  g    record;
  u    int[];
  n    int := 0;
  last bigint;
begin
  perform ccb.check_op(p_op, '{allow,deny}');
  u := ccb.user_numbers(p_users, p_op = 'allow' and exists (
         select 1 from ccb.access_groups where provider = p_provider));
  perform ccb.lock_providers(array[p_provider], true);
  delete from ccb.tickets where provider = p_provider;
  for g in select group_id, members from ccb.access_groups
            where provider = p_provider and group_id > p_after order by group_id limit p_limit
  loop
    perform ccb.rekey_group(g.group_id, ccb.apply_op(g.members, p_op, u));
    n := n + 1;
    last := g.group_id;
  end loop;
  return jsonb_build_object('next', case when n = p_limit then last end);
end
$$;



CREATE TABLE ccb.access_groups (
    group_id bigint NOT NULL,
    provider text NOT NULL,
    digest bytea NOT NULL,
    members integer[] NOT NULL,
    CONSTRAINT access_groups_members_check CHECK ((members <> '{}'::integer[]))
);



ALTER TABLE ccb.access_groups ALTER COLUMN group_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ccb.access_groups_group_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE ccb.chunks (
    chunk_id bigint NOT NULL,
    doc_id bigint NOT NULL,
    ordinal integer NOT NULL,
    embedding public.halfvec(384) NOT NULL,
    content text NOT NULL,
    tsv tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, content)) STORED
)
WITH (toast_tuple_target='256');
ALTER TABLE ONLY ccb.chunks ALTER COLUMN embedding SET STORAGE PLAIN;



ALTER TABLE ccb.chunks ALTER COLUMN chunk_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ccb.chunks_chunk_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE ccb.common_terms (
    lexeme text NOT NULL,
    freq real NOT NULL
);



ALTER TABLE ccb.documents ALTER COLUMN doc_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ccb.documents_doc_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE ccb.group_members (
    user_no integer NOT NULL,
    group_id bigint NOT NULL
);



CREATE TABLE ccb.settings (
    key text NOT NULL,
    value text NOT NULL
);



CREATE TABLE ccb.tickets (
    source_id text NOT NULL,
    provider text NOT NULL,
    ticket uuid DEFAULT gen_random_uuid() NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL
);



CREATE TABLE ccb.users (
    user_no integer NOT NULL,
    uid text NOT NULL
);



ALTER TABLE ccb.users ALTER COLUMN user_no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ccb.users_user_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



COPY ccb.access_groups (group_id, provider, digest, members) FROM stdin;
1	files__default	\\x17f8af97ad4a7f7639a4c9171d5185cbafb85462877a4746c21bdb0a4f940ca0	{1,2}
3	files__default	\\x091502b7a77ec8716c39ff97d557417dcbd5c2039686380dbcd2c339348361e3	{1,8}
4	files__default	\\x7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451	{7}
8	deck__deck	\\x19581e27de7ced00ff1ce50b2047e7a567c76b1cbaebabe5ef03f7c3017bb5b7	{9}
10	notes__notes	\\xa90009cf5c0e11b364872c26dc927e8c7d5c50053b6394404639f11e4f75de5e	{2,9}
11	files__default	\\x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b	{1}
12	files__default	\\x8033b420d79582914a5fd3f9f83554e941d9e1f4511b9af3891d65d237ac8b21	{1,2,9,10}
13	notes__notes	\\x3d5341ed65e99054792bf872ac29ccdb7668ca8d822c2ae7b729ea5638b91896	{1,10}
5	mail__mail	\\x8e2e5906844adcae6ce8cea8ad8abacc85d08e77b04a2c847f4387350b375a80	{1,2,7}
6	mail__mail	\\xe3d64bd359500f03e5e851eeb72a301aef654583d781b295840f6092db9d2792	{2,7}
7	deck__deck	\\x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b	{1}
\.



COPY ccb.chunks (chunk_id, doc_id, ordinal, embedding, content) FROM stdin;
1	1	0	[-0.0033073425,0.030761719,0.08001709,0.03479004,-0.016708374,-0.03781128,-0.03479004,-0.0021305084,-0.051727295,0.03326416,-0.017105103,-0.11077881,0.0118637085,0.037628174,0.06072998,0.02507019,-0.0050697327,-0.038879395,-0.03225708,0.08099365,0.050079346,0.07849121,-0.058807373,0.03817749,-0.06555176,-0.029464722,0.079711914,-0.05770874,0.005519867,0.023544312,-0.15368652,-0.0055122375,0.017974854,0.01171875,0.019119263,0.02909851,-0.007259369,-0.019805908,0.09039307,0.026794434,-0.03250122,0.06201172,-0.024871826,0.14025879,0.037902832,0.021713257,0.005645752,0.024108887,0.072753906,0.06463623,-0.061706543,-0.005634308,-0.07562256,0.059906006,-0.030471802,-0.000831604,-0.05404663,-0.068725586,0.048980713,-0.03643799,0.07867432,-0.012084961,0.072753906,-0.02218628,0.036376953,-0.04058838,-0.066711426,0.07714844,-0.08319092,-0.03955078,0.03137207,-0.042297363,0.0115356445,-0.007843018,-0.021118164,-0.022628784,-0.01361084,-0.013504028,-0.024169922,-0.0005683899,0.06591797,-0.06524658,-0.06719971,0.05697632,0.12445068,0.0023937225,0.053649902,0.009407043,-0.027954102,0.038360596,-0.012870789,-0.08337402,-0.07684326,-0.06317139,0.05871582,-0.0826416,-0.060272217,-0.0046844482,0.06137085,-0.039916992,0.0040893555,-0.002216339,-0.076293945,-0.0625,0.01953125,0.008468628,0.027526855,0.026290894,0.07336426,-0.00630188,0.012336731,0.03640747,0.07940674,0.032470703,0.0036239624,0.08880615,-0.08679199,-0.064697266,-0.013031006,0.0027256012,-0.029022217,-0.028274536,0.05682373,0.012939453,-0.07421875,-0.0049476624,0.012664795,-0,0.04031372,-0.024047852,-0.058746338,-0.029373169,0.0018873215,-0.0013561249,0.008857727,-0.04248047,-0.09350586,-0.026428223,-0.056274414,0.027770996,-0.011734009,0.07647705,-0.05618286,-0.042816162,-0.028366089,-0.017700195,-0.11291504,0.015899658,0.06237793,0.03805542,-0.010292053,-0.083740234,0.04071045,-0.077819824,-0.014320374,-0.02999878,0.03543091,0.025436401,-0.027252197,-0.060821533,-0.03286743,-0.009460449,0.04156494,-0.0149383545,0.04711914,0.020645142,-0.031234741,-0.09313965,-0.0041503906,0.0038700104,-0.11065674,0.08355713,-0.016418457,0.0005617142,0.068237305,0.007671356,0.04006958,-0.005832672,-0.022445679,-0.11608887,-0.11462402,0.008003235,-0.048431396,0.0032958984,0.07159424,-0.05078125,-0.023864746,0.061309814,0.05883789,-0.036010742,0.00919342,0.027236938,0.08166504,0.060668945,0.003648758,-0.04663086,0.053741455,-0.09307861,-0.06817627,0.024276733,0.006023407,-0.080078125,-0.08673096,0.001625061,0.0040283203,-0.022979736,-0.028396606,0.00091028214,0.06652832,0.06210327,0.062194824,0.055145264,-0.007865906,0.06976318,0.05316162,-0.052368164,0.07885742,-0.037322998,0.049072266,-0.07092285,0.02079773,-0.118896484,-0.060791016,0,0.06530762,-0.028503418,-0.04232788,-0.011619568,-0.045013428,-0.060821533,0.061462402,0.08135986,-0.004173279,-0.026763916,-0.0914917,0.034973145,0.03945923,0.021194458,0.03555298,0.0076026917,0.10601807,0.028625488,0.0011539459,-0.12719727,0.05734253,-0.084472656,0.13293457,0.036468506,0.061645508,0.05029297,0.0008482933,0.06555176,0.034606934,-0.06549072,-0.03765869,0.0904541,0.044158936,-0.0032043457,-0.019943237,0.09643555,0.014022827,0.007293701,-0.0023498535,0.009315491,-0.053985596,-0.068359375,-0.107177734,-0.03466797,-0.09082031,0.051116943,-0.012451172,0.055603027,0.009979248,0.046905518,0.03955078,-0.0473938,0.15551758,-0.008338928,0.033355713,0.0012578964,-0.014442444,0.042999268,0.008964539,0.01197052,0.035125732,0.011314392,0.025787354,-0.06384277,-0.049621582,0.04257202,0.014015198,-0.016647339,-0.0062408447,-0.037139893,-0.03778076,0.0082473755,-0.04385376,0.0020065308,0.03024292,-0.045776367,-0.03945923,0.0037021637,-0.050964355,0.083496094,-0.034606934,0.018005371,0.019500732,0.044036865,-0.036315918,-0.046417236,0.042999268,6.7055225e-05,-0.007297516,-0.09295654,-0.056610107,-0.006011963,0.0104904175,-0.03353882,0.011413574,-0,0.015136719,-0.02229309,0.076293945,0.05621338,0.033355713,-0.058410645,-0.044708252,0.09753418,0.09375,-0.018966675,-0.019363403,-0.0440979,0.028961182,-0.010482788,-0.011207581,-0.031066895,0.019180298,-0.015335083,0.033111572,0.012939453,-0.003036499,-0.011138916,-0.046081543,-0.016082764,-0.027526855,0.01928711,-0.07269287,-0.018692017,0.051208496,0.011543274,0.0124053955,0.0045394897,-0.0345459,-0.019744873,-0.08215332,0.032592773,0.011405945,0.04611206,-0.021972656,0.0050354004,-0.020935059,0.13171387,0.042541504,0.0141067505,0.022262573,-0.026443481,0.043823242,0.043548584,0.041229248,-0.07562256,0.044036865,0.03466797,0.017074585,0.014877319,-0.039123535,0.028671265,-0.08795166,-0.029846191,-0.05545044,0.12219238,-0.04916382,0.026794434,0.037322998,0.08959961]	The whale swims past the harbour into the deep blue sea.
2	2	0	[0.0068969727,0.012359619,-0.015655518,0.018966675,0.07495117,0.0068130493,0.05380249,-0.09063721,-0.03564453,-0.012527466,0.057403564,-0.018493652,-0.027938843,-0.050689697,0.04727173,0.0993042,0.027755737,-0.010864258,-0.02015686,-0.023910522,-0.06958008,0.04949951,-0.010177612,0.0496521,-0.01512146,0.014411926,-0.021972656,0.09851074,-0.07397461,-0.045318604,-0.027389526,0.10681152,0.029922485,0.007118225,0.02267456,0.09173584,-0.02659607,0.000166893,0.111694336,-0.035858154,-0.039855957,-0.0657959,0.054473877,0.07647705,-0.02407837,-0.03390503,-0.008491516,0.010612488,0.064575195,-0.035583496,0.0061073303,-0.036346436,-0.08068848,-0.023834229,-0.036346436,0.026306152,-0.010955811,-0.026489258,-0.03704834,0.025802612,0.037902832,0.01828003,-0.05630493,0.06604004,-0.0826416,-0.068481445,-0.062438965,0.031143188,0.072265625,0.0064697266,0.034423828,0.047302246,0.0017633438,-0.06591797,-0.07763672,0.017364502,0.012870789,-0.013725281,-0.021530151,-0.00065755844,0.019485474,0.08959961,0.017791748,0.09490967,0.12609863,-0.03652954,-0.048431396,-0.008636475,-0.009162903,0.05557251,-0.0058517456,-0.04852295,-0.012893677,0.025650024,-0.032470703,-0.088378906,0.0032367706,-0.08874512,-0.06347656,0.010955811,0.050811768,0.05218506,0.09326172,0.023620605,0.072509766,0.014984131,-0.035064697,-0.03729248,-0.032958984,-0.008628845,-0.034729004,-0.03930664,0.013206482,-0.027267456,-0.08129883,0.020629883,-0.08062744,-0.12780762,-0.01058197,-0.011177063,-0.0061187744,-0.028884888,-0.0046691895,-0.04421997,0.0028629303,0.049224854,-0.018569946,-0,-0.026870728,0.0335083,0.013244629,0.039611816,0.0770874,-0.064575195,0.040222168,-0.06311035,-0.101867676,-0.010383606,-0.03112793,-0.04244995,-0.05895996,0.010215759,0.05029297,-0.042541504,0.028900146,0.024536133,-0.01939392,-0.015792847,-0.07287598,-0.06561279,-0.1237793,-0.083618164,-0.0793457,-0.03463745,0.0013103485,-0.0018024445,0.0008535385,0.06738281,0.14331055,0.026870728,0.03842163,0.07055664,-0.028045654,-0.05908203,-0.01184845,-0.067871094,0.041168213,0.06567383,0.009529114,0.049438477,0.04458618,0.0713501,-0.048828125,-0.023880005,0.009117126,-0.00374794,0.10748291,0.029846191,0.06829834,-0.05444336,-0.022979736,0.028564453,0.03286743,0.004760742,-0.015975952,0.028320312,-0.036865234,-0.02041626,-0.018325806,-0.03878784,-0.02947998,-0.06274414,0.031829834,0.06878662,-0.028640747,-0.072631836,-0.07647705,0.065979004,0.037597656,0.046691895,0.030639648,-0.006816864,0.037261963,0.024383545,0.074645996,0.02822876,0.034729004,0.029388428,0.011245728,0.076538086,-0.036834717,0.04043579,-0.023590088,-0.07336426,0.02192688,0.0904541,0.0013847351,-0.060424805,-0.0030441284,-0.017333984,-0.006641388,-0.09851074,-0.09259033,0,-0.046173096,0.06695557,-0.045959473,0.0026760101,-0.081726074,0.051361084,0.0037631989,-0.0066452026,-0.004951477,0.07727051,-0.10205078,0.09790039,0.075927734,-0.027435303,-0.0014953613,-0.004840851,0.07055664,0.02281189,0.010627747,-0.03427124,-0.026260376,-0.026153564,0.1005249,-0.06365967,-0.06311035,0.056396484,0.029541016,-0.076293945,-0.026443481,-0.027297974,-0.0009241104,-0.008277893,-0.0050811768,0.068237305,-0.091674805,0.039794922,-0.025100708,-0.10784912,-0.026779175,0.109191895,0.024795532,-0.05645752,0.07281494,0.060180664,-0.035217285,-0.07421875,-0.05319214,0.09552002,0.01878357,0.008163452,0.031951904,0.12249756,0.014968872,0.04827881,0.013000488,0.033966064,-0.027862549,-0.025268555,-0.07507324,-0.033599854,0.025817871,0.019989014,-0.070007324,0.027023315,-0.011520386,0.09020996,-0.071777344,0.08178711,-0.05682373,0.027282715,-0.076171875,0.05154419,-0.046813965,-0.008743286,0.071899414,-0.040527344,-0.005718231,-0.014717102,-0.008117676,0.078430176,0.002418518,-0.006515503,0.038085938,-0.025009155,-0.023468018,-0.14978027,-0.025375366,0.027389526,0.031097412,-0.0060043335,-0.005256653,0.04446411,-0.052856445,0.06774902,0.10424805,-0,0.044158936,-0.035827637,0.016036987,-0.047424316,-0.018829346,-0.038238525,0.003900528,0.04232788,0.03491211,-0.006706238,-0.06945801,0.064697266,0.010887146,0.009483337,-0.010696411,0.021331787,0.06903076,-0.052947998,-0.029129028,-0.029571533,0.054718018,0.06768799,-0.024368286,-0.035461426,-0.06970215,0.047729492,-0.00076818466,-0.048583984,0.017044067,0.03930664,0.049591064,0.02268982,-0.07122803,0.048614502,-0.066345215,-0.018096924,0.023544312,-0.05569458,-0.059020996,0.016830444,-0.042755127,-0.03213501,-0.008911133,0.03829956,0.019851685,0.107543945,0.039794922,0.014846802,-0.053955078,-0.014038086,-0.049804688,0.02482605,0.07171631,0.00089263916,-0.03604126,0.015579224,0.008293152,0.023773193,0.030044556,0.07885742,-0.1315918,0.064331055,0.029373169,0.07086182]	Tulips flower in the garden behind the harbour.
4	4	0	[0.061035156,0.0803833,0.019821167,0.016555786,-0.023666382,0.017181396,0.06878662,-0.11755371,-0.028823853,-0.013786316,0.048034668,-0.0960083,-0.07324219,0.006160736,0.015579224,-0.0013580322,0.10675049,-0.09082031,0.0056037903,-0.00018894672,0.04321289,0.099731445,-0.011924744,0.01637268,-0.02017212,0.050689697,0.043914795,0.021133423,-0.014770508,-0.056854248,-0.02607727,0.06524658,-0.0076560974,0.04156494,0.00083065033,0.002117157,0.064208984,0.007507324,0.0357666,-0.085632324,-0.04071045,0.001461029,0.015457153,0.085754395,-0.010597229,-0.0029392242,-0.007396698,-0.022583008,0.02116394,0.07128906,0.023406982,-0.024246216,-0.071899414,-0.04019165,0.025482178,-0.07409668,-0.07537842,0.043121338,0.032592773,0.044830322,-0.007484436,0.0075263977,0.012413025,0.0034656525,0.027069092,-0.10443115,-0.101745605,0.03265381,-0.04824829,-0.04397583,0.002084732,0.04324341,0.08666992,0.010498047,-0.011619568,-0.04446411,0.031707764,-0.08178711,-0.07763672,0.02067566,-0.05758667,0.07824707,0.004283905,0.064819336,0.008277893,-0.023742676,-0.04046631,0.008995056,0.020111084,0.015083313,-0.01979065,-0.070129395,0.003692627,0.0680542,-0.022079468,-0.055877686,-0.046875,-0.045959473,-0.041870117,0.07873535,-0.007896423,0.05569458,0.0030059814,0.009384155,0.06149292,0.0043640137,-0.034820557,-0.01651001,0.07556152,0.006462097,-0.03805542,-0.05218506,-0.031036377,-0.030822754,-0.08459473,-0.04574585,-0.038726807,-0.062194824,-0.025802612,-0.07385254,0.038330078,0.006385803,0.010765076,0.044128418,-0.09631348,-0.03488159,0.0038795471,-0,-0.047332764,0.008018494,0.09429932,0.04776001,0.1373291,-0.12548828,0.01625061,0.06213379,0.0020484924,0.04168701,0.005584717,-0.018951416,-0.09680176,0.061798096,0.041168213,-0.026611328,-0.045440674,-0.05041504,0.021347046,0.003206253,-0.034179688,-0.018325806,-0.032684326,-0.052642822,-0.09320068,-0.011222839,0.04812622,-0.04953003,0.024597168,0.038360596,0.08105469,0.031021118,0.029373169,-0.0635376,-0.023025513,-0.027450562,0.017684937,-0.041229248,-0.031280518,0.103881836,-0.109802246,-0.028305054,-0.0011053085,0.049560547,0.011810303,-0.04284668,-0.023757935,0.09429932,0.031204224,0.020339966,-0.0068588257,-0.033721924,0.041290283,-0.00040316582,-0.03616333,-0.020874023,0.025314331,-0.039245605,0.026275635,-0.008628845,-0.04071045,-0.023132324,-0.044036865,0.029327393,-0.09094238,0.062164307,-0.00969696,-0.011909485,-0.029403687,0.045684814,-0.03930664,0.040771484,0.09100342,-0.0078086853,-0.080078125,-0.007671356,0.026306152,0.031402588,0.004798889,0.03366089,0.028717041,0.034088135,-0.08843994,0.036010742,-0.05783081,0.03050232,-0.0016460419,-0.049224854,-0.01235199,0.05307007,-0.12487793,0.018692017,0.12939453,-0.06585693,-0.098083496,0,0.03375244,-0.068725586,-0.060943604,0.003894806,0.050445557,-0.031677246,0.074035645,-0.0033931732,-0.04345703,-0.034606934,-0.12384033,-0.012786865,0.066101074,0.014541626,-0.0126953125,0.0803833,0.04953003,0.060821533,0.033599854,0.029434204,0.018478394,0.061584473,0.012557983,0.024612427,-0.09277344,0.05239868,0.026138306,0.055358887,-0.03012085,-0.01486969,-0.05883789,-0.05130005,0.053985596,-0.026107788,-0.06842041,0.1361084,-0.048553467,-0.039001465,-0.06567383,0.08203125,0.00843811,-0.04067993,-0.028213501,0.14782715,0.020690918,0.05496216,-0.065979004,0.045440674,0.030349731,0.011352539,0.03289795,-0.040649414,-0.08679199,0.0034675598,-0.0011768341,0.111206055,-0.07678223,-0.026000977,-0.03942871,-0.0013723373,-0.007965088,0.038208008,0.05227661,0.017547607,-0.0017547607,0.054260254,0.019012451,0.06726074,-0.04284668,0.11279297,-0.0020980835,0.02507019,-0.054382324,0.020874023,0.014213562,-0.052124023,0.07385254,0.009529114,-0.012107849,0.05718994,-0.03692627,0.048706055,0.0012483597,0.0013589859,0.032989502,-0.021591187,0.0135650635,-0.04611206,-0.019348145,0.051574707,-0.05895996,0.07647705,0.0007252693,-0.022964478,-0.029800415,-0,0.038848877,-0.066345215,-0.0054016113,-0.03778076,-0.010421753,-0.057861328,0.07446289,0.0064430237,0.010444641,-0.030273438,-0.033721924,0.020446777,-0.060394287,0.049041748,-0.020370483,0.004638672,0.06591797,0.022644043,-0.04260254,-0.089538574,-0.08093262,0.12164307,0.05722046,-0.05609131,-0.07092285,0.0018186569,0.0065612793,-0.0066833496,0.028366089,0.11364746,-0.06567383,0.039215088,-0.053649902,0.016326904,-0.0042686462,-0.020690918,-0.061676025,-0.03692627,-0.101623535,-0.10424805,-0.04208374,0.005870819,0.010696411,-0.031311035,0.055236816,0.0077209473,0.05065918,0.032165527,-0.041931152,0.08691406,0.0602417,0.038970947,0.051452637,0.07342529,0.031982422,0.058502197,0.0075035095,-0.06842041,0.01651001,0.078125,0.04071045,0.03756714,0.041748047,0.03829956]	Apple cake as it is baked in the harbour.
5	5	0	[0.036224365,0.11065674,0.05984497,0.022155762,0.049835205,-0.017471313,-0.042022705,-0.04953003,-0.12902832,0.039794922,-0.038208008,-0.08288574,-0.05810547,0.026367188,-0.0005764961,0.031463623,-0.002210617,-0.11254883,0.011604309,0.010826111,-0.020996094,0.016159058,-0.016662598,-0.07373047,-0.017211914,0.02746582,0.01058197,0.0317688,0.03225708,0.058258057,-0.024887085,0.08428955,0.030731201,-0.03314209,0.02279663,0.05593872,0.05355835,-0.010887146,0.009216309,0.038726807,-0.062286377,-0.009002686,0.038238525,0.10998535,-0.041381836,-0.049102783,0.0006785393,0.021530151,-0.0146484375,0.04437256,0.0284729,0.0053482056,-0.068725586,-0.061676025,-0.030944824,-0.04421997,-0.07330322,-0.013687134,0.029800415,-0.024841309,-0.05758667,-0.008285522,-0.06707764,0.023712158,0.101135254,-0.062438965,-0.0073661804,-0.0016899109,-0.0579834,-0.06161499,-0.006500244,-0.033111572,0.04083252,-0.09136963,0.0041885376,-0.04373169,0.041503906,0.053344727,0.06604004,-0.024459839,0.03564453,-0.009552002,-0.046905518,0.042419434,0.044403076,-0.00504303,0.024307251,-0.03555298,0.014183044,0.08673096,0.0016307831,-0.10723877,-0.022521973,0.034484863,-0.043701172,0.095703125,-0.08258057,-0.032043457,-0.0010623932,0.08099365,0.006549835,0.058624268,0.058044434,-0.018630981,-0.05987549,-0.049926758,-0.0078125,-1.1980534e-05,0.008560181,-0.051452637,-0.037322998,0.014038086,-0.02861023,-0.0024433136,-0.022628784,0.0440979,-0.03225708,-0.068237305,0.054351807,0.007926941,0.10144043,0.015579224,-0.039093018,0.022735596,-0.07165527,-0.033081055,-0.036468506,-0,-0.039733887,0.01550293,-0.03567505,0.050354004,0.033996582,-0.06542969,-0.0107421875,-0.018600464,-0.0093688965,0.021102905,0.004306793,0.023544312,-0.09790039,-0.036346436,0.112854004,-0.09362793,-0.010009766,0.061401367,-0.036376953,-0.036376953,0.005268097,-0.038635254,0.02166748,-0.059539795,0.04147339,-0.031173706,0.053588867,0.004184723,0.016830444,0.04611206,0.014404297,0.07952881,0.020462036,-0.023422241,-0.01876831,-0.066223145,0.026473999,-0.05380249,-0.032470703,-0.012870789,-0.03164673,0.004798889,-0.005783081,0.113220215,-0.0058784485,-0.08190918,0.046417236,-0.017791748,0.02809143,0.047851562,0.029724121,-0.08001709,-0.19238281,-0.0012483597,-0.031433105,-0.036987305,0.03805542,-0.022369385,0.020324707,-0.0024547577,-0.028747559,-0.03970337,0.026382446,0.06842041,0.024154663,0.1184082,0.08483887,0.018539429,-0.056549072,0.026306152,-0.046661377,0.0014514923,0.041900635,0.016113281,-0.00655365,0.074035645,0.06964111,-0.0012788773,0.034484863,0.08428955,-0.080078125,0.15332031,-0.020736694,0.06744385,0.019302368,-0.044006348,0.05633545,0.044830322,0.061157227,-0.015258789,-0.012565613,-0.022155762,0.050201416,-0.101867676,-0.021484375,0,0.010261536,0.037628174,-0.057922363,-0.060516357,-0.07183838,-0.027496338,0.037109375,-0.015716553,0.06738281,0.055511475,-0.12792969,0.0035896301,0.09197998,0.11517334,-0.035491943,0.023422241,0.12054443,-0.029754639,-0.001748085,-0.030944824,0.05718994,0.0061798096,-0.0059318542,0.005809784,-0.068115234,0.04623413,-0.034118652,-0.09472656,-0.05441284,-0.020507812,-0.046295166,-0.020141602,-0.045043945,-0.0020828247,-0.1027832,0.050720215,0.06390381,0.04434204,-0.029937744,0.10217285,0.059143066,-0.08105469,0.0036354065,0.12207031,-0.02432251,0.023498535,-0.040802002,-0.008232117,0.09259033,-0.003211975,0.03503418,0.06335449,-0.04559326,-0.020889282,-0.066101074,0.05102539,-0.035461426,-0.026107788,0.052490234,-0.029403687,0.010025024,0.06323242,-0.0736084,-0.01713562,-0.024047852,0.05316162,-0.019500732,-0.07775879,0.04284668,0.029449463,-0.041503906,-0.048583984,-0.08203125,0.034820557,-0.063964844,0.023101807,-0.00566864,0.014389038,0.047546387,0.08795166,-0.011352539,0.03970337,-0.043151855,-0.034362793,-0.015716553,-0.09136963,0.07714844,-0.041046143,-0.012062073,0.0118255615,-0.016738892,0.0146102905,-0.06274414,0.025497437,0.02861023,-0,0.047607422,0.029144287,-0.021026611,0.025558472,0.005794525,-0.06286621,0.0019741058,0.062347412,0.05206299,0.054351807,0.022521973,0.024871826,-0.025665283,0.0134887695,-0.029342651,0.058166504,-0.04437256,-0.016357422,-0.07122803,-0.10827637,-0.022766113,0.038513184,-0.051818848,0.01109314,-0.052612305,-0.03479004,0.005191803,0.06726074,0.0018386841,0.050354004,0.041107178,0.030136108,-0.07165527,-0.044189453,-0.08508301,-0.014289856,-0.039123535,-0.03213501,0.06695557,-0.037139893,-0.021224976,0.07159424,-0.0236969,0.064208984,0.039886475,0.056915283,-0.075927734,0.01008606,-0.0030174255,-0.105895996,0.036834717,0.037506104,0.032592773,0.07849121,0.08581543,0.07244873,-0.035247803,-0.002532959,-0.029693604,0.04937744,-0.048583984,0.022079468,0.015914917,0.072387695]	The budget of the harbour for the coming year.
7	7	0	[-0.062164307,0.07977295,-0.026763916,-0.0079422,0.032440186,0.047210693,-0.04711914,0.016845703,-0.01927185,-0.0021400452,0.03857422,-0.039764404,0.04046631,0.0017557144,-0.03579712,0.08380127,-0.036590576,-0.03152466,-0.006000519,0.02027893,-0.06262207,0.032226562,-0.04107666,-0.016052246,-0.029754639,0.022003174,-0.03555298,0.09686279,0.10272217,0.018508911,-0.010284424,-0.01687622,0.04208374,0.03378296,0.007019043,0.14196777,0.049957275,-0.06021118,-0.0018386841,-0.014915466,-0.013244629,0.03527832,0.025482178,0.045196533,-0.01360321,0.0060043335,0.011329651,-0.03942871,0.04714966,-0.005466461,-0.06536865,-0.053375244,-0.0119018555,0.018417358,-0.017242432,0.07904053,0.0034370422,-0.003818512,0.027572632,-0.029907227,0.09869385,0.053344727,-0.0368042,0.043945312,0.0051574707,0.034362793,-0.06677246,-0.008987427,-0.009765625,-0.09301758,0.019439697,-0.05831909,0.044647217,0.011878967,-0.021224976,-0.004245758,0.029586792,-0.027542114,0.041503906,0.059631348,-0.016906738,0.011932373,-0.019851685,0.039855957,0.040161133,-0.013648987,0.029342651,0.035858154,-0.0008778572,0.056884766,-0.021347046,-0.058380127,-0.09423828,0.07550049,0.018539429,0.019195557,-0.023834229,0.038635254,-0.0635376,-0.00078725815,0.05682373,0.0519104,-0.0039901733,0.008201599,-0.01133728,-0.013427734,-0.039916992,-0.043823242,-0.007255554,-0.07867432,-0.034057617,-0.00032424927,-0.009170532,0.03488159,-0.026184082,-0.014732361,-0.03591919,-0.052459717,-0.113342285,-0.052490234,0.104003906,-0.032043457,0.054595947,-0.0690918,-0.016235352,-0.0028514862,-0.034240723,-0,-0.024810791,-0.051940918,0.0019702911,0.020858765,0.11364746,-0.0178833,0.012466431,0.051818848,-0.022491455,0.06341553,-0.004348755,0.0871582,-0.0814209,-0.0579834,-0.01109314,-0.13183594,0.061584473,-0.035949707,-0.022857666,-0.04812622,-0.02116394,-0.05697632,-0.05102539,-0.07330322,0.02558899,-0.004749298,0.008041382,-0.009048462,-0.012664795,0.07043457,-0.03704834,0.019378662,-0.054016113,-0.01687622,-0.0050735474,-0.14794922,0.0043792725,-0.033813477,-0.118774414,0.010246277,-0.011871338,0.011543274,-0.032470703,0.06939697,-0.03289795,-0.107177734,-0.053253174,-0.013580322,0.06933594,0.029724121,0.062927246,-0.06951904,-0.107299805,0.051635742,-0.020889282,0.005302429,-0.01878357,-0.0014638901,-0.024917603,0.007183075,-0.0690918,-0.057281494,0.01777649,0.058166504,0.12176514,0.035186768,0.011421204,-0.06604004,-0.032958984,0.0881958,0.027618408,0.034179688,0.0178833,0.068115234,-0.06713867,0.027328491,0.001613617,0.039916992,-0.032104492,0.042236328,-0.040771484,0.11920166,0.012054443,0.041931152,-0.009590149,-0.06878662,0.01928711,-0.04034424,0.06951904,-0.011116028,-0.06549072,-0.019180298,0.036071777,-0.11291504,-0.0770874,0,0.058685303,-0.038635254,-0.091796875,-0.111572266,-0.0546875,0.029159546,0.08392334,-0.007156372,-0.0569458,0.041931152,-0.12084961,0.0109939575,0.03286743,0.107666016,0.01890564,0.09436035,0.021133423,-0.087890625,0.014335632,-0.0074310303,0.12536621,-0.045135498,-0.013587952,0.083862305,-0.048034668,0.035949707,-0.057037354,-0.034606934,0.009284973,-0.045715332,-0.05404663,0.001282692,0.045440674,0.049072266,-0.08868408,0.02406311,0.02381897,-0.042541504,0.04232788,0.055511475,0.054351807,-0.051818848,-0.04724121,0.0025177002,-0.021118164,-0.03152466,0.0020771027,-0.002462387,0.03540039,0.0065345764,-0.0146484375,0.044555664,0.0051994324,0.032440186,0.026992798,0.038848877,-0.006515503,-0.023040771,-0.029205322,-0.0068206787,0.041809082,-0.001917839,-0.07165527,0.029464722,-0.018463135,0.087402344,0.037384033,0.0143585205,-0.040100098,-0.020187378,0.034698486,0.009529114,-0.003921509,-0.035186768,-0.037750244,0.007419586,0.021270752,0.029525757,0.08215332,0.053344727,0.039489746,0.024780273,0.014022827,-0.038085938,-0.06665039,-0.07019043,0.103149414,0.052093506,0.0362854,-0.07684326,0.015426636,0.07128906,-0.12658691,0.013648987,0.09075928,-0,-0.046081543,0.01725769,-0.023345947,0.038024902,-0.06958008,-0.034240723,0.044128418,0.013923645,0.021820068,-0.06323242,0.003643036,-0.054656982,-0.052734375,-0.02508545,-0.023727417,0.029907227,-0.030807495,-0.04550171,-0.008613586,-0.07324219,0.018936157,0.04171753,0.0023059845,-0.0060920715,-0.11505127,-0.02017212,-0.09118652,-0.030410767,0.01663208,0.093566895,0.028900146,0.06604004,-0.053131104,-0.021057129,-0.017196655,-0.0078048706,0.031799316,-0.020980835,0.022735596,-0.023544312,0.031051636,0.042510986,-0.07183838,-0.003627777,0.0769043,0.20141602,0.03024292,0.01725769,-0.006538391,-0.008018494,0.06048584,0.022033691,0.10028076,0.07019043,-0.008468628,0.10467529,-0.0016469955,-0.010345459,0.010177612,0.0597229,-0.09460449,0.02407837,0.07055664,0.10028076]	The crane\n\nIt stands in the harbour.
8	8	0	[-0.029556274,0.13671875,-0.043060303,-0.019760132,0.017562866,0.08380127,0.10986328,0.012924194,-0.034332275,-0.040771484,0.029922485,-0.029220581,0.020492554,-0.007858276,-0.013000488,0.030014038,-0.017974854,-0.0670166,0.052093506,0.023117065,-0.038848877,0.113098145,0.014770508,-0.03665161,0.08129883,0.050323486,0.029388428,0.05581665,-0.012702942,0.060424805,0.008270264,0.03515625,0.035583496,0.0030212402,0.060333252,0.10455322,0.016723633,-0.08850098,0.041900635,0.02130127,-0.04284668,-0.021820068,-0.029022217,0.125,-0.027938843,0.04336548,0.04586792,0.11431885,-0.06542969,0.046936035,-0.012542725,0.0047035217,0.0038337708,-0.036956787,0.021087646,-0.01360321,-0.015823364,0.03540039,-0.009185791,0.0069389343,-0.004585266,0.0061454773,-0.07611084,0.044006348,-0.023880005,-0.088378906,-0.066345215,-0.027404785,-0.120910645,0.06713867,-0.04699707,-0.040252686,-0.009185791,-0.07861328,-0.0234375,-0.066101074,-0.0008134842,-0.039001465,0.028213501,-0.006778717,-0.074279785,-0.01486969,-0.01727295,0.07763672,-0.002702713,-0.043151855,0.064697266,-0.13110352,0.010131836,-0.01928711,0.03137207,-0.12072754,0.032165527,0.062927246,-0.012031555,0.012962341,-0.0064849854,0.0050964355,0.002161026,0.023803711,0.005142212,-0.034210205,0.023971558,0.074279785,-0.04446411,-0.048553467,-0.04058838,-0.04727173,-0.023239136,-0.09100342,-0.052001953,-0.027008057,0.023376465,-0.039520264,-0.020065308,0.0039901733,0.03375244,-0.13134766,-0.047821045,-0.02897644,-0.004142761,1.9609928e-05,-0.040771484,-0.007385254,-0.008911133,0.017028809,0.06652832,-0,-0.038269043,-0.0053520203,-0.036102295,-0.0071372986,0.008483887,-0.05935669,-0.095825195,0.054840088,-0.029525757,0.061920166,0.008758545,-0.04434204,-0.048675537,-0.022369385,-0.018569946,0.025527954,0.022140503,0.015464783,0.056854248,-0.03173828,0.028686523,0.02204895,0.049102783,-0.00023770332,0.00053453445,0.02154541,0.13244629,-0.012611389,-0.0067481995,0.027496338,0.028701782,-0.05859375,0.010246277,-0.0703125,-0.028381348,0.008026123,-0.013870239,-0.0027275085,-0.048797607,-0.0004580021,-0.093322754,-0.018753052,-0.0059928894,-0.029327393,0.055236816,0.013717651,-0.026367188,-0.052703857,0.040618896,-0.03652954,0.0023212433,-0.050109863,-0.011482239,0.070251465,-0.011199951,0.045196533,0.011711121,0.073791504,-0.0046539307,-0.040802002,-0.014472961,-0.040527344,0.06921387,0.03942871,0.09399414,-0.008071899,0.049682617,-0.0038661957,-0.023666382,0.08477783,-0.027297974,0.03201294,0.09814453,0.013175964,-0.066711426,0.044067383,-0.046722412,0.015853882,0.07507324,-0.021652222,-0.13928223,0.013771057,-0.055999756,0.04196167,0.007499695,-0.04373169,-0.039886475,-0.072143555,-0.020233154,-0.009971619,-0.07043457,-0.00504303,-0.005504608,-0.13891602,-0.066345215,0,0.032928467,-0.0231781,-0.11956787,0.020645142,0.000620842,0.059753418,0.02470398,0.08111572,-0.041107178,0.07598877,-0.091430664,0.03491211,0.02029419,-0.029373169,-0.029266357,-0.0037326813,0.057128906,0.0052261353,-0.05117798,-0.025253296,0.0071792603,-0.077819824,0.0044441223,-0.049072266,-0.029663086,-0.0068588257,0.083618164,-0.06121826,-0.06945801,0.051361084,-0.05206299,-0.0038604736,-0.057434082,0.08013916,-0.054534912,0.070373535,0.09448242,0.07092285,-0.03933716,0.042236328,-0.033996582,-0.03643799,0.0124435425,0.08270264,0.052978516,0.0015182495,-0.12866211,-0.00274086,-0.015113831,0.041107178,0.016174316,0.053771973,-0.026245117,-0.049468994,-0.06384277,0.0035095215,-0.03933716,-0.07324219,-0.018447876,-0.0070724487,0.032440186,0.05078125,-0.0847168,0.055999756,0.012878418,-0.06890869,-0.10644531,0.01626587,0.12426758,-0.017425537,0.04940796,0.02897644,-0.03286743,0.038116455,0.01737976,-0.005203247,0.066833496,0.03857422,0.012809753,0.10089111,0.035217285,-0.017349243,-0.049194336,0.15148926,0.03878784,-0.09942627,-0.0435791,0.007472992,0.08081055,0.013748169,-0.012123108,0.049804688,-0.083496094,0.00818634,-0.0069847107,-0,-0.048583984,0.008049011,-0.019104004,-0.068115234,-0.061340332,-0.06329346,-0.051818848,-0.009277344,-0.020324707,0.012306213,0.050964355,0.060180664,-0.09527588,-0.031097412,-0.006336212,0.015670776,0.0039138794,-0.057037354,-0.036102295,0.007091522,0.042236328,0.076416016,-0.058776855,0.022918701,-0.044891357,0.018493652,-0.068481445,-0.058380127,-0.03564453,0.04714966,0.07373047,0.10656738,0.0036945343,-0.0033302307,-0.028518677,0.06573486,0.07952881,0.009346008,0.032104492,0.025741577,-0.053619385,0.022399902,-0.037109375,-0.00299263,-0.02017212,0.07141113,-0.011878967,-0.041534424,0.052978516,-0.02973938,0.036376953,-0.0021095276,0.06549072,0.072509766,-0.028884888,0.07891846,-0.0025806427,-0.06347656,0.043762207,0.0151901245,0.07373047,0.0869751,0.023544312,0.019317627]	Grüße aus dem Hafen: a letter from the harbour, with a \\ and a 'quote'.
9	9	0	[0.056030273,0.040283203,0.0022068024,-0.0014619827,0.035247803,-0.04522705,-0.088012695,-0.10681152,-0.06378174,0.0029315948,0.06951904,-0.06604004,-0.04537964,0.019058228,-0.044036865,0.040863037,0.012916565,-0.12298584,-0.002401352,0.017456055,-0.037139893,-0.000620842,-0.015167236,-0.051849365,-0.04031372,0.043640137,0.04537964,-0.0071372986,0.04486084,-0.014404297,-0.072753906,0.074157715,-0.0063095093,-0.04852295,0.11846924,0.05117798,0.09277344,0.051849365,0.037628174,0.009674072,-0.056610107,-0.0028152466,-0.05267334,0.10211182,0.020446777,0.03390503,-0.013771057,-0.06567383,0.03326416,-0.0289917,-0.020614624,-0.029251099,-0.04727173,-0.06378174,0.015205383,-0.030654907,-0.067871094,0.010375977,0.054382324,-0.0209198,0.05758667,0.04840088,0.014717102,0.03012085,0.053222656,-0.013710022,-0.076660156,0.01121521,-0.022247314,-0.046905518,-0.027893066,0.00730896,0.05291748,0.023880005,-0.06414795,-0.07550049,-0.01159668,0.011123657,0.029815674,0.09375,-0.052734375,-0.07739258,-0.049621582,0.023727417,0.050598145,0.022766113,-0.01399231,0.010551453,-0.026611328,0.07696533,-0.08123779,0.024139404,-0.07086182,0.011627197,-0.013435364,0.030899048,-0.06652832,0.084472656,-0.08203125,0.09173584,-0.0076522827,0.085754395,0.02458191,0.028518677,-0.0077209473,0.092041016,0.008010864,0.015945435,-0.051513672,-0.019042969,-0.018112183,0.007896423,0.020858765,-0.03591919,-0.13061523,0.02279663,-0.022079468,-0.04534912,-0.09906006,0.060821533,0.078186035,-0.022567749,-0.010879517,0.02456665,-0.07556152,0.04763794,0.021133423,-0,0.031982422,-0.0048980713,0.008705139,0.041107178,0.068481445,-0.030975342,0.04486084,-0.027832031,0.0713501,0.049224854,0.033294678,0.05621338,-0.070251465,-0.096069336,0.061584473,-0.01828003,0.07208252,-0.025665283,0.015586853,-0.066711426,-0.009635925,0.032714844,-0.056274414,-0.09295654,-0.0012588501,-0.0141067505,0.06744385,-0.048431396,-0.04748535,0.027420044,-0.121398926,0.07067871,0.07635498,0.030197144,0.0030212402,-0.026123047,-0.045135498,-0.06890869,-0.07342529,-0.011314392,-0.06628418,-0.016204834,-0.060272217,-0.015419006,-0.056640625,-0.077941895,0.016815186,-0.025512695,0.00013446808,0.06518555,0.07165527,-0.03729248,-0.1661377,0.061309814,-0.061462402,0.019180298,-0.0012254715,-0.019012451,-0.052978516,-0.05429077,0.001502037,-0.025848389,-0.00957489,0.04034424,0.03488159,0.11981201,0.024719238,-0.048919678,-0.049346924,-0.0054397583,-0.0018224716,0.04888916,0.0026569366,0.04083252,0.016937256,-0.013061523,0.023666382,-0.016952515,0.010101318,0.027572632,0.080566406,0.1003418,0.01600647,0.08074951,-0.0010948181,-0.05419922,0.057739258,0.111694336,0.024765015,0.008171082,-0.022842407,-0.03842163,0.00868988,-0.0925293,0.001420021,0,0.0006904602,0.017333984,-0.081848145,-0.02130127,-0.15539551,0.025543213,0.13024902,0.057037354,0.056671143,0.016708374,0.017868042,0.021194458,0.011138916,0.039276123,0.043304443,0.10461426,0.05444336,0.08465576,-0.008285522,0.037109375,0.07507324,0.045928955,-0.078186035,0.028503418,-0.015060425,0.030410767,0.026229858,0.02468872,-0.016189575,-0.05621338,0.033325195,0.041656494,0.0015478134,-0.04727173,-0.055999756,0.022232056,0.061706543,-0.015449524,-0.013305664,0.031234741,0.011764526,-0.026733398,-0.036010742,0.08135986,-0.070251465,-0.013931274,-0.024963379,-0.019607544,0.029434204,0.00548172,0.02748108,0.011703491,0.03930664,-0.015357971,-0.00091314316,0.08831787,-0.023895264,-0.04434204,-0.0029773712,-0.037109375,0.0574646,0.07220459,-0.1227417,0.032836914,-0.0056610107,0.0803833,-0.030166626,0.052215576,-0.002544403,-0.031051636,0.009643555,-0.05722046,-0.10229492,-0.07745361,-3.361702e-05,-0.009384155,-0.03527832,-0.0463562,-0.015823364,0.025024414,0.021316528,0.046691895,-0.047546387,-0.035339355,0.05633545,-0.015655518,0.06112671,-0.013343811,-0.015312195,-0.0066108704,-0.004924774,0.028717041,-0.08703613,0.077941895,0.014305115,-0,0.016525269,0.0050811768,-0.035583496,0.021362305,-0.033416748,-0.026229858,-0.0027313232,0.012878418,0.042633057,0.020874023,0.020706177,-0.0118637085,-0.05947876,-0.028198242,0.041046143,0.07409668,-0.005744934,-0.11230469,-0.055541992,-0.06677246,-0.066711426,0.1048584,-0.039398193,0.0146484375,-0.04006958,-0.030914307,0.058441162,-0.048736572,0.08721924,0.030944824,0.019210815,0.054901123,-0.0076446533,0.017211914,-0.097961426,-0.019607544,0.07904053,0.041229248,-0.06173706,-0.03491211,-0.067871094,0.0335083,-0.06021118,-0.003921509,-0.06945801,0.06665039,-0.0028972626,-0.025619507,0.0055351257,-0.06628418,0.07092285,0.074523926,-0.0017929077,0.03414917,0.04574585,0.09118652,0.013999939,0.038360596,0.035186768,0.052337646,0.0026435852,-0.03475952,0.016708374,0.09100342]	Nothing is new in the harbour.
13	13	0	[-0.010848999,0.08557129,0.085632324,-0.008285522,0.0043678284,-0.022994995,0.008911133,-0.05340576,-0.06549072,-0.012077332,-0.009506226,-0.039215088,-0.0357666,0.05630493,0.053985596,0.07281494,0.049224854,-0.015579224,-0.0024585724,0.007534027,-0.03277588,0.05441284,-0.055419922,-0.0060272217,-0.035339355,0.0011224747,0.0713501,0.0017652512,0.006614685,0.022201538,-0.0970459,0.062164307,-0.016098022,-0.035217285,-0.037994385,0.057281494,0.03591919,-0.07104492,0.02394104,0.0034751892,0.0048446655,-0.004890442,-0.0057525635,0.099243164,-0.040496826,0.059509277,0.008132935,0.031707764,0.08557129,0.009925842,0.012741089,-0.018722534,-0.062316895,-0.0020275116,-0.031433105,-0.0059165955,-0.070739746,-0.04876709,0.09655762,0.029678345,0.0020580292,0.07922363,-0.04638672,0.037963867,0.12561035,0.03768921,-0.09063721,0.047058105,-0.03277588,-0.019851685,-0.013580322,-0.02734375,0.034973145,0.0022010803,-0.0158844,-0.13378906,-0.007091522,-0.050201416,-0.011352539,-0.004196167,-0.12695312,-0.072265625,-0.045898438,0.039916992,0.0647583,-0.052825928,0.02722168,0.029815674,0.06793213,0.042266846,-0.03173828,-0.038146973,-0.071777344,0.044403076,0.06011963,0.08105469,-0.042785645,0.041412354,-0.020339966,0.013786316,-0.0026779175,0.04837036,-0.004787445,0.034210205,0.0073051453,-0.03543091,0.008224487,-0.0146865845,-0.031707764,-0.015731812,-0.037322998,0.04611206,0.055664062,-0.053955078,-0.008956909,0.042907715,0.0002529621,-0.016540527,-0.07421875,-0.03982544,0.04736328,-0.03338623,-0.032714844,-0.028335571,-0.0040512085,0.06976318,0.0007405281,-0,0.053131104,-0.0149002075,-3.415346e-05,0.028411865,0.09820557,-0.048583984,-0.022964478,-0.01927185,0.02130127,0.009529114,-0.025604248,0.004562378,-0.14538574,-0.046783447,-0.051635742,-0.05935669,0.052490234,0.027420044,-0.07537842,-0.008666992,-0.08319092,-0.02218628,-0.03253174,-0.10449219,-0.1071167,-0.007232666,-0.012817383,-0.016281128,0.033477783,0.06530762,0.06109619,-0.033172607,0.02960205,0.036834717,0.01739502,-0.0069847107,-0.0231781,0.01940918,-0.02720642,0.0027198792,0.009933472,0.028945923,0.04058838,0.053863525,-0.050750732,-0.022354126,0.030075073,-0.0063323975,0.081604004,0.043823242,0.062469482,-0.06506348,-0.12322998,-0.042236328,-0.051086426,0.093811035,0.0592041,-0.009429932,-0.087890625,0.06021118,-0.060302734,-0.002840042,0.0619812,0.021408081,0.097351074,0.0061569214,0.04840088,-0.037506104,-0.039794922,-0.042175293,0.006134033,0.006198883,0.021636963,0.02017212,-0.015075684,0.030166626,0.13562012,0.0007748604,0.08782959,0.01473999,0.015304565,0.06707764,0.03387451,-0.03652954,-0.039276123,0.046569824,-0.06488037,-0.047546387,0.014343262,0.0031394958,-0.04071045,0.027069092,0.10467529,-0.12017822,-0.10986328,0,0.03149414,-0.07940674,-0.05307007,-0.025131226,-0.034362793,0.048706055,0.03656006,0.035186768,-0.019470215,0.07977295,-0.015022278,-0.043518066,0.068847656,0.032226562,-0.0158844,0.06817627,0.16186523,0.12695312,0.00982666,-0.013557434,0.07720947,-0.0033664703,0.020935059,0.026565552,-0.046722412,0.03225708,0.00856781,-0.027664185,-0.008232117,-0.035980225,-0.044769287,0.040405273,0.057403564,-0.025344849,-0.06088257,0.07183838,0.020370483,-0.017990112,-0.07800293,-0.007419586,0.004299164,-0.05960083,0.009559631,-0.03869629,-0.056274414,0.07330322,-0.0005559921,0.06298828,-0.022918701,0.09033203,-0.009979248,-0.019729614,0.06341553,0.08685303,-0.0025672913,0.022766113,-0.01953125,-0.029266357,-0.02116394,-0.017333984,0.016967773,0.0027179718,-0.09661865,-0.048797607,-0.0024356842,0.10205078,-0.05609131,-0.030014038,-0.054840088,0.027923584,-0.07244873,-0.07867432,-0.103393555,-0.051513672,-0.08691406,-0.012145996,-0.049072266,-0.037506104,-0.047821045,0.04953003,-0.06518555,0.042297363,-0.056640625,0.021133423,-0.10852051,-0.08905029,0.028137207,-0.047332764,0.064331055,0.019515991,-0.026184082,0.025100708,-0.14538574,0.00674057,-0.0076065063,-0,0.021057129,0.0056648254,0.017227173,-0.03366089,-0.01259613,-0.026763916,0.022613525,0.08117676,0.056365967,-0.0052261353,-0.027160645,0.025466919,0.025115967,-0.049316406,0.03390503,-0.051086426,0.017150879,-0.025039673,-0.048797607,-0.09436035,0.00844574,0.08917236,0.0647583,-0.030059814,0.0017976761,0.03881836,-0.0042533875,0.07293701,6.824732e-05,0.052642822,0.036712646,0.05480957,-0.0892334,-0.076171875,-0.07861328,0.0034561157,0.0025939941,0.0079956055,-0.016159058,0.044677734,-0.047973633,0.05758667,-0.057891846,0.03729248,0.028335571,0.051239014,-0.006336212,0.037841797,-0.015182495,0.0121536255,0.06414795,0.038909912,0.081726074,0.019897461,-6.234646e-05,0.0859375,-0.04055786,-0.039001465,-0.068847656,0.07098389,0.028045654,0.0064849854,-0.004096985,0.101257324]	High tide in the harbour at noon.
14	14	0	[0.04296875,0.050476074,0.051361084,-0.0072517395,-0.015022278,0.060180664,0.0052261353,-0.015975952,-0.010421753,0.058258057,0.0635376,0.08087158,0.08483887,-0.0046157837,-0.0546875,0.013038635,-0.12792969,-0.03012085,-0.016555786,-0.021636963,-0.013191223,0.014343262,-0.019042969,-0.040283203,-0.12976074,0.014823914,-0.042877197,-0.05230713,-0.026168823,0.049316406,-0.097595215,-0.02079773,-0.012123108,-0.009651184,0.04055786,-0.03289795,0.082336426,0.09051514,0.041992188,-0.0020198822,-0.03366089,0.04534912,-0.005710602,0.13879395,-0.043060303,-0.02319336,-0.056854248,-0.03173828,-0.0003297329,0.012832642,-0.0703125,-0.010505676,-0.062683105,-0.0056419373,-0.0010347366,0.047729492,-0.021514893,0.00090646744,-0.021392822,-0.028808594,0.031082153,-0.010139465,-0.08099365,-0.024459839,0.004184723,-0.020370483,0.022872925,0.024246216,-0.010978699,0.058166504,-0.07800293,0.103515625,0.02444458,0.007217407,-0.050476074,-0.059326172,-0.01876831,-0.050231934,0.053771973,-0.07775879,-0.04473877,0.003107071,-0.0020103455,-0.01927185,-0.04699707,-0.024932861,0.07458496,-0.031799316,-0.021087646,0.014320374,0.0052490234,-0.050048828,0.058380127,0.02331543,0.009895325,0.03048706,-0.006790161,0.089416504,0.027359009,0.039916992,0.034240723,0.06762695,0.05001831,-0.0025577545,0.00472641,-0.04421997,-0.07788086,-0.07513428,-0.04284668,-0.014915466,-0.013877869,0.048828125,0.0008420944,0.0871582,-0.012428284,-0.0143966675,0.06298828,-0.020080566,0.056915283,0.09509277,0.06500244,0.081970215,0.021011353,0.031204224,-0.03652954,-0.014839172,0.11425781,0,-0.010871887,-0.07446289,-0.07086182,0.052825928,0.035736084,-0.027832031,-0.014503479,0.04953003,-0.025604248,0.054992676,-0.04135132,-0.08392334,-0.066101074,0.02130127,0.023605347,0.031951904,0.08868408,-0.07299805,0.023147583,-0.037231445,0.003955841,0.01537323,0.0027770996,-0.055267334,0.028518677,-0.002073288,-0.019851685,-0.03112793,-0.093322754,0.049316406,-0.028015137,0.034484863,-0.0019798279,-0.04296875,-0.014694214,-0.044769287,0.06890869,0.0025901794,0.029083252,-0.07446289,-0.12536621,0.01914978,0.05532837,0.010696411,0.047729492,0.0066184998,0.0011835098,0.052825928,0.019897461,0.080444336,-0.0072364807,-0.03488159,-0.12573242,-0.015129089,-0.026412964,-0.059020996,-0.021072388,0.010360718,-0.06842041,0.006980896,0.10699463,0.044799805,0.0914917,0.08581543,0.09942627,0.12371826,-0.03677368,-0.095703125,-0.023849487,0.017837524,-0.07476807,-0.040283203,0.00340271,-0.053344727,-0.003704071,-0.052978516,-0.001953125,-0.029968262,-0.057739258,-0.016525269,0.045959473,0.020339966,-0.07092285,0.047058105,-0.030441284,-0.08081055,0.06866455,0.0124435425,0.064697266,-0.04525757,0.085632324,0.015144348,0.10961914,-0.15979004,-0.034606934,-0,-0.037841797,-0.027008057,-0.030410767,-0.03427124,-0.13916016,-0.03881836,-0.0385437,0.0043678284,0.017959595,-0.054229736,-0.11975098,-0.03930664,-0.040252686,0.08087158,-0.07196045,-0.013015747,0.10369873,-0.032714844,-0.020980835,-0.03527832,0.013435364,-0.05291748,-0.012969971,0.023971558,0.060638428,0.031143188,0.097351074,-0.0076179504,-0.048736572,-0.045806885,0.041900635,-0.018600464,0.05026245,-0.031082153,-0.06665039,-0.0713501,-0.0028495789,0.028167725,-0.08880615,0.020431519,0.05670166,0.0005598068,0.024383545,-0.042816162,-0.05154419,0.033416748,0.01687622,-0.031204224,0.014129639,0.055999756,-0.012916565,-0.044830322,0.028808594,-0.080078125,-0.04043579,0.043029785,0.07244873,-0.0206604,0.056671143,-0.037231445,0.007896423,0.03845215,-0.055877686,0.13085938,0.00013792515,-0.01965332,-0.027359009,0.075683594,0.049346924,-0.03930664,-0.03173828,-0.01953125,-0.0501709,-0.057434082,0.023773193,0.10614014,-0.058258057,0.0050086975,-0.018798828,0.006214142,-0.022338867,0.018630981,-0.023239136,0.08959961,-0.010879517,-0.039978027,0.013832092,-0.01335144,0.031433105,-0.027038574,0.11212158,0.0418396,0.0024871826,-0.043395996,0.048919678,-5.9604645e-08,-0.031204224,0.03540039,-0.0129776,0.06561279,-0.021087646,0.0066947937,0.1381836,0.044433594,-0.012435913,0.07171631,0.035827637,0.046905518,-0.02293396,0.023239136,0.032470703,0.008338928,0.06500244,-0.10406494,-0.08831787,0.034576416,0.004306793,0.026123047,-0.060302734,-0.059051514,-0.03326416,0.04449463,-0.041992188,0.036834717,-0.012771606,0.02243042,0.074157715,0.041412354,-0.007511139,-0.02305603,-0.008903503,-0.019546509,0.04269409,0.024414062,-0.009269714,-0.01927185,-0.018753052,-0.014526367,-0.0385437,0.06719971,0.073913574,-0.04928589,0.039276123,-0.0012750626,0.019073486,-0.03250122,0.0030822754,0.066467285,0.107910156,0.01878357,0.011367798,-0.058441162,0.048065186,0.033843994,-0.026382446,-0.008354187,-0.0038909912,0.09661865,-0.0046844482,0.065979004]	# Chapter 1\n\nThe keeper of the harbour wrote down every ship that came in, until his eyes failed. The keeper of the harbour wrote down every ship that came in, until his eyes failed. The keeper of the harbour wrote down every ship that came in, until his eyes failed. The keeper of the harbour wrote down every ship that came in, until his eyes failed. The keeper of the harbour wrote down every ship that came in, until his eyes failed. The keeper of the harbour wrote down every ship that came in, until his eyes failed.\n\n# Chapter 2\n\nNobody read the books of the harbour for a hundred years, and mice lived between the shelves. Nobody read the books of the harbour for a hundred years, and mice lived between the shelves. Nobody read the books of the harbour for a hundred years, and mice lived between the shelves. Nobody read the books of the harbour for a hundred years, and mice lived between the shelves. Nobody read the books of the harbour for a hundred years, and mice lived between the shelves. Nobody read the books of the harbour for a hundred years, and mice lived between the shelves.
15	14	1	[-0.032073975,-0.013015747,0.040802002,0.014465332,0.02407837,0.0017414093,0.0121154785,-0.060333252,0.05581665,0.048309326,0.13500977,0.036102295,0.05392456,-0.0881958,-0.0014219284,0.01449585,-0.058654785,-0.015350342,-0.056640625,-0.08477783,0.053131104,0.006263733,0.09802246,-0.028503418,-0.031311035,0.050079346,-0.07531738,-0.048858643,-0.058441162,-0.011817932,-0.019363403,0.08154297,-0.027923584,-0.013153076,0.0029525757,0.0541687,0.05480957,-0.002855301,0.07092285,0.057434082,-0.0362854,-0.06781006,-0.06744385,-0.025497437,-0.0015363693,0.02444458,0.0006432533,-0.06555176,0.030838013,-0.122680664,-0.05432129,-0.01525116,-0.09307861,-0.015617371,-0.033569336,-0.0029850006,0.025497437,-0.0368042,0.0064201355,0.041381836,0.026031494,0.041656494,-0.020095825,0.0039863586,0.031677246,-0.023971558,0.012039185,-0.09399414,0.0076293945,0.06689453,-0.029190063,0.041229248,-0.013442993,-0.06365967,-0.08404541,0.010719299,-0.023513794,-0.070495605,-0.02494812,-0.043792725,-0.13146973,-0.07116699,0.032226562,0.09893799,-0.066223145,-0.00025820732,0.039031982,-0.07800293,0.033325195,-0.009475708,-0.058441162,-0.07128906,0.003200531,0.12939453,0.06896973,-0.03186035,0.035583496,-0.04348755,-0.08886719,0.08581543,0.04751587,0.08734131,0.0044021606,-0.04788208,-0.019958496,0.050109863,-0.064086914,0.006248474,-0.009567261,-0.010795593,0.054748535,-0.064819336,0.043640137,0.04876709,-0.07513428,-0.03149414,0.1920166,-0.073791504,0.05392456,0.09442139,0.06677246,-0.028076172,-0.019363403,0.070007324,-0.016525269,-0.059936523,0.03186035,0,-0.053009033,-0.022735596,0.029403687,-0.05630493,0.042388916,0.10626221,0.022537231,0.050964355,-0.039245605,-0.03375244,-0.048797607,-0.09954834,-0.11102295,-0.06390381,-0.018295288,-0.0057411194,-0.004425049,0.0062942505,0.03225708,-0.005317688,0.028060913,0.03173828,-0.04647827,0.016204834,-0.062286377,-0.0075531006,0.042114258,-0.035339355,-0.010169983,0.024551392,0.06384277,0.006801605,0.03955078,-0.009170532,-0.037353516,-0.039367676,0.0579834,-0.020523071,-0.04953003,-0.025314331,-0.08081055,0.018753052,0.10736084,-0.029403687,-0.051452637,0.048583984,-0.068725586,0.06100464,0.004917145,0.0062179565,-0.055114746,0.07006836,0.03994751,0.031555176,0.03173828,0.031234741,-0.033325195,0.02708435,0.009918213,-0.012313843,0.010360718,0.0546875,0.06414795,-0.0317688,0.011329651,-0.006668091,-0.006263733,0.04144287,-0.024032593,0.004802704,-0.07733154,0.021392822,0.022003174,0.073913574,-0.02986145,-0.02420044,-0.04135132,-0.035186768,-0.0052261353,-0.038879395,0.10559082,-0.02545166,-0.0209198,0.021240234,-0.05203247,-0.03265381,0.028778076,-0.08154297,-0.01586914,-0.038208008,0.072265625,0.015068054,0.07208252,-0.13696289,-0.045166016,-0,0.05871582,0.0058898926,-0.019577026,0.019729614,0.056488037,-0.012939453,-0.11218262,-0.001581192,0.03945923,-0.0025024414,-0.009880066,-0.007331848,0.039794922,-0.03933716,0.030838013,-0.09106445,0.0068206787,0.024383545,-0.029937744,0.08642578,-0.007785797,0.012886047,-0.064697266,0.088378906,-0.033935547,0.036987305,0.056396484,0.064086914,-0.06689453,0.026153564,0.03753662,-0.070373535,-0.07476807,0.017791748,-0.024642944,-0.02508545,0.005962372,-0.04559326,-0.0362854,0.06201172,0.0657959,-0.023544312,0.10180664,0.0041503906,-0.023025513,0.005771637,0.061309814,0.04272461,0.008659363,0.014511108,0.052459717,-0.00592041,-0.057403564,-0.07647705,0.05142212,-0.011001587,0.039276123,0.0035533905,-0.0035476685,0.036865234,0.0017614365,-0.012573242,0.00036787987,0.125,-0.070617676,-0.06124878,-0.043426514,0.021224976,0.044006348,-0.02381897,-0.018585205,0.043792725,0.0072898865,-0.029159546,0.13989258,0.03970337,-0.07672119,-0.008804321,-0.08294678,-0.08081055,-0.028778076,-0.01586914,-0.06488037,-0.012832642,0.06591797,-0.095581055,0.026382446,0.008300781,-0.0037326813,-0.005332947,-0.0149383545,0.03781128,0.019897461,-0.025802612,0.06378174,-5.9604645e-08,-0.0017642975,0.13269043,0.02633667,-0.013305664,0.046569824,-0.012771606,0.0703125,0.08532715,-0.022232056,0.001411438,0.014411926,0.08270264,0.02684021,0.041931152,0.019012451,0.035491943,0.095214844,-0.06958008,0.0082473755,-0.036468506,0.09283447,-0.014083862,0.01676941,-0.08001709,-0.022949219,0.0075531006,-0.036224365,0.03756714,-0.070373535,-0.020950317,0.066589355,-0.0181427,0.007369995,0.039733887,-0.08660889,-0.042266846,-0.034729004,0.051605225,-0.049987793,-0.034332275,-0.036376953,-0.03704834,-0.01335144,0.036743164,-0.015197754,0.0033073425,0.07171631,-0.054534912,-0.03845215,0.029388428,-0.023147583,-0.0206604,0.08325195,-0.0395813,0.023849487,-0.085632324,0.07312012,0.05090332,-0.03994751,0.017562866,0.016204834,0.011398315,-0.047302246,-0.01586914]	# Chapter 3\n\nThen a girl found the key in a garden, opened the door, and read until the lamp had no oil any more. Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more. Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more. Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more. Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more. Then a girl found the key in a garden, opened the door, and read until the lamp had no oil any more.
10	10	0	[0.020324707,0.09857178,0.04272461,-0.00078344345,0.070617676,0.008140564,0.020187378,-0.010879517,-0.10925293,-0.043670654,-0.021820068,-0.03414917,-0.026428223,0.069885254,-0.0063705444,0.091552734,0.009712219,-0.00705719,0.0078048706,0.0023956299,-0.017242432,-0.008735657,-0.059631348,-0.096191406,-0.017044067,0.04663086,0.13098145,0.06726074,0.024642944,-0.0006170273,-0.040893555,0.044128418,-0.048553467,-0.03881836,0.02381897,0.013061523,0.014450073,-0.0064582825,0.057006836,-0.044830322,-0.04071045,-0.01876831,-0.014007568,0.096191406,-0.004005432,-0.047546387,0.001493454,0.038970947,0.06756592,0.029785156,-0.011169434,-0.083740234,-0.041137695,-0.08312988,0.0058250427,-0.08081055,-0.047790527,0.0340271,0.03475952,-0.032592773,0.04598999,0.06347656,-0.0390625,0.06384277,0.06567383,-0.015556335,-0.026382446,0.07312012,-0.020263672,0.016418457,0.05996704,0.008506775,0.021148682,-0.04736328,-0.013168335,-0.030838013,-0.030395508,-0.028137207,0.00020837784,-0.0038642883,-0.053222656,-0.020401001,-0.045074463,0.06335449,0.08276367,0.0869751,0.013427734,0.025482178,-0.010391235,0.11022949,-0.010391235,-0.049316406,-0.064819336,-0.0107803345,0.008125305,0.0037555695,-0.05847168,0.027786255,-0.019866943,0.067871094,0.0101623535,-0.01309967,-0.016281128,-0.043823242,0.036102295,0.02420044,0.0031814575,0.018798828,-0.008056641,-0.10083008,-0.06719971,0.047790527,0.005634308,0.03778076,-0.07220459,0.0018167496,-0.004512787,-0.05340576,-0.062683105,-0.00868988,0.118652344,-0.020889282,0.017654419,0.025817871,-0.0119018555,-0.019607544,0.03845215,-0,-0.023345947,0.0345459,-0.037139893,0.05303955,0.14086914,-0.025390625,0.023651123,-0.018630981,-0.029434204,0.10217285,0.05328369,0.008415222,-0.04232788,0.0004749298,0.053466797,-0.07055664,0.049591064,-0.06549072,-0.08660889,-0.058624268,0.006298065,-0.04663086,-0.008422852,-0.057037354,-0.070373535,0.010261536,0.03970337,0.008049011,0.0027275085,0.059387207,0.014533997,0.012145996,-0.009902954,0.029769897,-0.06311035,-0.07232666,0.0072288513,-0.055786133,-0.055847168,-0.01235199,-0.06008911,0.010154724,-0.047790527,0.1270752,0.0015296936,-0.073791504,0.038757324,0.025268555,-0.0026607513,0.07513428,0.029708862,-0.0053482056,-0.09954834,-0.0025234222,-0.06341553,-0.0043411255,0.053253174,-0.058135986,-0.020477295,-0.045532227,-0.07128906,0.0056762695,0.0357666,0.04031372,0.046173096,0.10333252,0.03213501,-0.06085205,-0.014274597,-0.047729492,-0.021408081,0.053222656,0.03363037,-0.030532837,-0.08709717,0.019729614,0.04788208,-0.018737793,0.017211914,-0.0071029663,-0.09088135,0.080322266,-0.06347656,0.008758545,0.0038166046,-0.030181885,0.010246277,0.0077171326,-0.009391785,0.021896362,-0.04144287,-0.014099121,0.044799805,-0.14624023,-0.034973145,0,0.03793335,0.009109497,-0.050476074,-0.030166626,-0.042785645,-0.06585693,0.07763672,-0.009513855,-0.021377563,0.04071045,-0.14147949,0.032348633,0.034118652,0.08905029,0.0070877075,0.028381348,0.0947876,0.10308838,0.006225586,-0.017410278,0.06567383,-0.0013370514,0.07501221,0.10852051,-0.051818848,0.10119629,0.05444336,-0.086364746,-0.021331787,-0.002796173,-0.02810669,0.029953003,0.05419922,-0.06451416,-0.124816895,0.030441284,0.10546875,0.006210327,-0.058441162,0.086120605,0.057800293,-0.105163574,-0.026779175,0.051635742,-0.09954834,0.03552246,-0.042907715,-0.0014781952,-0.0017786026,0.057525635,0.029205322,-0.002008438,0.010986328,-0.021255493,0.009788513,-0.0073432922,0.038330078,-0.10913086,0.013839722,0.109191895,0.056793213,0.04647827,-0.07537842,0.033416748,-0.0065956116,0.016235352,-0.002368927,0.019119263,-0.0066184998,-0.010475159,0.009994507,0.03933716,-0.040374756,0.04324341,-0.00089263916,-0.082458496,-0.025894165,0.026382446,0.04498291,0.036987305,-0.02911377,-0.052581787,-0.032958984,0.051879883,-0.01701355,-0.042022705,0.025726318,-0.01322937,0.058044434,-0.13586426,0.044311523,0.076171875,-0.029647827,0.012962341,0.0033988953,-0,-0.0335083,-0.041992188,0.057556152,-0.01889038,-0.046691895,-0.024459839,0.007446289,0.049438477,0.051361084,-0.05456543,-0.010124207,-0.0446167,-0.011199951,-0.0018186569,0.010055542,0.017105103,0.022491455,-0.043884277,-0.08050537,-0.097229004,-0.008995056,0.043945312,-0.043792725,0.0041275024,-0.0869751,-0.0035552979,0.04321289,0.027175903,0.032073975,0.101135254,-0.051483154,0.063964844,-0.04989624,0.029144287,-0.017120361,-0.040527344,0.021652222,-0.0042877197,-0.057281494,0.022415161,-0.119384766,0.117370605,-0.05633545,0.0007972717,0.049957275,0.058380127,0.047790527,0.030838013,-0.0574646,-0.015388489,0.062927246,-0.045440674,0.039611816,0.11340332,0.02609253,0.062194824,-0.013763428,0.04547119,-0.018554688,0.066467285,-0.07885742,0.050201416,-0.016098022,0.049346924]	Paint the boat in the harbour.
12	12	0	[-0.006084442,0.10168457,0.0028209686,0.049835205,0.02079773,-0.014190674,0.011352539,-0.051635742,-0.08483887,-0.011070251,0.030029297,-0.047851562,-0.0023117065,0.038848877,0.016143799,0.044799805,-0.052337646,-0.023727417,0.035125732,-0.010444641,0.028427124,-0.011253357,-0.042419434,-0.07305908,0.015266418,0.04547119,0.0317688,0.043151855,0.050933838,-0.007286072,-0.05621338,0.006362915,-0.06561279,-0.01876831,0.026321411,0.082458496,0.068725586,-0.048919678,0.06439209,-0.025970459,-0.05633545,0.0032444,0.025390625,0.09008789,-0.0463562,-0.028625488,0.011154175,-0.042816162,0.0011053085,-0.042266846,-0.005207062,-0.06365967,-0.07733154,-0.06561279,0.010391235,-0.04360962,-0.036590576,-0.0032577515,0.061584473,-0.027175903,0.07470703,0.03717041,-0.0446167,0.043121338,0.052001953,-0.032348633,-0.092285156,-0.036010742,-0.0018081665,-0.06726074,0.013412476,-0.047851562,0.076660156,-0.07006836,-0.04244995,-0.055786133,-0.011489868,-0.014373779,-0.07373047,0.044769287,0.03930664,-0.039031982,-0.03881836,0.14685059,0.08416748,-0.028152466,0.014007568,0.019165039,0.018829346,0.052246094,-0.01828003,-0.06298828,-0.06939697,0.042297363,0.030136108,-0.0015535355,-0.048553467,0.024459839,-0.05645752,0.0657959,0.060424805,0.061035156,-0.050231934,0.023590088,-0.007888794,-0.059265137,-0.049957275,0.040496826,0.0025730133,-0.06719971,-0.0045776367,0.01878357,-0.0579834,0.018234253,-0.060424805,-0.0067214966,-0.019165039,-0.0574646,0.0036888123,0.052093506,0.08135986,0.026138306,0.018463135,0.035949707,-0.05432129,0.023223877,0.036193848,-0,-0.024871826,0.062042236,-0.030807495,0.011802673,0.11828613,-0.034698486,0.027282715,0.04296875,-0.0637207,0.010864258,0.029449463,0.057525635,-0.08013916,0.0025997162,0.072021484,-0.043029785,0.0357666,-0.012123108,-0.07159424,-0.049438477,-0.003025055,-0.032592773,-0.004016876,-0.07867432,-0.009475708,-0.026885986,-0.023162842,0.014144897,-0.045074463,0.06866455,-0.008781433,0.033081055,0.004611969,-0.0030002594,0.040863037,-0.08679199,0.0513916,-0.051696777,-0.09411621,0.0035858154,-0.02935791,0.042541504,-0.016647339,0.08074951,0.013771057,-0.013267517,-0.046661377,0.037231445,0.10003662,0.050354004,0.03326416,-0.07495117,-0.2010498,0.031463623,-0.01676941,0.02293396,-0.01461792,-0.012168884,0.0048561096,-0.0014314651,-0.0062942505,-0.05291748,0.038024902,0.05340576,0.056243896,0.0619812,-0.0119018555,-0.02583313,-0.05050659,0.020568848,-0.084350586,0.012756348,0.07525635,0.0079956055,-0.010971069,0.04397583,0.005130768,0.050048828,-0.02709961,0.016571045,-0.0579834,0.1315918,-0.02885437,0.012825012,0.021591187,-0.03262329,0.00062561035,-0.024856567,-0.02557373,0.02583313,-0.06652832,0.04812622,0.10089111,-0.13708496,-0.16369629,0,-0.029663086,-0.043914795,-0.07269287,-0.10235596,-0.049926758,-0.03967285,0.040527344,-0.036712646,-0.029006958,0.11407471,-0.08648682,-0.03640747,0.070495605,0.113586426,-0.05911255,0.029541016,0.09112549,0.025268555,0.014854431,0.004753113,0.08673096,-0.025375366,0.023361206,-0.020462036,-0.011421204,0.08898926,0.048431396,-0.07342529,-0.03994751,-0.04321289,-0.03277588,0.06970215,0.06097412,0.038024902,-0.08081055,0.14624023,0.05026245,0.015106201,-0.018630981,0.08068848,0.031799316,-0.049316406,-0.0011739731,0.05456543,-0.057250977,-0.0070266724,-0.011810303,0.04522705,0.008155823,0.018310547,-0.0067443848,-0.018417358,0.02633667,0.007144928,-0.04824829,0.044921875,-0.03112793,0.00724411,0.026229858,0.0084991455,0.07513428,0.030715942,-0.083618164,0.07141113,0.043273926,0.048095703,-0.016403198,0.023361206,-0.05718994,0.046966553,0.015235901,0.002653122,-0.09979248,-0.003458023,-0.025390625,0.0061569214,-0.017913818,0.028167725,-0.07128906,0.023101807,-0.013641357,-0.0069770813,-0.07342529,-0.01852417,-0.028808594,-0.107666016,0.08068848,-0.03729248,-0.019973755,-0.0463562,0.018356323,0.05883789,-0.09790039,-0.048675537,0.047668457,-0,0.019256592,0.010002136,-0.059448242,-0.010643005,-0.03994751,-0.04434204,0.03375244,-0.005466461,0.030960083,-0.03845215,-0.027648926,-0.027435303,-0.029815674,0.014190674,0.04849243,0.0049438477,-0.00038981438,-0.087524414,-0.019973755,-0.04638672,0.025466919,0.015151978,0.007843018,-0.058746338,-0.064086914,0.033996582,0.041809082,0.047943115,0.02178955,0.06573486,0.076171875,0.03491211,-0.02949524,0.022018433,-0.0803833,-0.0079574585,0.018844604,-0.07647705,-0.05392456,-0.031555176,-0.0115737915,0.047943115,-0.05819702,0.06222534,0.07562256,0.10736084,0.07611084,-0.013038635,0.008842468,0.032562256,0.015808105,-0.008666992,0.066101074,0.062164307,0.016815186,0.06665039,0.009765625,0.0044288635,-0.0871582,0.043792725,0.035614014,0.122680664,0.040985107,0.0814209]	The lighthouse of the harbour.
11	11	0	[-0.010681152,0.08117676,0.008682251,0.0052452087,0.035736084,-0.0008568764,0.052124023,-0.054656982,-0.104003906,0.013557434,0.011909485,0.013008118,-0.022872925,0.058929443,-0.041290283,0.06323242,-0.07885742,-0.027328491,-0.01940918,-0.0013008118,-0.02406311,0.015731812,-0.059448242,-0.11657715,-0.020370483,0.020233154,0.015434265,0.0619812,0.043823242,-0.02407837,-0.061187744,0.032958984,-0.027770996,0.0028381348,0.020690918,0.012138367,0.043762207,-0.0069732666,0.011817932,0.023880005,-0.013435364,0.01725769,0.024719238,0.11791992,-0.056793213,-0.008552551,-0.041503906,0.0018386841,0.041229248,0.008804321,0.043151855,-0.007411957,-0.035980225,-0.06341553,0.070495605,-0.031463623,-0.060424805,-0.03250122,0.052520752,-0.024429321,0.082458496,0.020828247,-0.04159546,0.015899658,0.0871582,-0.04559326,-0.039001465,0.0010194778,0.02645874,0.023117065,0.052703857,-0.037139893,-0.040985107,-0.058563232,0.003025055,-0.03201294,-0.040374756,-0.07946777,-0.0345459,-0.062805176,-0.022659302,0.009162903,0.014350891,0.10510254,0.024276733,-0.016418457,-0.0037002563,-0.019927979,0.050872803,0.09350586,-0.07751465,-0.0769043,-0.0435791,0.022720337,0.057678223,0.0010128021,-0.080200195,0.032104492,-0.08721924,0.08862305,0.0496521,0.03152466,-0.053955078,-0.042938232,-0.017745972,0.061798096,-0.07287598,-0.0031337738,-0.012680054,-0.06958008,-0.059814453,0.06524658,-0.0013418198,0.0064964294,-0.030166626,0.0059509277,0.0052604675,-0.041809082,0.010826111,0.0121536255,0.037963867,0.022979736,-0.021957397,-0.010543823,-0.033325195,0.04046631,0.014823914,-0,-0.024307251,-0.007686615,-0.07141113,0.040740967,0.11706543,-0.06518555,-0.027236938,-0.06341553,0.043426514,0.035583496,-0.03604126,0.013870239,-0.13842773,-0.07507324,0.08880615,-0.08886719,0.06451416,-0.0259552,-0.041503906,-0.054992676,-0.061309814,-0.040863037,-0.00944519,-0.09851074,0.03451538,-0.032440186,-0.0317688,-0.0025291443,0.078308105,0.06915283,-0.018249512,0.044128418,0.0099105835,0.04824829,0.00088596344,0.0029087067,0.030899048,-0.054718018,-0.04547119,-0.04220581,-0.007865906,-0.020050049,-0.026153564,0.086120605,-0.020874023,-0.0579834,-0.11047363,0.08862305,0.011985779,0.058685303,0.050933838,-0.0074882507,-0.111694336,-0.064941406,-0.06274414,0.02848816,-0.010787964,0.057403564,-0.028411865,0.07342529,0.024505615,-0.0034561157,0.006942749,0.111450195,0.06112671,0.062805176,0.072509766,-0.02418518,-0.022125244,0.010574341,-0.13586426,0.04928589,0.09979248,0.047454834,-0.012786865,0.037261963,-0.009063721,0.066589355,-0.0035362244,-0.0026569366,-0.021636963,0.13415527,-0.059265137,0.018447876,-0.009773254,-0.0065460205,0.04336548,-0.06768799,0.038146973,0.031173706,-0.09240723,0.011154175,0.11450195,-0.06695557,-0.11395264,0,-0.08654785,0.0524292,-0.068237305,-0.053131104,-0.103027344,-0.0050697327,0.07409668,-0.0031757355,-0.053649902,0.026931763,-0.07922363,0.025512695,0.04244995,0.062286377,-0.036102295,0.026855469,0.09454346,0.031082153,0.019866943,-0.035339355,0.0703125,-0.064697266,0.017410278,0.019104004,-0.016998291,0.08111572,0.042999268,-0.073913574,-0.047790527,0.02720642,0.041046143,0.03074646,-0.015945435,0.013763428,-0.08013916,0.038208008,0.086120605,0.06210327,0.021514893,0.004486084,0.006717682,-0.026824951,-0.049713135,0.088012695,-0.057617188,0.061584473,-0.037963867,0.00089359283,-0.04055786,0.027404785,-0.009994507,0.061950684,-0.01083374,-0.029388428,-0.0146484375,0.059661865,0.024169922,-0.066101074,0.043945312,0.012031555,-0.025299072,0.05670166,-0.12158203,0.057403564,0.018493652,0.03942871,-0.0038223267,-0.039245605,-0.028335571,-0.0061187744,0.021621704,-0.014518738,-0.039794922,0.03189087,-0.02218628,-0.028198242,-0.040771484,0.018066406,-0.040222168,0.07562256,-0.02130127,-0.011627197,-0.04336548,0.022842407,0.03189087,-0.012481689,0.10070801,0.029876709,0.030776978,-0.040222168,0.030044556,0.017105103,-0.044799805,0.028869629,0.025634766,-0,0.01914978,0.041046143,-0.003326416,0.0057144165,-0.03100586,-0.062927246,0.015991211,0.080322266,0.08227539,-0.031555176,-0.07019043,-0.0079193115,-0.0635376,0.015853882,0.040252686,0.038848877,-0.0048446655,-0.045837402,-0.047546387,-0.10021973,0.048950195,0.03933716,-0.01991272,0.058258057,-0.12158203,0.0074005127,0.03543091,-0.02671814,0.023208618,0.10675049,0.020217896,0.052703857,-0.053344727,0.020263672,-0.02822876,0.07196045,0.017288208,-0.024795532,0.002298355,-0.04486084,-0.084106445,0.042236328,-0.0066986084,0.034454346,0.107543945,0.0690918,0.0014047623,0.064941406,-0.015136719,-0.06317139,0.07720947,0.036132812,0.092285156,0.05215454,0.04626465,0.054595947,-0.0014181137,-0.0390625,-0.039276123,0.057617188,-0.11151123,0.06665039,-0.02798462,0.040618896]	Mend the nets of the harbour.
\.



COPY ccb.common_terms (lexeme, freq) FROM stdin;
\.



COPY ccb.documents (doc_id, source_id, provider, group_id, title, doc_type, modified, content_hash, chunk_count, created_at) FROM stdin;
2	files__default: 3	files__default	1	files/tulips.md	text/markdown	1750000000	1:text/markdown:c33d7f117cbdbdcef7bf83bb7c14752c82a43d8e341a362d05ce5587745b3bf4	1	2026-11-28 13:18:32.740072+00
4	files__default: 5	files__default	3	files/apple-cake.md	text/markdown	1750000000	1:text/markdown:b381453f01e3c2ab47ae69979e29bd65233e57bcf2082e938b4fd0f142accc30	1	2026-11-28 13:18:33.006251+00
7	files__default: 8	files__default	4	files/crane.html	text/html	1750000000	1:text/html:8c6cef27dc169e87fdbb4921e6bcb8901c60f60af31f0ffe37c60c817d694275	1	2026-11-28 13:18:33.361931+00
8	mail__mail: 12:345	mail__mail	5	A letter für Jörg ✉	text/plain	1750000000	1:text/plain:1af68b383a625ca6de4f1a10ee76ead5ad3cfa38b479d38c7bda7ff1b1dab388	1	2026-11-28 13:18:33.68551+00
9	mail__mail: 12:346	mail__mail	6	Re: A letter	text/plain	1750000000	1:text/plain:6f18148172541ffce6c2e2014c0d21b5bdc1d8334548f8978199a215e650ad60	1	2026-11-28 13:18:33.741197+00
10	deck__deck: 1	deck__deck	7	Paint the boat	text/markdown	1750000000	1:text/markdown:c08e2c34df56b4cfce1e66bd9f47ef117a77abd241a4031d67070e3586ff7858	1	2026-11-28 13:18:34.01408+00
11	deck__deck: 2	deck__deck	8	Mend the nets	text/markdown	1750000000	1:text/markdown:829d3dda11c902aa5ef9ec612ad64e291ec633a6332f5b9036c4b88e8a5378c0	1	2026-11-28 13:18:34.221695+00
13	notes__notes: 2	notes__notes	10	Tides	text/markdown	1750000000	1:text/markdown:67c21e9a5082c8fd244cdc991fd074db819dd101fe55f240e9d7d5b3fd9b9696	1	2026-11-28 13:18:34.338743+00
1	files__default: 1	files__default	11	files/whale.md	text/markdown	1750000000	1:text/markdown:8c5cb42f6c19fb9c50e50fd3c892daf79626a2194f2e6b1254b1d45c452d5ee7	1	2026-11-28 13:18:32.66473+00
5	files__default: 2	files__default	12	files/budget.md	text/markdown	1750000000	1:text/markdown:9e6318bff8688ce34a1e7175f67c978e9ebbce6b3cb75cfa119e7dcbf7d07c0b	1	2026-11-28 13:18:33.007864+00
12	notes__notes: 1	notes__notes	13	Lighthouse	text/markdown	1750000000	1:text/markdown:28f1422945b50ce0706363047878517a050bb52018494f039f1abf77fa7e3180	1	2026-11-28 13:18:34.286909+00
14	files__default: 4	files__default	11	files/book.md	text/markdown	1750000001	1:text/markdown:5e3dc15f73a54f87ba505948101a85ba4672d5a359501b683b2ea51a0e12e0bd	2	2026-11-28 13:18:35.203424+00
\.



COPY ccb.group_members (user_no, group_id) FROM stdin;
1	1
2	1
1	3
8	3
7	4
1	5
2	5
2	6
1	7
9	8
2	10
9	10
1	11
1	12
2	12
9	12
10	12
1	13
10	13
7	5
7	6
\.



COPY ccb.settings (key, value) FROM stdin;
store_id	c1ce26df-dbd5-4f39-ae1c-9d0011989fcc
embedding_dim	384
exact_max_chunks	100000
exact_max_documents	20000
ef_search	200
max_scan_tuples	40000
text_candidates	500
schema_version	2
functions	806d65600fb9f610a3cea92fcbb0544d791544923a20b46c915884255f1e4fa4
edition	STORE
embedding_model	all-MiniLM-L6-v2
\.



COPY ccb.tickets (source_id, provider, ticket, issued_at) FROM stdin;
\.



COPY ccb.users (user_no, uid) FROM stdin;
1	alice
2	bob
7	carol
8	erin
9	dora
10	jörg
\.



SELECT pg_catalog.setval('ccb.access_groups_group_id_seq', 13, true);



SELECT pg_catalog.setval('ccb.chunks_chunk_id_seq', 15, true);



SELECT pg_catalog.setval('ccb.documents_doc_id_seq', 14, true);



SELECT pg_catalog.setval('ccb.users_user_no_seq', 10, true);



ALTER TABLE ONLY ccb.access_groups
    ADD CONSTRAINT access_groups_pkey PRIMARY KEY (group_id);



ALTER TABLE ONLY ccb.access_groups
    ADD CONSTRAINT access_groups_provider_digest_key UNIQUE (provider, digest);



ALTER TABLE ONLY ccb.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (chunk_id);



ALTER TABLE ONLY ccb.common_terms
    ADD CONSTRAINT common_terms_pkey PRIMARY KEY (lexeme);



ALTER TABLE ONLY ccb.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (doc_id);



ALTER TABLE ONLY ccb.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (user_no, group_id);



ALTER TABLE ONLY ccb.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (key);



ALTER TABLE ONLY ccb.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (source_id);



ALTER TABLE ONLY ccb.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (user_no);



ALTER TABLE ONLY ccb.users
    ADD CONSTRAINT users_uid_key UNIQUE (uid);



CREATE UNIQUE INDEX chunks_doc_idx ON ccb.chunks USING btree (doc_id, ordinal);



CREATE INDEX chunks_embedding_hnsw ON ccb.chunks USING hnsw (embedding public.halfvec_cosine_ops) WITH (m='16', ef_construction='64');



CREATE INDEX chunks_tsv_gin ON ccb.chunks USING gin (tsv);



CREATE INDEX documents_group_idx ON ccb.documents USING btree (group_id) INCLUDE (doc_id, chunk_count);



CREATE INDEX documents_provider_idx ON ccb.documents USING btree (provider);



CREATE UNIQUE INDEX documents_source_id_key ON ccb.documents USING btree (source_id) WHERE (group_id IS NOT NULL);



CREATE INDEX documents_staged_idx ON ccb.documents USING btree (source_id, created_at) WHERE (group_id IS NULL);



CREATE INDEX tickets_provider_idx ON ccb.tickets USING btree (provider);



ALTER TABLE ONLY ccb.chunks
    ADD CONSTRAINT chunks_doc_id_fkey FOREIGN KEY (doc_id) REFERENCES ccb.documents(doc_id) ON DELETE CASCADE;



ALTER TABLE ONLY ccb.documents
    ADD CONSTRAINT documents_group_id_fkey FOREIGN KEY (group_id) REFERENCES ccb.access_groups(group_id);



REVOKE ALL ON FUNCTION public.ccb_begin_upsert(p_source jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_collect_garbage(p_older_than interval) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_count_documents() FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_older(p_source_id text, p_modified bigint) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_provider(p_provider text, p_limit integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_sources(p_source_ids text[]) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_user(p_uid text, p_limit integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_discard_staged(p_doc_id bigint) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_open_store(p_dimension integer, p_model text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_publish_source(p_doc_id bigint, p_users text[], p_chunks integer, p_ticket text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_search(p_user text, p_embedding public.halfvec, p_query text, p_k integer, p_providers text[], p_sources text[], p_mode text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_stage_chunks(p_doc_id bigint, p_chunks jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_stage_source(p_source jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_status() FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_store_source(p_source jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_update_access(p_op text, p_users text[], p_source_id text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_update_access_provider(p_op text, p_users text[], p_provider text, p_after bigint, p_limit integer) FROM PUBLIC;



