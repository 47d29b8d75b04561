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
     set heading = excluded.heading, content = excluded.content, text_key = excluded.text_key;
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
--
-- ccb.vectors has those of the model that is searched with.  While another one takes its place,
-- ccb.next_vectors is there and is filled, until it becomes ccb.vectors.
--
-- Locks are taken in this order: ccb.chunks, ccb.vectors, ccb.next_vectors.

-- A chunk has a row in each table of vectors as long as its text is the same.
create or replace function ccb.follow_chunks() returns trigger
language plpgsql as $fn$
begin
  -- "any (array …)": the plan of a trigger is kept, and must be good for few and for many
  if tg_op <> 'INSERT' then
    delete from ccb.vectors where chunk_id = any (array(select chunk_id from former));
  end if;
  if tg_op <> 'DELETE' then
    insert into ccb.vectors (chunk_id, doc_id) select chunk_id, doc_id from latter;
  end if;
  if to_regclass('ccb.next_vectors') is null then return null; end if;
  if tg_op <> 'INSERT' then
    delete from ccb.next_vectors where chunk_id = any (array(select chunk_id from former));
  end if;
  if tg_op <> 'DELETE' then
    insert into ccb.next_vectors (chunk_id, doc_id) select chunk_id, doc_id from latter;
  end if;
  return null;
end
$fn$;

create or replace trigger chunks_inserted after insert on ccb.chunks
  referencing new table as latter for each statement execute function ccb.follow_chunks();
create or replace trigger chunks_updated after update on ccb.chunks
  referencing old table as former new table as latter for each statement execute function ccb.follow_chunks();
create or replace trigger chunks_deleted after delete on ccb.chunks
  referencing old table as former for each statement execute function ccb.follow_chunks();

-- The table with the vectors of a model; null if it is neither searched with nor about to be.
-- It stays that until the end of the transaction.
create or replace function ccb.vectors_of(p_model text) returns regclass
language plpgsql as $fn$
begin
  lock table ccb.vectors in access share mode;
  return (select case key when 'embedding_model' then 'ccb.vectors' else 'ccb.next_vectors' end::regclass
            from ccb.settings where key in ('embedding_model', 'next_model') and value = p_model);
end
$fn$;

-- {chunks: [{chunk_id, title, heading, content}], copied, waiting}: the newest chunks without a
-- vector of this model, of how many others of them the vector was copied from one with the same
-- text, and how many chunks had none before.  For p_lease nobody else is given these.
create or replace function public.ccb_claim_chunks(p_model text, p_limit int, p_lease interval) returns json
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  place   regclass := ccb.vectors_of(p_model);
  claimed json;
begin
  if place is null or ccb.is_paused(place) then return '{"chunks": [], "copied": 0, "waiting": 0}'; end if;
  perform ccb.prepare_next(p_limit) where place = to_regclass('ccb.next_vectors');
  execute replace($sql$
    with due as (
      select chunk_id from {vectors}
       where embedding is null and (claimed_at is null or claimed_at < now() - $2)
       order by chunk_id desc limit $1
         for no key update skip locked),
    known as materialized (
      select c.chunk_id, (select v.embedding from ccb.chunks t join {vectors} v on v.chunk_id = t.chunk_id
                           where t.text_key = c.text_key and v.embedding is not null limit 1) as embedding
        from due join ccb.chunks c using (chunk_id)),
    copied as (
      update {vectors} v set embedding = k.embedding, claimed_at = null
        from known k where v.chunk_id = k.chunk_id and k.embedding is not null
      returning v.chunk_id),
    claimed as (
      update {vectors} v set claimed_at = now()
        from known k where v.chunk_id = k.chunk_id and k.embedding is null
      returning v.chunk_id)
    select json_build_object(
      'chunks', (select coalesce(json_agg(json_build_object(
                         'chunk_id', c.chunk_id, 'title', d.title, 'heading', c.heading, 'content', c.content)), '[]')
                   from claimed join ccb.chunks c using (chunk_id) join ccb.documents d on d.doc_id = c.doc_id),
      'copied', (select count(*) from copied),
      'waiting', ccb.missing_vectors($3))
  $sql$, '{vectors}', place::text) into claimed using p_limit, p_lease, place;
  return claimed;
end
$fn$;

