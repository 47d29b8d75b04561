-- ---------------------------------------------------------------------------
-- Storing and searching chunks.  Needs access/functions.sql and chunks/0001_tables.sql.
--
--   ccb_begin_upsert -> 'index' -> ccb_store_source, if the chunks fit into one call, or
--   ccb_stage_source, ccb_stage_chunks for each page, ccb_publish_source
--
-- chunks: [{ordinal, heading, content, text_key, words}]; their vectors come later, by ccb_claim_chunks and
--         ccb_put_vectors
-- words:  {language, terms, weights}, terms in ascending order, weights as the text of a sparsevec
-- ---------------------------------------------------------------------------

-- -------------------------------------------------------------------- writing

-- Returns the number to stage chunks under.  Nobody finds a staged document.
create or replace function public.ccb_stage_source(p_source jsonb) returns bigint
language sql
set search_path from current
as $fn$
  insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash, words_title)
    values (p_source ->> 'source_id', p_source ->> 'provider', p_source ->> 'title', p_source ->> 'type',
            (p_source ->> 'modified')::bigint, p_source ->> 'content_hash', p_source ->> 'title')
    returning doc_id
$fn$;

-- p_words: [{ordinal, language, terms, weights}].  In the place of those that the chunks had.
create or replace function ccb.put_words(p_doc_id bigint, p_words jsonb) returns void
language plpgsql as $fn$
begin
  if coalesce(jsonb_array_length(p_words), 0) = 0 then return; end if;
  insert into ccb.chunk_words (chunk_id, doc_id, language, terms, weights)
    select c.chunk_id, p_doc_id, w.language, w.terms, w.weights
      from jsonb_to_recordset(p_words) as w (ordinal int, language text, terms int[], weights sparsevec)
      join ccb.chunks c on c.doc_id = p_doc_id and c.ordinal = w.ordinal
  on conflict (chunk_id) do update
     set language = excluded.language, terms = excluded.terms, weights = excluded.weights;
  perform ccb.count_terms(
    array(select jsonb_array_elements_text(w -> 'terms')::int from jsonb_array_elements(p_words) w),
    jsonb_array_length(p_words));
end
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
  insert into ccb.chunks (doc_id, ordinal, heading, content, text_key)
    select p_doc_id, c.ordinal, coalesce(c.heading, ''), c.content, c.text_key
      from jsonb_to_recordset(p_chunks) as c (ordinal int, heading text, content text, text_key uuid)
  on conflict (doc_id, ordinal) do update
     set heading = excluded.heading, content = excluded.content, text_key = excluded.text_key,
         embedding = null, claimed_at = null;
  perform ccb.put_words(p_doc_id, (select jsonb_agg(c -> 'words' || jsonb_build_object('ordinal', c -> 'ordinal'))
                                     from jsonb_array_elements(p_chunks) c));
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

-- {doc_id, title}: a document whose words are missing, or were made with another title; the
-- newest first, or the one given.  Null if there is none.
create or replace function public.ccb_wordless_document(p_source_id text default null) returns jsonb
language sql stable
set search_path from current
as $fn$
  select jsonb_build_object('doc_id', doc_id, 'title', title) from ccb.documents
   where words_title is distinct from title and (p_source_id is null or source_id = p_source_id)
   order by doc_id desc limit 1
$fn$;

-- [{ordinal, heading, content}]: some chunks of a document, in order.
create or replace function public.ccb_chunks_of(p_doc_id bigint, p_after int, p_limit int) returns jsonb
language sql stable
set search_path from current
as $fn$
  select coalesce(jsonb_agg(jsonb_build_object('ordinal', ordinal, 'heading', heading, 'content', content)
                            order by ordinal), '[]')
    from (select ordinal, heading, content from ccb.chunks
           where doc_id = p_doc_id and ordinal > p_after order by ordinal limit p_limit) c
$fn$;

-- Stores words of chunks, as ccb.put_words, unless the title that they were made with is not
-- the one of the document any more.  The last call for a document completes it.
create or replace function public.ccb_put_words(p_doc_id bigint, p_words jsonb, p_title text, p_last boolean)
returns void
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
begin
  perform 1 from ccb.documents where doc_id = p_doc_id and title = p_title for no key update;
  if not found then return; end if;                 -- deleted, or renamed again meanwhile
  perform ccb.put_words(p_doc_id, p_words);
  if p_last then
    update ccb.documents set words_title = p_title where doc_id = p_doc_id;
  end if;
