


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
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    document_key text DEFAULT replace((gen_random_uuid())::text, '-'::text, ''::text) NOT NULL,
    store_group bigint,
    visible_at timestamp with time zone
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



CREATE FUNCTION ccb.note_removals() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
begin
  insert into ccb.removals (document_key, chunk_count, due)
    select document_key, chunk_count,
           now() + case when group_id is null then interval '5 minutes' else interval '0' end
      from gone where chunk_count > 0
  on conflict do nothing;
  return null;
end
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



CREATE FUNCTION ccb.text_array(p_list jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    AS $$ select array(select jsonb_array_elements_text(p_list)) $$;



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



CREATE FUNCTION ccb.within_budget(p_extents jsonb, p_chunks integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
  select jsonb_agg(extent order by place) from (
    select extent, place, sum((extent ->> 'chunks')::bigint) over (order by place) as total
      from jsonb_array_elements(p_extents) with ordinality as e(extent, place)) s
   where place = 1 or total <= p_chunks
$$;



CREATE FUNCTION public.ccb_begin_upsert(p_source jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:garbage', 0::bigint)) then return 0; end if;
  return ccb.tidy(p_older_than);
end
$$;



CREATE FUNCTION public.ccb_confirm_group(p_keys text[], p_group text, p_settle double precision) RETURNS void
    LANGUAGE sql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  update ccb.documents set visible_at = null where visible_at <= now();
  update ccb.documents
     set store_group = p_group::bigint,
         visible_at = case when p_settle > 0 then now() + make_interval(secs => p_settle) end
   where document_key = any (p_keys);
$$;



CREATE FUNCTION public.ccb_confirm_removals(p_keys text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$ delete from ccb.removals where document_key = any (p_keys) $$;



CREATE FUNCTION public.ccb_count_documents() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select coalesce(jsonb_object_agg(provider, n), '{}')
    from (select provider, count(*) as n from ccb.documents where group_id is not null group by 1) s
$$;



CREATE FUNCTION public.ccb_delete_older(p_source_id text, p_modified bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
    AS $$ delete from ccb.documents where doc_id = p_doc_id and group_id is null $$;



CREATE FUNCTION public.ccb_due_removals(p_after text, p_documents integer, p_chunks integer) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select ccb.within_budget(jsonb_agg(jsonb_build_object('document', document_key, 'chunks', chunk_count)
                                     order by document_key), p_chunks)
    from (select * from ccb.removals where document_key > p_after and due <= now()
           order by document_key limit p_documents) s
$$;



CREATE FUNCTION public.ccb_expect_chunks(p_doc_id bigint, p_chunks integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
begin
  update ccb.documents set chunk_count = greatest(chunk_count, p_chunks)
   where doc_id = p_doc_id and group_id is null;
  if not found then
    raise exception 'document % is not staged', p_doc_id using errcode = 'no_data_found';
  end if;
end
$$;



CREATE FUNCTION public.ccb_open_catalogue(p_address text, p_dimension integer, p_model text, p_bind boolean) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
begin
  perform ccb.require_setting('store_address', p_address,
    'the catalogue belongs to the store %s, not to %s',
    'Go back to the former store, or use an empty catalogue and index everything again.', p_bind);
  perform ccb.require_model(p_dimension, p_model, p_bind);
  return public.ccb_status();
end
$$;



CREATE FUNCTION public.ccb_outbox() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select jsonb_build_object(
    'stale',    (select count(*) from ccb.documents where group_id <> store_group),
    'removals', (select count(*) from ccb.removals),
    'chunks',   (select coalesce(sum(chunk_count), 0) from ccb.documents where group_id is not null))
$$;



CREATE FUNCTION public.ccb_publish_document(p_doc_id bigint, p_users text[], p_chunks integer, p_ticket text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select ccb.publish(p_doc_id, p_users, p_chunks,
                     (select chunk_count from ccb.documents where doc_id = p_doc_id), p_ticket)
$$;



CREATE FUNCTION public.ccb_reach(p_user text, p_providers text[] DEFAULT NULL::text[], p_sources text[] DEFAULT NULL::text[], p_documents integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
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
$$;



CREATE FUNCTION public.ccb_readable(p_user text, p_keys text[], p_providers text[] DEFAULT NULL::text[], p_sources text[] DEFAULT NULL::text[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select coalesce(jsonb_object_agg(document_key, jsonb_build_object(
           'source_id', source_id, 'title', title, 'chunks', chunk_count)), '{}')
    from ccb.documents
   where document_key = any (p_keys)
     and group_id = any ((select ccb.groups_of(p_user, p_providers))::bigint[])  -- once, and not per document
     and (p_sources is null or source_id = any (p_sources))
$$;



CREATE FUNCTION public.ccb_stage_document(p_source jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
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
$$;



CREATE FUNCTION public.ccb_stale_documents(p_after_group bigint, p_after_doc bigint, p_documents integer, p_chunks integer) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
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
$$;



CREATE FUNCTION public.ccb_status() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'ccb', 'pg_temp'
    AS $$
  select jsonb_object_agg(key, value) || jsonb_build_object(
    'pgvector', (select extversion from pg_extension where extname = 'vector'),
    'postgres', current_setting('server_version_num')::int)
    from ccb.settings
   where key in ('store_id', 'schema_version', 'functions', 'embedding_dim', 'embedding_model')
$$;



CREATE FUNCTION public.ccb_update_access(p_op text, p_users text[], p_source_id text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'ccb', 'pg_temp'
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
    SET search_path TO 'ccb', 'pg_temp'
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



CREATE TABLE ccb.removals (
    document_key text NOT NULL,
    chunk_count integer NOT NULL,
    due timestamp with time zone NOT NULL
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
3	files__default	\\x39ce8fd81053a2319b2cccd6e97cb4f684c0575efbc095ba1e8a7ba931ad2fd3	{1,6}
4	files__default	\\xef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d	{5}
8	deck__deck	\\x7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451	{7}
10	notes__notes	\\xe3d64bd359500f03e5e851eeb72a301aef654583d781b295840f6092db9d2792	{2,7}
11	files__default	\\x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b	{1}
12	files__default	\\x487d99af4bf5840cc57e43fc0a0547e8518091c634a2502c0fd9fec3cbe3d5d7	{1,2,7,8}
13	notes__notes	\\x091502b7a77ec8716c39ff97d557417dcbd5c2039686380dbcd2c339348361e3	{1,8}
6	mail__mail	\\xc662a4cb55e62780372b4819e300a25690c9016ff025a68f0aeb95fedaa30ccd	{1,2,5}
7	deck__deck	\\x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b	{1}
15	mail__mail	\\xf5e1d39f468d18db37e43ca66dc3681d24c2f5a98dbefb0ed87d6d19e747d5ce	{2,5,9}
\.



COPY ccb.documents (doc_id, source_id, provider, group_id, title, doc_type, modified, content_hash, chunk_count, created_at, document_key, store_group, visible_at) FROM stdin;
3	files__default: 3	files__default	1	files/tulips.md	text/markdown	1750000000	1:text/markdown:c33d7f117cbdbdcef7bf83bb7c14752c82a43d8e341a362d05ce5587745b3bf4	1	2026-11-28 13:18:54.977964+00	be5ca13d56324042a020df8164cde3c5	1	\N
5	files__default: 5	files__default	3	files/apple-cake.md	text/markdown	1750000000	1:text/markdown:b381453f01e3c2ab47ae69979e29bd65233e57bcf2082e938b4fd0f142accc30	1	2026-11-28 13:18:55.672848+00	e1c5f6c175b844cdaa187861c74cd928	3	\N
6	files__default: 8	files__default	4	files/crane.html	text/html	1750000000	1:text/html:8c6cef27dc169e87fdbb4921e6bcb8901c60f60af31f0ffe37c60c817d694275	1	2026-11-28 13:18:55.842708+00	965d4194a94d4b068b9b6d74efe5bd30	4	\N
9	mail__mail: 12:345	mail__mail	6	A letter für Jörg ✉	text/plain	1750000000	1:text/plain:1af68b383a625ca6de4f1a10ee76ead5ad3cfa38b479d38c7bda7ff1b1dab388	1	2026-11-28 13:18:56.307679+00	946109662e7549a7855abc8383f01c45	6	\N
10	deck__deck: 1	deck__deck	7	Paint the boat	text/markdown	1750000000	1:text/markdown:c08e2c34df56b4cfce1e66bd9f47ef117a77abd241a4031d67070e3586ff7858	1	2026-11-28 13:18:56.552341+00	fda6d4c193a645a4b117c2e86a71a536	7	\N
11	deck__deck: 2	deck__deck	8	Mend the nets	text/markdown	1750000000	1:text/markdown:829d3dda11c902aa5ef9ec612ad64e291ec633a6332f5b9036c4b88e8a5378c0	1	2026-11-28 13:18:56.658286+00	5a1f7eadebc4465b9224a0e75173880d	8	\N
13	notes__notes: 2	notes__notes	10	Tides	text/markdown	1750000000	1:text/markdown:67c21e9a5082c8fd244cdc991fd074db819dd101fe55f240e9d7d5b3fd9b9696	1	2026-11-28 13:18:57.080718+00	735ab126a2bf4c04a08739b14e336a69	10	\N
14	files__default: 4	files__default	11	files/book.md	text/markdown	1750000001	1:text/markdown:5e3dc15f73a54f87ba505948101a85ba4672d5a359501b683b2ea51a0e12e0bd	2	2026-11-28 13:18:57.547243+00	9836e856bc664e13986a39fe61478764	11	\N
1	files__default: 1	files__default	11	files/whale.md	text/markdown	1750000000	1:text/markdown:8c5cb42f6c19fb9c50e50fd3c892daf79626a2194f2e6b1254b1d45c452d5ee7	1	2026-11-28 13:18:54.677924+00	0ca11338711548bd9c1586bfd5d02fee	11	\N
2	files__default: 2	files__default	12	files/budget.md	text/markdown	1750000000	1:text/markdown:9e6318bff8688ce34a1e7175f67c978e9ebbce6b3cb75cfa119e7dcbf7d07c0b	1	2026-11-28 13:18:54.918563+00	ba5d40114fc74422ae4070ee27d91473	12	\N
12	notes__notes: 1	notes__notes	13	Lighthouse	text/markdown	1750000000	1:text/markdown:28f1422945b50ce0706363047878517a050bb52018494f039f1abf77fa7e3180	1	2026-11-28 13:18:57.03189+00	11337fd8c1d74720b5655dd5ba44492f	13	\N
8	mail__mail: 12:346	mail__mail	15	Re: A letter	text/plain	1750000000	1:text/plain:6f18148172541ffce6c2e2014c0d21b5bdc1d8334548f8978199a215e650ad60	1	2026-11-28 13:18:56.190964+00	eddfc153c4b844d0bb9c88d9305d647e	5	\N
\.



COPY ccb.group_members (user_no, group_id) FROM stdin;
1	1
2	1
1	3
6	3
5	4
1	6
2	6
1	7
7	8
2	10
7	10
1	11
1	12
2	12
7	12
8	12
1	13
8	13
5	6
2	15
5	15
9	15
\.



COPY ccb.removals (document_key, chunk_count, due) FROM stdin;
dc31330197ab45388e2d8f125205da45	1	2026-11-28 13:19:03.605715+00
\.



COPY ccb.settings (key, value) FROM stdin;
store_id	9a4d1e69-c0c0-4c6b-8897-cbe7f436acef
schema_version	2
functions	4957c1ceb76532ff0f59437551be3c6107884b75d23eb44cf241a795d1360251
edition	CATALOGUE
store_address	store
embedding_dim	384
embedding_model	all-MiniLM-L6-v2
\.



COPY ccb.tickets (source_id, provider, ticket, issued_at) FROM stdin;
\.



COPY ccb.users (user_no, uid) FROM stdin;
1	alice
2	bob
5	carol
6	erin
7	dora
8	jörg
9	stranger
\.



SELECT pg_catalog.setval('ccb.access_groups_group_id_seq', 15, true);



SELECT pg_catalog.setval('ccb.documents_doc_id_seq', 15, true);



SELECT pg_catalog.setval('ccb.users_user_no_seq', 9, true);



ALTER TABLE ONLY ccb.access_groups
    ADD CONSTRAINT access_groups_pkey PRIMARY KEY (group_id);



ALTER TABLE ONLY ccb.access_groups
    ADD CONSTRAINT access_groups_provider_digest_key UNIQUE (provider, digest);



ALTER TABLE ONLY ccb.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (doc_id);



ALTER TABLE ONLY ccb.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (user_no, group_id);



ALTER TABLE ONLY ccb.removals
    ADD CONSTRAINT removals_pkey PRIMARY KEY (document_key);



ALTER TABLE ONLY ccb.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (key);



ALTER TABLE ONLY ccb.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (source_id);



ALTER TABLE ONLY ccb.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (user_no);



ALTER TABLE ONLY ccb.users
    ADD CONSTRAINT users_uid_key UNIQUE (uid);



CREATE INDEX documents_group_idx ON ccb.documents USING btree (group_id) INCLUDE (doc_id, chunk_count);



CREATE UNIQUE INDEX documents_key ON ccb.documents USING btree (document_key);



CREATE INDEX documents_provider_idx ON ccb.documents USING btree (provider);



CREATE INDEX documents_settling ON ccb.documents USING btree (group_id) WHERE (visible_at IS NOT NULL);



CREATE UNIQUE INDEX documents_source_id_key ON ccb.documents USING btree (source_id) WHERE (group_id IS NOT NULL);



CREATE INDEX documents_staged_idx ON ccb.documents USING btree (source_id, created_at) WHERE (group_id IS NULL);



CREATE INDEX documents_stale ON ccb.documents USING btree (group_id, doc_id) WHERE (group_id <> store_group);



CREATE INDEX tickets_provider_idx ON ccb.tickets USING btree (provider);



CREATE TRIGGER note_removals AFTER DELETE ON ccb.documents REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ccb.note_removals();



ALTER TABLE ONLY ccb.documents
    ADD CONSTRAINT documents_group_id_fkey FOREIGN KEY (group_id) REFERENCES ccb.access_groups(group_id);



REVOKE ALL ON FUNCTION public.ccb_begin_upsert(p_source jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_collect_garbage(p_older_than interval) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_confirm_group(p_keys text[], p_group text, p_settle double precision) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_confirm_removals(p_keys text[]) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_count_documents() FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_older(p_source_id text, p_modified bigint) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_provider(p_provider text, p_limit integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_sources(p_source_ids text[]) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_delete_user(p_uid text, p_limit integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_discard_staged(p_doc_id bigint) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_due_removals(p_after text, p_documents integer, p_chunks integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_expect_chunks(p_doc_id bigint, p_chunks integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_open_catalogue(p_address text, p_dimension integer, p_model text, p_bind boolean) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_outbox() FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_publish_document(p_doc_id bigint, p_users text[], p_chunks integer, p_ticket text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_reach(p_user text, p_providers text[], p_sources text[], p_documents integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_readable(p_user text, p_keys text[], p_providers text[], p_sources text[]) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_stage_document(p_source jsonb) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_stale_documents(p_after_group bigint, p_after_doc bigint, p_documents integer, p_chunks integer) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_status() FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_update_access(p_op text, p_users text[], p_source_id text) FROM PUBLIC;



REVOKE ALL ON FUNCTION public.ccb_update_access_provider(p_op text, p_users text[], p_provider text, p_after bigint, p_limit integer) FROM PUBLIC;