-- p_vectors: [{chunk_id, embedding}], embedding as an array or as its text.  What is gone, is about
-- to go, or has one already, stays as it is: it never waits for whoever deletes, nor they for it.
-- So do all, if the model is not one of the store any more.
create or replace function public.ccb_put_vectors(p_model text, p_vectors jsonb) returns void
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  place regclass := ccb.vectors_of(p_model);
begin
  if place is null then return; end if;
  execute replace($sql$
    with made as materialized (
      select chunk_id, embedding from jsonb_to_recordset($1) as v (chunk_id bigint, embedding halfvec)),
    due as (
      select chunk_id from {vectors}
       where chunk_id in (select chunk_id from made) and embedding is null
       order by chunk_id
         for no key update skip locked)
    update {vectors} v set embedding = m.embedding, claimed_at = null
      from due join made m using (chunk_id)
     where v.chunk_id = due.chunk_id
  $sql$, '{vectors}', place::text) using p_vectors;
end
$fn$;

-- p_chunks: [{chunk_id}], of a gateway that stops; without it all, for one that has the store to
-- itself: whoever claimed chunks before is gone.
create or replace function public.ccb_release_chunks(p_model text, p_chunks jsonb default null) returns void
language plpgsql
set search_path from current
as $fn$
declare
  place regclass := ccb.vectors_of(p_model);
begin
  if place is null then return; end if;
  execute replace($sql$
    update {vectors} set claimed_at = null
     where embedding is null and claimed_at is not null
       and ($1 is null or chunk_id in (select (c ->> 'chunk_id')::bigint from jsonb_array_elements($1) c))
  $sql$, '{vectors}', place::text) using p_chunks;
end
$fn$;

-- How many chunks have no vector of this model yet; 0 for a model that is none of the store.
create or replace function public.ccb_waiting_chunks(p_model text) returns bigint
language plpgsql
set search_path from current
as $fn$
begin
  return coalesce(ccb.missing_vectors(ccb.vectors_of(p_model)), 0);
end
$fn$;

create or replace function ccb.missing_vectors(p_vectors regclass) returns bigint
language plpgsql stable strict as $fn$
declare
  missing bigint;
begin
  execute format('select count(*) from %s where embedding is null', p_vectors) into missing;
  if p_vectors = to_regclass('ccb.next_vectors') then
    missing := missing + (select count(*) from ccb.chunks where chunk_id < ccb.setting_bigint('next_below'));
  end if;
  return missing;
end
$fn$;

-- -------------------------------------------------------------- another model

create or replace function ccb.setting_bigint(p_key text) returns bigint
language sql stable as $$ select value::bigint from ccb.settings where key = p_key $$;

create or replace function ccb.is_paused(p_vectors regclass) returns boolean
language sql stable as $$
  select p_vectors = to_regclass('ccb.next_vectors') and exists (select 1 from ccb.settings where key = 'next_paused')
$$;

-- Gives the next chunks a row in ccb.next_vectors, the newest first, if fewer than p_limit wait there.
create or replace function ccb.prepare_next(p_limit int) returns void
language plpgsql as $fn$
declare
  below bigint;
  until bigint;
begin
  if (select count(*) from (select from ccb.next_vectors where embedding is null limit p_limit) s) >= p_limit then
    return;
  end if;
  select value::bigint into below from ccb.settings where key = 'next_below' for update;
  with page as materialized (
    -- locked, so that none goes before its row is to be seen by whoever deletes it
    select chunk_id, doc_id from ccb.chunks where chunk_id < below order by chunk_id desc limit 10000 for key share),
  done as (insert into ccb.next_vectors (chunk_id, doc_id) select chunk_id, doc_id from page)
  select coalesce(min(chunk_id), 0) into until from page;
  update ccb.settings set value = until::text where key = 'next_below';
end
$fn$;

-- {model, dimension, chunks, next: null or {model, dimension, paused, waiting}}.  An action:
--   start   the model of these arguments shall take the place of the present one
--   pause, resume
--   undo    the present one stays
-- Each is fine where it is done already.
create or replace function public.ccb_reembed(
  p_action text default null, p_model text default null, p_dimension int default null) returns jsonb
language plpgsql
security definer                                    -- it makes and drops a table
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  present text;
  next    text;