end
$fn$;

-- -------------------------------------------------------------------- vectors

-- {chunks: [{chunk_id, title, heading, content}], copied, waiting}: the newest chunks without a
-- vector, of how many others of them the vector was copied from one with the same text, and how
-- many chunks had none before.  For p_lease nobody else is given these.
create or replace function public.ccb_claim_chunks(p_limit int, p_lease interval) returns json
language sql
set search_path from current
as $fn$
  with due as (
    select chunk_id from ccb.chunks
     where embedding is null and (claimed_at is null or claimed_at < now() - p_lease)
     order by chunk_id desc limit p_limit
       for no key update skip locked),
  known as materialized (
    select c.chunk_id, (select t.embedding from ccb.chunks t
                         where t.text_key = c.text_key and t.embedding is not null limit 1) as embedding
      from due join ccb.chunks c using (chunk_id)),
  copied as (
    update ccb.chunks c set embedding = k.embedding, claimed_at = null
      from known k where c.chunk_id = k.chunk_id and k.embedding is not null
    returning c.chunk_id),
  claimed as (
    update ccb.chunks c set claimed_at = now()
      from known k where c.chunk_id = k.chunk_id and k.embedding is null
    returning c.chunk_id, c.doc_id, c.heading, c.content)
  select json_build_object(
    'chunks', (select coalesce(json_agg(json_build_object(
                       'chunk_id', c.chunk_id, 'title', d.title, 'heading', c.heading, 'content', c.content)), '[]')
                 from claimed c join ccb.documents d on d.doc_id = c.doc_id),
    'copied', (select count(*) from copied),
    'waiting', (select count(*) from ccb.chunks where embedding is null))
$fn$;

-- p_vectors: [{chunk_id, embedding}], embedding as an array or as its text.  What is gone, is about
-- to go, or has one already, stays as it is: it never waits for whoever deletes, nor they for it.
create or replace function public.ccb_put_vectors(p_vectors jsonb) returns void
language sql
set search_path from current
set statement_timeout = '55s'
as $fn$
  with made as materialized (
    select chunk_id, embedding from jsonb_to_recordset(p_vectors) as v (chunk_id bigint, embedding halfvec)),
  due as (
    select chunk_id from ccb.chunks
     where chunk_id in (select chunk_id from made) and embedding is null
     order by chunk_id
       for no key update skip locked)
  update ccb.chunks c set embedding = m.embedding, claimed_at = null
    from due join made m using (chunk_id)
   where c.chunk_id = due.chunk_id
$fn$;

-- p_chunks: [{chunk_id}], of a gateway that stops; without it all, for one that has the store to
-- itself: whoever claimed chunks before is gone.
create or replace function public.ccb_release_chunks(p_chunks jsonb default null) returns void
language sql
set search_path from current
as $fn$
  update ccb.chunks set claimed_at = null
   where embedding is null and claimed_at is not null
     and (p_chunks is null or chunk_id in (select (c ->> 'chunk_id')::bigint from jsonb_array_elements(p_chunks) c))
$fn$;

-- How many chunks have no vector yet.
create or replace function public.ccb_waiting_chunks() returns bigint
language sql stable
set search_path from current
as $$ select count(*) from ccb.chunks where embedding is null $$;

-- -------------------------------------------------------------------- reading

-- Exact top-k over a given list of documents; what has no vector yet comes last.
create or replace function ccb.nearest_exact(p_q halfvec, p_docs bigint[], p_k int) returns setof bigint
language sql stable as $$
  -- "+ 0": not by the vector index, which would search all documents; and sorted as it is
  -- read, where a CTE would be written to disk first
  select chunk_id from ccb.chunks where doc_id = any (p_docs) order by (embedding <=> p_q) + 0, chunk_id limit p_k
$$;

-- HNSW with iterative scan; the access filter is evaluated while the index is read.
create or replace function ccb.nearest_ann(p_q halfvec, p_groups bigint[], p_k int) returns setof bigint
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
  select chunk_id from c order by dist + 0;
end
$fn$;

-- Chunks with the best words.  Ranked are those with the rarest terms, so many of them as
-- it takes to find p_wanted that may be read; frequent terms count in the score of each.
create or replace function ccb.best_words(
  p_q sparsevec, p_terms int[], p_chunks bigint[], p_docs bigint[], p_groups bigint[], p_wanted int, p_k int)
