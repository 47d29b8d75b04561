-- ---------------------------------------------------------------------------
-- The catalogue of a store that keeps nothing but chunks.  Needs access/functions.sql
-- and catalogue/0001_tables.sql.
--
--   ccb_begin_upsert -> 'index' -> ccb_stage_document, per page ccb_expect_chunks and
--   then the chunks into the store, ccb_publish_document
--
-- Documents go by their keys, groups by their numbers as text.
-- ---------------------------------------------------------------------------

-- ------------------------------------------------------------------ helpers

-- As many of these as stay within p_chunks together, at least one.
create or replace function ccb.within_budget(p_extents jsonb, p_chunks int) returns jsonb
language sql immutable as $fn$
  select jsonb_agg(extent order by place) from (
    select extent, place, sum((extent ->> 'chunks')::bigint) over (order by place) as total
      from jsonb_array_elements(p_extents) with ordinality as e(extent, place)) s
   where place = 1 or total <= p_chunks
$fn$;

-- -------------------------------------------------------------------- writing

-- Whatever deletes a document leaves word for the store, in the same transaction.  The
-- chunks of one that was never published may still be on their way there: later.
create or replace function ccb.note_removals() returns trigger
language plpgsql
set search_path from current
as $fn$
begin
  insert into ccb.removals (document_key, chunk_count, due)
    select document_key, chunk_count,
           now() + case when group_id is null then interval '5 minutes' else interval '0' end
      from gone where chunk_count > 0
  on conflict do nothing;
  return null;
end
$fn$;

create or replace trigger note_removals after delete on ccb.documents
  referencing old table as gone for each statement execute function ccb.note_removals();

-- {doc_id, document, group, replaces}: the number to publish under, the key and the group
-- for its chunks, and whether an older version is stored.  p_source.title_terms: what the
-- title is found by.
create or replace function public.ccb_stage_document(p_source jsonb) returns jsonb
language plpgsql
set search_path from current
as $fn$
declare
  u   int[] := ccb.reader_numbers(ccb.text_array(p_source -> 'users'));
  doc ccb.documents;
begin
  perform ccb.lock_source(p_source ->> 'source_id', p_source ->> 'provider');
  delete from ccb.documents                         -- given up: their chunks would fill the searches of their readers
   where source_id = p_source ->> 'source_id' and group_id is null;
  insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash, store_group, words_title)
    values (p_source ->> 'source_id', p_source ->> 'provider', p_source ->> 'title', p_source ->> 'type',
            (p_source ->> 'modified')::bigint, p_source ->> 'content_hash',
            ccb.group_for(p_source ->> 'provider', u), p_source ->> 'title')
    returning * into doc;
  insert into ccb.title_words (doc_id, terms) values (doc.doc_id, ccb.int_array(p_source -> 'title_terms'));
  return jsonb_build_object(
    'doc_id', doc.doc_id, 'document', doc.document_key, 'group', doc.store_group::text,
    'replaces', exists (select 1 from ccb.documents d
                         where d.source_id = doc.source_id and d.group_id is not null));
end
$fn$;

-- Counts the terms of chunks, and keeps those of the samples that drew a high number.
--
-- p_learned: {chunks: how many, terms: [those of each chunk], samples: [{language, draw,
--             embedding: [number], sentence}]}
create or replace function ccb.learn(p_doc_id bigint, p_learned jsonb) returns void
language plpgsql as $fn$
declare
  most int := ccb.setting_int('samples');
begin
  perform ccb.count_terms(ccb.int_array(p_learned -> 'terms'), (p_learned ->> 'chunks')::int);
  -- only who could count: two writers that remove the same samples might wait for each other
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint)) then return; end if;
  insert into ccb.samples (doc_id, language, draw, embedding, sentence)
    select p_doc_id, s.language, s.draw, array(select jsonb_array_elements_text(s.embedding)::real), s.sentence
      from jsonb_to_recordset(p_learned -> 'samples') as s (language text, draw float8, embedding jsonb, sentence text)
     where s.draw > coalesce((select k.draw from ccb.samples k where k.language = s.language
                               order by k.draw desc offset most - 1 limit 1), -1);
  if not found then return; end if;
  delete from ccb.samples where sample_id in (
    select sample_id from (
      select sample_id, row_number() over (partition by language order by draw desc) as place from ccb.samples) s
     where place > most);