begin
  if p_action is not null then
    -- Chunks that are being stored were to follow the tables that there are: they come first.
    lock table ccb.chunks in share mode;
    select value into present from ccb.settings where key = 'embedding_model';
    select value into next from ccb.settings where key = 'next_model';
    case p_action
      when 'start' then
        if present is null or present = p_model then
          raise exception using errcode = 'feature_not_supported',
            message = format('the vectors are of the model "%s" already', p_model);
        elsif next is null then
          perform ccb.make_next_vectors(p_model, p_dimension);
        elsif next <> p_model then
          raise exception using errcode = 'feature_not_supported',
            message = format('vectors of the model "%s" are being made', next), hint = 'Undo that first.';
        end if;
        delete from ccb.settings where key = 'next_paused';
      when 'pause' then
        insert into ccb.settings select 'next_paused', '' where next is not null on conflict (key) do nothing;
      when 'resume' then
        delete from ccb.settings where key = 'next_paused';
      when 'undo' then
        lock table ccb.vectors in access exclusive mode;        -- see ccb.vectors_of
        drop table if exists ccb.next_vectors;
        delete from ccb.settings where key in ('next_model', 'next_dim', 'next_below', 'next_paused');
    end case;
  end if;
  return (
    select jsonb_build_object(
      'model', s ->> 'embedding_model', 'dimension', (s ->> 'embedding_dim')::int,
      'chunks', (select count(*) from ccb.chunks),
      'next', case when s ? 'next_model' then jsonb_build_object(
         'model', s ->> 'next_model', 'dimension', (s ->> 'next_dim')::int, 'paused', s ? 'next_paused',
         'waiting', ccb.missing_vectors(to_regclass('ccb.next_vectors'))) end)
      from (select jsonb_object_agg(key, value) as s from ccb.settings) settings);
end
$fn$;

create or replace function ccb.make_next_vectors(p_model text, p_dimension int) returns void
language plpgsql as $fn$
begin
  execute format('
    create table ccb.next_vectors (
      chunk_id bigint not null, doc_id bigint not null, embedding halfvec(%s), claimed_at timestamptz,
      constraint next_vectors_pkey primary key (chunk_id))', p_dimension);
  alter table ccb.next_vectors alter column embedding set storage plain;      -- see 0001_tables.sql
  create index next_vectors_embedding_hnsw on ccb.next_vectors
    using hnsw (embedding halfvec_cosine_ops) with (m = 16, ef_construction = 64);
  create index next_vectors_doc_idx on ccb.next_vectors (doc_id);
  create index next_vectors_missing_idx on ccb.next_vectors (chunk_id) where embedding is null;
  if exists (select 1 from pg_roles where rolname = 'service_role') then
    grant all on table ccb.next_vectors to service_role;
  end if;
  insert into ccb.settings values
    ('next_model', p_model), ('next_dim', p_dimension::text),
    ('next_below', (select coalesce(max(chunk_id), 0) + 1 from ccb.chunks)::text);
end
$fn$;

create or replace function ccb.may_switch(p_model text) returns boolean
language sql as $$
  select exists (select 1 from ccb.settings where key = 'next_model' and value = p_model)
     and not exists (select 1 from ccb.settings where key = 'next_paused')
     and ccb.missing_vectors(to_regclass('ccb.next_vectors')) = 0
$$;

-- Whether searches are by this model now: they come to be, once no chunk lacks a vector of it.
create or replace function public.ccb_switch_model(p_model text) returns boolean
language plpgsql
security definer
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  made name;
begin
  if not ccb.may_switch(p_model) then
    return exists (select 1 from ccb.settings where key = 'embedding_model' and value = p_model);
  end if;
  lock table ccb.chunks in share mode;              -- no chunk comes now
  lock table ccb.vectors in access exclusive mode;  -- nobody searches
  if not ccb.may_switch(p_model) then return false; end if;
  drop table ccb.vectors;
  alter table ccb.next_vectors rename to vectors;
  for made in select indexrelid::regclass::text from pg_index where indrelid = 'ccb.vectors'::regclass loop
    execute format('alter index ccb.%I rename to %I', made, replace(made, 'next_', ''));
  end loop;
  update ccb.settings s set value = n.value from ccb.settings n
   where (s.key, n.key) in (('embedding_model', 'next_model'), ('embedding_dim', 'next_dim'));
  update ccb.settings set value = '{}' where key = 'calibration';       -- it was that of the former model
  delete from ccb.settings where key in ('next_model', 'next_dim', 'next_below', 'next_paused');
  return true;
end
$fn$;

-- -------------------------------------------------------------------- reading

-- Exact top-k over a given list of documents; what has no vector yet comes last.
create or replace function ccb.nearest_exact(p_q halfvec, p_docs bigint[], p_k int) returns setof bigint
language plpgsql stable as $fn$
begin
  -- "return query", not SQL: only so may it be done by several processes.  "+ 0": not by the
  -- vector index, which would search all documents; and sorted as it is read, where a CTE would
  -- be written to disk first
  return query
    select chunk_id from ccb.vectors where doc_id = any (p_docs) order by (embedding <=> p_q) + 0, chunk_id limit p_k;
end
$fn$;

-- So many accessible chunks are compared faster than the index finds the nearest of them: it looks at
-- ef_search vectors, and at more where few of them are accessible.
create or replace function ccb.most_exact() returns bigint
language sql stable as $$
  select greatest(exact_chunks::float8, sqrt(ef_search::float8 * index_cost::float8 * stored))::bigint
    from (select max(value) filter (where key = 'exact_chunks') as exact_chunks,
                 max(value) filter (where key = 'ef_search')    as ef_search,
                 max(value) filter (where key = 'index_cost')   as index_cost
            from ccb.settings) s,
         (select greatest(0, reltuples)::float8 as stored from pg_class where oid = to_regclass('ccb.vectors')) v
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
    select v.chunk_id, v.embedding <=> p_q as dist
      from ccb.vectors v
     where exists (select 1 from ccb.documents d
                    where d.doc_id = v.doc_id and d.group_id = any (p_groups))
     order by v.embedding <=> p_q limit p_k)
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