returns bigint[]
language plpgsql stable
set plan_cache_mode = force_custom_plan     -- the plan depends on how rare the words are
as $fn$
declare
  budget bigint := p_wanted;
  seen   bigint;
  used   int := 0;
  upto   int;
  best   bigint[];
begin
  loop
    -- a term that would double their number is left for the next round
    select count(*) into upto from (
      select sum(chunks) over (order by i) as upto, chunks from unnest(p_chunks) with ordinality t(chunks, i)) s
     where s.upto - chunks < budget and s.upto < 2 * budget;
    upto := greatest(upto, used + 1);
    if p_docs is not null then
      with found as materialized (
        select w.chunk_id, -(w.weights <#> p_q) as score from ccb.chunk_words w
         where w.terms && p_terms[1:upto] and w.doc_id = any (p_docs)
         limit 20 * p_wanted)
      select array(select chunk_id from found order by score desc, chunk_id limit p_k), (select count(*) from found)
        into best, seen;
    else
      with found as materialized (
        select w.chunk_id, -(w.weights <#> p_q) as score from ccb.chunk_words w
         where w.terms && p_terms[1:upto]
           and exists (select 1 from ccb.documents d where d.doc_id = w.doc_id and d.group_id = any (p_groups))
         limit 20 * p_wanted)
      select array(select chunk_id from found order by score desc, chunk_id limit p_k), (select count(*) from found)
        into best, seen;
    end if;
    used := upto;
    exit when used >= cardinality(p_terms) or seen >= p_wanted / 4;
    budget := budget * 4;
  end loop;
  return best;
end
$fn$;

-- {mass, known, chunks, hits: [{source_id, title, ordinal, heading, text, language, similarity, words,
-- identifiers}]}: the chunks that p_user may read that are nearest by meaning or have the
-- best words, p_depth of each kind, in no order; at most p_limit, those that are best in
-- either kind.  For each of them the cosine, null without
-- p_embedding; the score of its words, of at most mass; and which of p_question.identifiers
-- it has.  known are the terms of the question that any chunk has, chunks how many there are.
--
-- p_question: {terms: {term: how often}, identifiers: [term], steady: [term]}
create or replace function public.ccb_search(
  p_user      text,
  p_embedding halfvec default null,
  p_question  jsonb   default null,
  p_depth     int     default 40,
  p_limit     int     default 80,
  p_providers text[]  default null,
  p_sources   text[]  default null
) returns json
language plpgsql stable                    -- PostgREST: runs in a READ ONLY transaction
set search_path from current
as $fn$
declare
  nothing  json := '{"mass": 0, "known": [], "chunks": 0, "hits": []}';
  groups   bigint[] := ccb.groups_of(p_user, p_providers);
  docs     bigint[];
  n_docs   bigint;
  n_chunks bigint;
  doc_cap  int := ccb.setting_int('exact_max_documents');
  v_ids    bigint[] := '{}';
  w_ids    bigint[] := '{}';
  terms    int[];
  worths   float8[];
  counts   bigint[];
  q        sparsevec;
  best     bigint[];
  -- identifiers that some chunk has: most of those that are tried are in none
  marks    int[];
begin
  if groups = '{}' then return nothing; end if;

  -- How much may this user see?  Read only as far as needed to decide.
  if p_sources is not null then
    select array_agg(doc_id), coalesce(sum(chunk_count), 0) into docs, n_chunks from ccb.documents d
     where d.source_id = any (p_sources) and d.group_id = any (groups);
    if docs is null then return nothing; end if;
  else
    select count(*), coalesce(sum(chunk_count), 0) into n_docs, n_chunks
      from (select chunk_count from ccb.documents where group_id = any (groups) limit doc_cap + 1) s;
    if n_docs = 0 then return nothing; end if;
    if n_docs <= doc_cap and n_chunks <= ccb.setting_int('exact_max_chunks') then
      docs := array(select doc_id from ccb.documents where group_id = any (groups));
    end if;
  end if;

  if p_embedding is not null then
    if docs is null then
      -- set_config, not a SET clause: a non-superuser may not attach hnsw.* to a
      -- function before the extension library is loaded in the session
      perform set_config('hnsw.iterative_scan', 'relaxed_order', true),
              set_config('hnsw.ef_search', least(1000, greatest(ccb.setting_int('ef_search'), p_depth))::text, true),
              set_config('hnsw.max_scan_tuples', ccb.setting_int('max_scan_tuples')::text, true);
      v_ids := array(select ccb.nearest_ann(p_embedding, groups, p_depth));
    end if;
    if docs is not null or cardinality(v_ids) < p_depth then
      -- few accessible chunks, or the index scan gave up before it found enough of them
      v_ids := array(select ccb.nearest_exact(p_embedding, coalesce(docs,
                 array(select doc_id from ccb.documents where group_id = any (groups))), p_depth));
    end if;
  end if;

  select array_agg(term), array_agg(worth), array_agg(chunks) into terms, worths, counts
    from ccb.question_terms(p_question);
  if terms is not null then
    marks := array(select i::int from jsonb_array_elements_text(p_question -> 'identifiers') i where i::int = any (terms));
    select ('{' || string_agg(t || ':' || w, ',') || '}/1000000000')::sparsevec into q
      from unnest(terms, worths) u(t, w);
    if docs is not null and n_chunks <= ccb.setting_int('exact_words') then
      w_ids := array(select chunk_id from (
                 select w.chunk_id, -(w.weights <#> q) as score from ccb.chunk_words w where w.doc_id = any (docs)) s
                where score > 0 order by score desc, chunk_id limit p_depth);
    else
      w_ids := ccb.best_words(q, terms, counts, docs, groups, greatest(ccb.setting_int('word_candidates'), p_depth), p_depth);
    end if;
  end if;

  best := array(
    select id from (
      select id, place from unnest(v_ids) with ordinality v(id, place)
      union all
      select id, place from unnest(w_ids) with ordinality w(id, place)) s
     group by id order by min(place), id limit p_limit);

  -- json, not jsonb: it holds the texts, and nobody looks into it here
  return json_build_object(
    'mass', (select coalesce(sum(w), 0) from unnest(worths) w),
    'known', coalesce(to_json(terms), '[]'),
    'chunks', coalesce((select t.chunks from ccb.terms t where t.term = 0), 0),
    'hits', (
      select coalesce(json_agg(json_build_object(
               'source_id', d.source_id, 'title', d.title, 'ordinal', c.ordinal, 'heading', c.heading,
               'text', c.content, 'language', coalesce(w.language, ''),
               'similarity', 1 - (c.embedding <=> p_embedding), 'words', coalesce(-(w.weights <#> q), 0),
               'identifiers', case when marks && w.terms then array(select m from unnest(marks) m where m = any (w.terms))
                                   else '{}' end)), '[]')
        from ccb.chunks c
        join ccb.documents d on d.doc_id = c.doc_id
        left join ccb.chunk_words w on w.chunk_id = c.chunk_id
       where c.chunk_id = any (best)
         and d.group_id = any (groups)));    -- defence in depth: never return what is not accessible
end
$fn$;

-- [{language, embedding, content}]: p_count chunks of each language, drawn at random out of
-- at most p_rows.
create or replace function public.ccb_samples(p_count int, p_rows int) returns jsonb
language plpgsql stable
set search_path from current
as $fn$
declare
  share real := (select least(100, 100.0 * p_rows / greatest(1, reltuples)) from pg_class
                  where oid = 'ccb.chunk_words'::regclass);
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'language', s.language, 'embedding', c.embedding::text, 'content', c.content)
             order by s.language, s.place), '[]')
      from (select w.chunk_id, w.language, row_number() over (partition by w.language order by random()) as place
              from ccb.chunk_words w tablesample system (share)
              join ccb.documents d on d.doc_id = w.doc_id and d.group_id is not null) s
      join ccb.chunks c on c.chunk_id = s.chunk_id
     where s.place <= p_count and c.embedding is not null);
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

-- Counts the terms anew, by a sample of at most about 50,000 chunks: how frequent they are
-- in comparison is all that counts.
create or replace function ccb.recount_terms() returns void
language plpgsql as $fn$
declare
  share real := (select least(100, 100.0 * 50000 / greatest(1, count(*))) from ccb.chunk_words);
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint)) then return; end if;
  delete from ccb.counted_terms;
  delete from ccb.terms;
  insert into ccb.terms (term, chunks)
    with drawn as materialized (select terms || 0 as terms from ccb.chunk_words tablesample system (share))
    select term, count(*) from drawn, unnest(terms) term group by term;
end
$fn$;

-- What uploads left behind, and the counts of terms, when most of what they count is gone.
-- Run daily.  Returns the number of staged documents removed.
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
  if (select chunks from ccb.terms where term = 0) > 2 * (select count(*) from ccb.chunk_words) + 1000 then
    perform ccb.recount_terms();
  end if;
  return n;
end
$fn$;
