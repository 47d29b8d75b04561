-- ---------------------------------------------------------------------------
-- Storing and searching chunks.  Needs access/functions.sql and chunks/0001_tables.sql.
--
--   ccb_begin_upsert -> 'index' -> ccb_store_source, if the chunks fit into one call, or
--   ccb_stage_source, ccb_stage_chunks for each page, ccb_publish_source
--
-- chunks: [{ordinal, heading, content, embedding}], embedding as an array or as its text
-- ---------------------------------------------------------------------------

-- -------------------------------------------------------------------- writing

-- Returns the number to stage chunks under.  Nobody finds a staged document.
create or replace function public.ccb_stage_source(p_source jsonb) returns bigint
language sql
set search_path from current
as $fn$
  insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash)
    values (p_source ->> 'source_id', p_source ->> 'provider', p_source ->> 'title', p_source ->> 'type',
            (p_source ->> 'modified')::bigint, p_source ->> 'content_hash')
    returning doc_id
$fn$;

create or replace function public.ccb_stage_chunks(p_doc_id bigint, p_chunks jsonb) returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'       -- PostgREST applies this to the whole request
as $fn$
begin
  perform 1 from ccb.documents where doc_id = p_doc_id and group_id is null for key share;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
  insert into ccb.chunks (doc_id, ordinal, heading, embedding, content)
    select p_doc_id, c.ordinal, coalesce(c.heading, ''), c.embedding, c.content
      from jsonb_to_recordset(p_chunks) as c (ordinal int, heading text, embedding halfvec, content text)
  on conflict (doc_id, ordinal) do update
     set heading = excluded.heading, embedding = excluded.embedding, content = excluded.content;
  return jsonb_array_length(p_chunks);
end
$fn$;

-- Publishes a staged document, see ccb.publish.
create or replace function public.ccb_publish_source(
  p_doc_id bigint, p_users text[], p_chunks int, p_ticket text default null)
returns text
language sql
set search_path from current
set statement_timeout = '55s'
as $fn$
  select ccb.publish(p_doc_id, p_users, p_chunks,
                     (select count(*)::int from ccb.chunks where doc_id = p_doc_id), p_ticket)
$fn$;

-- The three above in one call, for p_source with its ticket and with chunks that fit into one.
create or replace function public.ccb_store_source(p_source jsonb) returns text
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  d bigint := public.ccb_stage_source(p_source);
begin
  perform public.ccb_stage_chunks(d, p_source -> 'chunks');
  return public.ccb_publish_source(d, ccb.text_array(p_source -> 'users'),
                                   jsonb_array_length(p_source -> 'chunks'), p_source ->> 'ticket');
end
$fn$;

-- -------------------------------------------------------------------- reading

-- Exact top-k over a given list of documents.
create or replace function ccb.nearest_exact(p_q halfvec, p_docs bigint[], p_k int)
returns table (chunk_id bigint, dist float8)
language sql stable as $$
  with c as materialized (
    select c.chunk_id, c.embedding <=> p_q as dist
      from ccb.chunks c where c.doc_id = any (p_docs))
  select chunk_id, dist from c order by dist limit p_k
$$;

-- HNSW with iterative scan; the access filter is evaluated while the index is read.
create or replace function ccb.nearest_ann(p_q halfvec, p_groups bigint[], p_k int)
returns table (chunk_id bigint, dist float8)
language plpgsql stable
set enable_seqscan = off
set enable_sort = off
as $fn$
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
$fn$;

-- Search terms of a question, rarest first: at most 8, common words dropped unless
-- there are no others.
create or replace function ccb.terms_of(p_query text) returns text[]
language sql stable as $$
  with terms as (
    select t.lexeme, coalesce(c.freq, 0.0005) as freq
      from unnest(to_tsvector('simple', p_query)) t left join ccb.common_terms c using (lexeme))
  select coalesce(array_agg(lexeme order by freq, length(lexeme) desc), '{}') from (
    select lexeme, freq from terms
     where freq < 0.1 or not exists (select 1 from terms where freq < 0.1)
     order by freq limit 8) s