-- {mass, known, chunks, hits: [{doc_id, source_id, title, ordinal, heading, text, language, similarity, words,
-- identifiers}]}: the chunks that p_user may read that are nearest by meaning or have the
-- best words, p_depth of each kind, in no order; at most p_limit, those that are best in
-- either kind.  For each of them the cosine, null without
-- p_embedding; the score of its words, of at most mass; and which of p_question.identifiers
-- it has.  known are the terms of the question that any chunk has, chunks how many there are.
-- With {model} in addition, and nothing found, where p_model, which made p_embedding, is not the one that is searched with.
--
-- p_question: {terms: {term: how often}, identifiers: [term], steady: [term]}
create or replace function public.ccb_search(
  p_user      text,
  p_embedding halfvec default null,
  p_model     text    default null,
  p_question  jsonb   default null,
  p_depth     int     default 40,
  p_limit     int     default 80,
  p_providers text[]  default null,
  p_sources   text[]  default null
) returns json
language plpgsql                           -- not stable: it has to see whose vectors ccb.vectors_of found
set search_path from current
as $fn$
declare
  nothing  json := '{"mass": 0, "known": [], "chunks": 0, "hits": []}';
  groups   bigint[] := ccb.groups_of(p_user, p_providers);
  docs     bigint[];
  n_chunks bigint;
  most     bigint;
  upto     bigint;
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
  if p_embedding is not null and ccb.vectors_of(p_model) is distinct from to_regclass('ccb.vectors') then
    return nothing::jsonb || (select jsonb_build_object('model', value) from ccb.settings where key = 'embedding_model');
  end if;

  -- How much may this user see?  Read only as far as needed to decide: most have few documents,
  -- or documents of many chunks.
  if p_sources is not null then
    select array_agg(doc_id), coalesce(sum(chunk_count), 0) into docs, n_chunks from ccb.documents d
     where d.source_id = any (p_sources) and d.group_id = any (groups);
    if docs is null then return nothing; end if;
  else
    most := ccb.most_exact();
    foreach upto in array array[1000, most + 1] loop
      select array_agg(doc_id), coalesce(sum(chunk_count), 0) into docs, n_chunks
        from (select doc_id, chunk_count from ccb.documents where group_id = any (groups) limit upto) s;
      exit when n_chunks > most or cardinality(docs) < upto;
    end loop;
    if docs is null then return nothing; end if;
    if n_chunks > most then docs := null; end if;
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
               'doc_id', d.doc_id, 'source_id', d.source_id, 'title', d.title, 'ordinal', c.ordinal, 'heading', c.heading,
               'text', c.content, 'language', coalesce(w.language, ''),
               'similarity', 1 - (v.embedding <=> p_embedding), 'words', coalesce(-(w.weights <#> q), 0),
               'identifiers', case when marks && w.terms then array(select m from unnest(marks) m where m = any (w.terms))
                                   else '{}' end)), '[]')
        from ccb.chunks c
        join ccb.documents d on d.doc_id = c.doc_id
        left join ccb.vectors v on v.chunk_id = c.chunk_id
        left join ccb.chunk_words w on w.chunk_id = c.chunk_id
       where c.chunk_id = any (best)
         and d.group_id = any (groups)));    -- defence in depth: never return what is not accessible