end
$fn$;

-- Called before they are sent: from now on the store may have so many chunks of it.
-- p_learned: of those that are sent now, see ccb.learn.
create or replace function public.ccb_expect_chunks(p_doc_id bigint, p_chunks int, p_learned jsonb) returns void
language plpgsql
set search_path from current
as $fn$
begin
  update ccb.documents set chunk_count = greatest(chunk_count, p_chunks)
   where doc_id = p_doc_id and group_id is null;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
  perform ccb.learn(p_doc_id, p_learned);
end
$fn$;

-- Publishes a staged document, see ccb.publish.
create or replace function public.ccb_publish_document(
  p_doc_id bigint, p_users text[], p_chunks int, p_ticket text default null)
returns text
language sql
set search_path from current
as $fn$
  select ccb.publish(p_doc_id, p_users, p_chunks,
                     (select chunk_count from ccb.documents where doc_id = p_doc_id), p_ticket)
$fn$;

-- ---------------------------------------------------------------------- words

-- [{doc_id, document, title, chunks, counted}]: documents whose title was changed, or that
-- an earlier version stored, whose chunks were not counted; of one source or of all, as many
-- as stay within p_chunks together, at least one.  Null when there are none.
create or replace function public.ccb_wordless_documents(p_source_id text, p_chunks int) returns jsonb
language sql stable
set search_path from current
as $fn$
  select ccb.within_budget(jsonb_agg(jsonb_build_object(
           'doc_id', doc_id, 'document', document_key, 'title', title, 'chunks', chunk_count,
           'counted', words_title is not null) order by doc_id desc), p_chunks)
    from (select * from ccb.documents
           where words_title is distinct from title and group_id is not null
             and (p_source_id is null or source_id = p_source_id)
           order by doc_id desc limit 100) d
$fn$;

-- A document is found by this title.  Its terms are counted as if it were a chunk.
-- p_learned: of its chunks, where they were not counted, see ccb.learn.
create or replace function public.ccb_put_title(
  p_doc_id bigint, p_title text, p_terms int[], p_learned jsonb default null)
returns void
language plpgsql
set search_path from current
as $fn$
begin
  update ccb.documents set words_title = p_title where doc_id = p_doc_id;
  if not found then return; end if;                 -- deleted meanwhile
  insert into ccb.title_words (doc_id, terms) values (p_doc_id, p_terms)
    on conflict (doc_id) do update set terms = excluded.terms;
  perform ccb.count_terms(p_terms, 1);
  if p_learned is not null then perform ccb.learn(p_doc_id, p_learned); end if;
end
$fn$;

-- [{language, embedding: [number], sentence}]: chunks drawn at random.
create or replace function public.ccb_samples() returns jsonb
language sql stable
set search_path from current
as $fn$
  select coalesce(jsonb_agg(jsonb_build_object(
           'language', s.language, 'embedding', s.embedding, 'sentence', s.sentence) order by s.language, s.draw), '[]')
    from ccb.samples s join ccb.documents d on d.doc_id = s.doc_id and d.group_id is not null
$fn$;

-- -------------------------------------------------------------------- reading

-- {groups, documents}: what a search of this user may return is in one of these groups,
-- or of one of these documents.  The latter are those of a source scope, else those
-- whose chunks, as searches see them, do not carry their group yet.
create or replace function public.ccb_reach(
  p_user text, p_providers text[] default null, p_sources text[] default null, p_documents int default 1000)
returns jsonb
language plpgsql stable
set search_path from current
as $fn$
declare
  groups    bigint[] := ccb.groups_of(p_user, p_providers);
  documents text[];
begin
  if p_sources is not null then
    documents := array(select document_key from ccb.documents
                        where source_id = any (p_sources) and group_id = any (groups));
    groups := '{}';
  else
    documents := array(
      (select document_key from ccb.documents
        where group_id <> store_group and group_id = any (groups) limit p_documents)
      union
      (select document_key from ccb.documents
        where visible_at > now() and group_id = any (groups) limit p_documents)
      limit p_documents);
  end if;
  return jsonb_build_object('groups', to_jsonb(groups::text[]), 'documents', to_jsonb(documents));
