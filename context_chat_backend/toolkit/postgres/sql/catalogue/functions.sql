-- ---------------------------------------------------------------------------
-- The catalogue of a store that keeps nothing but chunks.  Needs access/functions.sql
-- and catalogue/0001_tables.sql.
--
--   ccb_begin_upsert -> 'index' -> ccb_stage_document, per page ccb_expect_chunks and
--   then the chunks into the store, ccb_publish_document
--
-- Documents go by their keys, groups by their numbers as text.
-- ---------------------------------------------------------------------------

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
-- for its chunks, and whether an older version is stored.
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
  insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash, store_group)
    values (p_source ->> 'source_id', p_source ->> 'provider', p_source ->> 'title', p_source ->> 'type',
            (p_source ->> 'modified')::bigint, p_source ->> 'content_hash',
            ccb.group_for(p_source ->> 'provider', u))
    returning * into doc;
  return jsonb_build_object(
    'doc_id', doc.doc_id, 'document', doc.document_key, 'group', doc.store_group::text,
    'replaces', exists (select 1 from ccb.documents d
                         where d.source_id = doc.source_id and d.group_id is not null));
end
$fn$;

-- Called before they are sent: from now on the store may have so many chunks of it.
create or replace function public.ccb_expect_chunks(p_doc_id bigint, p_chunks int) returns void
language plpgsql
set search_path from current
as $fn$
begin
  update ccb.documents set chunk_count = greatest(chunk_count, p_chunks)
   where doc_id = p_doc_id and group_id is null;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
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

-- As many of these as stay within p_chunks together, at least one.
create or replace function ccb.within_budget(p_extents jsonb, p_chunks int) returns jsonb
language sql immutable as $fn$
  select jsonb_agg(extent order by place) from (
    select extent, place, sum((extent ->> 'chunks')::bigint) over (order by place) as total
      from jsonb_array_elements(p_extents) with ordinality as e(extent, place)) s
   where place = 1 or total <= p_chunks
$fn$;

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
create or replace function public.ccb_collect_garbage(p_older_than interval default '1 day') returns int
language plpgsql
set search_path from current
as $fn$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:garbage', 0::bigint)) then return 0; end if;
  return ccb.tidy(p_older_than);
end
$fn$;