end
$fn$;

-- Which of these versions of documents are stored and may be read, for hits of a database that
-- is behind.
create or replace function public.ccb_readable(p_user text, p_documents text[]) returns jsonb
language sql stable
set search_path from current
as $fn$
  select coalesce(jsonb_agg(doc_id), '[]') from ccb.documents
   where doc_id = any (p_documents::bigint[]) and group_id = any (ccb.groups_of(p_user, null))
$fn$;

-- [{language, embedding, content}]: p_count chunks of each language, drawn at random out of
-- at most p_rows; none if the store is not searched with the model.
create or replace function public.ccb_samples(p_model text, p_count int, p_rows int) returns jsonb
language plpgsql
set search_path from current
as $fn$
declare
  share real := (select least(100, 100.0 * p_rows / greatest(1, reltuples)) from pg_class
                  where oid = 'ccb.chunk_words'::regclass);
begin
  if ccb.vectors_of(p_model) is distinct from to_regclass('ccb.vectors') then return '[]'; end if;
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'language', s.language, 'embedding', v.embedding::text, 'content', c.content)
             order by s.language, s.place), '[]')
      from (select w.chunk_id, w.language, row_number() over (partition by w.language order by random()) as place
              from ccb.chunk_words w tablesample system (share)
              join ccb.documents d on d.doc_id = w.doc_id and d.group_id is not null) s
      join ccb.chunks c on c.chunk_id = s.chunk_id
      join ccb.vectors v on v.chunk_id = s.chunk_id
     where s.place <= p_count and v.embedding is not null);
end
$fn$;

-- ------------------------------------------------------------------ operation

-- The status.  The first caller decides on the model.
create or replace function public.ccb_open_store(p_dimension int, p_model text) returns jsonb
language plpgsql
set search_path from current
as $fn$
declare
  kept text := (select value from ccb.settings where key = 'embedding_model');
begin
  if coalesce(kept, p_model) = p_model then
    perform ccb.require_model(p_dimension, p_model);
  end if;
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

-- Takes the time of both ways to look at vectors, the best of three times each, for ccb.most_exact.
create or replace function ccb.measure_costs(p_compared int default 5000) returns void
language plpgsql as $fn$
declare
  walked   constant int := 200;
  asked    halfvec;
  began    timestamptz;
  by_comparing float8;
  by_walking   float8;
begin
  if (select reltuples from pg_class where oid = to_regclass('ccb.vectors')) < 4 * p_compared then return; end if;
  perform set_config('hnsw.ef_search', walked::text, true);
  for turn in 0..3 loop                             -- the first time may be that of the disk
    select embedding into asked from ccb.vectors where embedding is not null
     order by chunk_id desc offset 50 * turn limit 1;
    began := clock_timestamp();
    perform count(*) from (select embedding from ccb.vectors limit p_compared) v where v.embedding <=> asked > 1;
    by_comparing := least(by_comparing, extract(epoch from clock_timestamp() - began));
    began := clock_timestamp();
    perform count(*) from (select from ccb.vectors order by embedding <=> asked limit walked) v;
    by_walking := least(by_walking, extract(epoch from clock_timestamp() - began));
  end loop;
  update ccb.settings
     set value = round(greatest(2, least(100, (by_walking / walked) / (by_comparing / p_compared))))::text
   where key = 'index_cost';
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
  perform ccb.measure_costs();
  if (select chunks from ccb.terms where term = 0) > 2 * (select count(*) from ccb.chunk_words) + 1000 then
    perform ccb.recount_terms();
  end if;
  return n;
end
$fn$;