end
$fn$;

-- The documents in these groups whose titles say most about a question: those with one of
-- its identifiers, or a third of the worth of its terms.
create or replace function ccb.titled(
  p_terms int[], p_worths float8[], p_identifiers int[], p_groups bigint[], p_sources text[], p_documents int)
returns text[]
language plpgsql stable
set plan_cache_mode = force_custom_plan     -- the plan depends on how rare the terms are
as $fn$
declare
  least_worth float8 := (select sum(w) / 3 from unnest(p_worths) w);
  -- whoever has a third of the worth has one of these: the others together are worth less
  telling     int[] := array(
    select t from (select t, sum(w) over (order by w, t) as upto from unnest(p_terms, p_worths) u(t, w)) s
     where upto >= least_worth);
begin
  return array(
    select document_key from (
      select d.document_key, d.doc_id,
             (select count(*) from unnest(p_identifiers) i where i = any (w.terms)) as identifiers,
             (select sum(worth) from unnest(p_terms, p_worths) u(term, worth) where term = any (w.terms)) as worth
        from (select w.doc_id, w.terms from ccb.title_words w
               where w.terms && (telling || p_identifiers)
                 and exists (select 1 from ccb.documents r
                              where r.doc_id = w.doc_id and r.group_id = any (p_groups)
                                and (p_sources is null or r.source_id = any (p_sources)))
               limit 2000) w
        join ccb.documents d on d.doc_id = w.doc_id) s
     where identifiers > 0 or worth >= least_worth
     order by identifiers desc, worth desc nulls last, doc_id desc limit p_documents);
end
$fn$;

-- {worths: {term: worth}, chunks, titled: [document]}: what the terms of a question are worth that
-- some chunk has, how many chunks there are, and the documents whose titles say most about it.
--
-- p_question: {terms: {term: how often}, identifiers: [term], steady: [term]}
create or replace function public.ccb_sought(
  p_user text, p_question jsonb, p_providers text[] default null, p_sources text[] default null,
  p_documents int default 5)
returns jsonb
language plpgsql stable
set search_path from current
as $fn$
declare
  terms  int[];
  worths float8[];
begin
  select array_agg(term), array_agg(worth) into terms, worths from ccb.question_terms(p_question);
  if terms is null then return '{"worths": {}, "chunks": 0, "titled": []}'; end if;
  return jsonb_build_object(
    'worths', (select jsonb_object_agg(term, worth) from unnest(terms, worths) u(term, worth)),
    'chunks', coalesce((select t.chunks from ccb.terms t where t.term = 0), 0),
    'titled', to_jsonb(ccb.titled(terms, worths, ccb.int_array(p_question -> 'identifiers'),
                                  ccb.groups_of(p_user, p_providers), p_sources, p_documents)));
end
$fn$;

-- {document: {source_id, title, chunks}} for those of these documents that the user may
-- read now and that are in the scope.
create or replace function public.ccb_readable(
  p_user text, p_keys text[], p_providers text[] default null, p_sources text[] default null)
returns jsonb
language sql stable
set search_path from current
as $fn$
  select coalesce(jsonb_object_agg(document_key, jsonb_build_object(
           'source_id', source_id, 'title', title, 'chunks', chunk_count)), '{}')
    from ccb.documents
   where document_key = any (p_keys)
     and group_id = any ((select ccb.groups_of(p_user, p_providers))::bigint[])  -- once, and not per document
     and (p_sources is null or source_id = any (p_sources))
$fn$;

-- --------------------------------------------------------------------- outbox

-- {group, documents: [{doc_id, document, chunks}], more}: documents of one group, whose
-- chunks carry another, that come after the given one, and whether there are more of
-- them; null when there are none.  The store is
-- told next, and whether it did as told is unknown until that is confirmed.  Should the
-- readers be changed back meanwhile, the store has to hear of that, too.
create or replace function public.ccb_stale_documents(
  p_after_group bigint, p_after_doc bigint, p_documents int, p_chunks int)
returns jsonb
language plpgsql
set search_path from current
as $fn$
declare
  g       bigint;
  stale   jsonb;
  extents jsonb;