$$;

create or replace function ccb.tsq(p_terms text[], p_op text) returns tsquery
language sql immutable as $$
  select string_agg(quote_literal(t), p_op)::tsquery from unnest(p_terms) t
$$;

-- Text matches, best first.  Tiers: all terms, then the two rarest, then any of the
-- three rarest (all terms of a whole question seldom match); ranked by the summed
-- rarity of the matched terms, then by cover density.
create or replace function ccb.text_hits(
  p_terms text[], p_docs bigint[], p_groups bigint[], p_depth int)
returns bigint[]
language plpgsql stable
set plan_cache_mode = force_custom_plan     -- the plan depends on how rare the words are
as $fn$
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
$fn$;

-- [{source_id, title, ordinal, heading, content, score}]: the best p_k chunks that p_user
-- may read, best first.  By meaning, by words, or where both are given by reciprocal rank
-- fusion.
create or replace function public.ccb_search(
  p_user      text,
  p_embedding halfvec default null,
  p_query     text    default null,
  p_k         int     default 10,
  p_providers text[]  default null,
  p_sources   text[]  default null
) returns jsonb
language plpgsql stable                    -- PostgREST: runs in a READ ONLY transaction
set search_path from current
as $fn$
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
  if groups = '{}' then return '[]'; end if;

  -- How much may this user see?  Read only as far as needed to decide.
  if p_sources is not null then
    docs := array(select doc_id from ccb.documents d
                   where d.source_id = any (p_sources) and d.group_id = any (groups));
    if docs = '{}' then return '[]'; end if;
  else
    select count(*), coalesce(sum(chunk_count), 0) into n_docs, n_chunks
      from (select chunk_count from ccb.documents where group_id = any (groups) limit doc_cap + 1) s;
    if n_docs = 0 then return '[]'; end if;
    if n_docs <= doc_cap and n_chunks <= ccb.setting_int('exact_max_chunks') then
      docs := array(select doc_id from ccb.documents where group_id = any (groups));
    end if;
  end if;

  if p_embedding is not null then
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

  terms := ccb.terms_of(coalesce(p_query, ''));
  if terms <> '{}' then t_ids := ccb.text_hits(terms, docs, groups, depth); end if;

  return (with hits as (
    select id, 1.0::float8 / (60 + ord) as s, v_dist[ord] as dist
      from unnest(v_ids) with ordinality as a(id, ord)
    union all
    select id, 1.0::float8 / (60 + ord), null from unnest(t_ids) with ordinality as b(id, ord)
  ), fused as (
    select id, sum(s) as s, min(dist) as dist from hits group by id
     order by s desc, dist nulls last limit p_k
  )
  select coalesce(jsonb_agg(jsonb_build_object('source_id', d.source_id, 'title', d.title, 'ordinal', c.ordinal,
                                               'heading', c.heading, 'content', c.content, 'score', f.s)
                            order by f.s desc, f.dist nulls last), '[]')
    from fused f
    join ccb.chunks c on c.chunk_id = f.id
    join ccb.documents d on d.doc_id = c.doc_id
   where d.group_id = any (groups));    -- defence in depth: never return what is not accessible
end
$fn$;

-- ------------------------------------------------------------------ operation

-- The status, once it is sure that vectors of this model fit to those in the store.
-- The first caller decides on the model.
create or replace function public.ccb_open_store(p_dimension int, p_model text) returns jsonb
language plpgsql
set search_path from current
as $fn$
begin
  perform ccb.require_model(p_dimension, p_model);
  return public.ccb_status();
end
$fn$;

-- What uploads left behind, and the list of common terms.  Run daily.  Returns the
-- number of staged documents removed.
create or replace function public.ccb_collect_garbage(p_older_than interval default '1 day') returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
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
$fn$;