begin
  select group_id,
         jsonb_agg(jsonb_build_object('doc_id', doc_id, 'document', document_key, 'chunks', chunk_count) order by doc_id)
    into g, stale
    from (select * from ccb.documents
           where group_id <> store_group and (group_id, doc_id) > (p_after_group, p_after_doc)
           order by group_id, doc_id limit p_documents) s
   group by group_id order by group_id limit 1;
  if not found then return null; end if;
  extents := ccb.within_budget(stale, p_chunks);
  update ccb.documents set store_group = 0
   where doc_id in (select (extent ->> 'doc_id')::bigint from jsonb_array_elements(extents) extent)
     and store_group <> 0;
  return jsonb_build_object('group', g::text, 'documents', extents, 'more',
    jsonb_array_length(stale) = p_documents or jsonb_array_length(extents) < jsonb_array_length(stale));
end
$fn$;

-- The chunks of these documents carry this group now; searches see that after p_settle seconds.
create or replace function public.ccb_confirm_group(p_keys text[], p_group text, p_settle float8) returns void
language sql
set search_path from current
as $fn$
  update ccb.documents set visible_at = null where visible_at <= now();
  update ccb.documents
     set store_group = p_group::bigint,
         visible_at = case when p_settle > 0 then now() + make_interval(secs => p_settle) end
   where document_key = any (p_keys);
$fn$;

-- [{document, chunks}] that come after the given key and are due; null when there are none.
create or replace function public.ccb_due_removals(p_after text, p_documents int, p_chunks int) returns jsonb
language sql stable
set search_path from current
as $fn$
  select ccb.within_budget(jsonb_agg(jsonb_build_object('document', document_key, 'chunks', chunk_count)
                                     order by document_key), p_chunks)
    from (select * from ccb.removals where document_key > p_after and due <= now()
           order by document_key limit p_documents) s
$fn$;

create or replace function public.ccb_confirm_removals(p_keys text[]) returns void
language sql
set search_path from current
as $$ delete from ccb.removals where document_key = any (p_keys) $$;

-- {stale, removals, chunks, marked}: documents whose chunks carry another group, documents
-- to be removed from the store, chunks that it should hold besides those, and whether it was
-- given its marker.
create or replace function public.ccb_outbox() returns jsonb
language sql stable
set search_path from current
as $fn$
  select jsonb_build_object(
    'stale',    (select count(*) from ccb.documents where group_id <> store_group),
    'removals', (select count(*) from ccb.removals),
    'chunks',   (select coalesce(sum(chunk_count), 0) from ccb.documents where group_id is not null),
    'marked',   exists (select 1 from ccb.settings where key = 'store_marked'))
$fn$;

-- The store has its marker, which is gone when the store is emptied.
create or replace function public.ccb_confirm_marker() returns void
language sql
set search_path from current
as $$ insert into ccb.settings values ('store_marked', 'yes') on conflict do nothing $$;

-- ------------------------------------------------------------------ operation

-- The status, if this catalogue may describe what is stored at p_address, in vectors of
-- this model.  The first caller that binds decides on all of it.
create or replace function public.ccb_open_catalogue(
  p_address text, p_dimension int, p_model text, p_bind boolean)
returns jsonb
language plpgsql
set search_path from current
as $fn$
begin
  perform ccb.require_setting('store_address', p_address,
    'the catalogue belongs to the store %s, not to %s',
    'Go back to the former store, or use an empty catalogue and index everything again.', p_bind);
  perform ccb.require_model(p_dimension, p_model, p_bind);
  return public.ccb_status();
end
$fn$;

-- What uploads left behind.  Run daily.  Returns the number of staged documents removed.
-- The counts of terms are halved when most of what they count is gone, so that what comes
-- from now on weighs more.
create or replace function public.ccb_collect_garbage(p_older_than interval default '1 day') returns int
language plpgsql
set search_path from current
as $fn$
declare
  n int;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:garbage', 0::bigint)) then return 0; end if;
  n := ccb.tidy(p_older_than);
  if (select chunks from ccb.terms where term = 0)
       > 2 * (select coalesce(sum(chunk_count + 1), 0) from ccb.documents) + 1000
     and pg_try_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint)) then
    update ccb.terms set chunks = chunks / 2;
    delete from ccb.terms where chunks = 0;
  end if;
  return n;
end
$fn$;
