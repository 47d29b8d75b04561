-- ---------------------------------------------------------------------------
-- All rules about access and versions, so that any number of gateways, over any
-- kind of connection, cannot break them.  Needs access/0001_tables.sql.
--
-- A function whose parameters or type change needs a "drop function" in a numbered
-- file.  Every public one returns one value, so that nothing can be cut off on its way.
--
-- Lock order of every writer, which keeps concurrent writers free of deadlocks:
--   1 users dictionary (shared), then new users in it
--   2 providers, sorted: shared for a single source, exclusive for provider- or user-wide changes
--   3 sources, sorted             4 access groups, sorted       5 rows
-- A writer may still see 40001 or 40P01 in rare cases: call again.  Every function
-- may be called again after a failure.
--
-- Errors on purpose: 0A000 only an administrator can help, 22xxx the arguments,
-- P0002 something else happened to the source meanwhile, 40001 call again.
-- ---------------------------------------------------------------------------

-- ------------------------------------------------------------------ helpers

create or replace function ccb.setting_int(p_key text) returns int
language sql stable as $$ select value::int from ccb.settings where key = p_key $$;

create or replace function ccb.digest_of(p_members int[]) returns bytea
language sql immutable strict as
$$ select sha256(convert_to(array_to_string(p_members, ','), 'UTF8')) $$;

create or replace function ccb.text_array(p_list jsonb) returns text[]
language sql immutable as
$$ select array(select jsonb_array_elements_text(p_list)) $$;

create or replace function ccb.int_array(p_list jsonb) returns int[]
language sql immutable as
$$ select array(select jsonb_array_elements_text(p_list)::int) $$;

-- User ids -> sorted distinct user numbers.  Unknown users are left out, or entered
-- into the dictionary on demand: before any other lock, since two writers that enter the
-- same user wait for each other.  Those that nothing came to use go with the next tidy-up.
create or replace function ccb.user_numbers(p_uids text[], p_create boolean) returns int[]
language plpgsql as $fn$
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
$fn$;

-- The readers of a source to be stored: at least one.
create or replace function ccb.reader_numbers(p_uids text[]) returns int[]
language plpgsql as $fn$
declare
  u int[] := ccb.user_numbers(p_uids, true);
begin
  if u = '{}' then
    raise exception 'a source needs at least one reader' using errcode = 'invalid_parameter_value';
  end if;
  return u;
end
$fn$;

create or replace function ccb.lock_sources(p_sources text[]) returns void
language plpgsql as $fn$
declare
  s text;
begin
  for s in select distinct unnest(p_sources) order by 1 loop
    perform pg_advisory_xact_lock(hashtextextended('ccb:source:' || s, 0::bigint));
  end loop;
end
$fn$;

create or replace function ccb.lock_providers(p_providers text[], p_exclusive boolean) returns void
language plpgsql as $fn$
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
$fn$;

-- Locks a source, and its provider against wide changes.  Returns the stored
-- document, all null without one.
create or replace function ccb.lock_source(p_source_id text, p_provider text default null)
returns ccb.documents
language plpgsql as $fn$
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
$fn$;

-- Find or create the group for this set of members; the row comes back locked
-- (FOR KEY SHARE) so that it can be neither deleted nor re-keyed before commit.
create or replace function ccb.group_for(p_provider text, p_members int[]) returns bigint
language plpgsql as $fn$
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
$fn$;

-- Remove those of the given groups that no document uses.
create or replace function ccb.drop_unused_groups(p_groups bigint[]) returns void
language plpgsql as $fn$
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
$fn$;

-- Forget users that nothing refers to.  Skipped while any writer is active, which
-- may just have looked the number up; a later call does it.
create or replace function ccb.drop_unused_users(p_users int[] default null) returns void
language plpgsql as $fn$
begin
  if pg_try_advisory_xact_lock(hashtextextended('ccb:users', 0::bigint)) then
    delete from ccb.users x
     where (p_users is null or x.user_no = any (p_users))
       and not exists (select 1 from ccb.group_members m where m.user_no = x.user_no);
  end if;
end
$fn$;

create or replace function ccb.members_of(p_group bigint) returns int[]
language sql stable as $$ select members from ccb.access_groups where group_id = p_group $$;

-- The members after an operation.
create or replace function ccb.apply_op(p_old int[], p_op text, p_users int[]) returns int[]
language sql immutable as $fn$
  select coalesce(array_agg(u order by u), '{}') from (
    select u from unnest(p_old) u
     where p_op = 'allow' or (p_op = 'deny' and u <> all (p_users))
    union
    select u from unnest(p_users) u where p_op in ('allow', 'set')
  ) s
$fn$;

-- What is being indexed of these sources cannot be published any more.  The caller holds
-- their locks, or an exclusive one of their provider.
create or replace function ccb.void_tickets(p_sources text[]) returns void
language sql as $$ delete from ccb.tickets where source_id = any (p_sources) $$;

-- Make these the readers of a document; without any it is deleted.
-- The caller holds the lock of the source.
create or replace function ccb.set_members(p_doc ccb.documents, p_members int[]) returns void
language plpgsql as $fn$
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
$fn$;

-- Make these the members of a group, for all its documents; without any they are
-- deleted.  The caller holds the lock of the provider exclusively.
create or replace function ccb.rekey_group(p_group bigint, p_members int[]) returns void
language plpgsql as $fn$
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
$fn$;

-- Deletes documents of a group until that is p_chunks chunks.  True if the group has no more.
create or replace function ccb.delete_some(p_group bigint, p_chunks int) returns boolean
language plpgsql as $fn$
begin
  delete from ccb.documents where doc_id = any (array(
    select doc_id from (
      select doc_id, sum(chunk_count) over (order by doc_id) - chunk_count as before
        from (select doc_id, chunk_count from ccb.documents where group_id = p_group order by doc_id limit 5000) d) s
     where before < p_chunks));
  return not exists (select 1 from ccb.documents where group_id = p_group);
end
$fn$;

create or replace function ccb.check_op(p_op text, p_known text[]) returns void
language plpgsql as $fn$
begin
  if p_op is null or p_op <> all (p_known) then
    raise exception 'unknown access operation %', p_op using errcode = 'invalid_parameter_value';
  end if;
end
$fn$;

-- -------------------------------------------------------------------- writing
--
-- p_source: {source_id, provider, title, type, modified, content_hash, users: [...]}

-- {state, ticket, retitled}: decides what has to be done for a version of a source, and does
-- what needs no chunks:
--   unchanged  the stored version is not older: readers were added; and where it is this one
--              with another title, it got that.  retitled: its words are of another title
--   refreshed  an older version with this content, title and type is stored: it got
--              the new time and exactly the new readers
--   index      new, or the stored version is older: it stays with those of its readers
--              who may read the new one too, until that is published with the ticket
-- A repetition of a failed upload brings the ticket of the former try as p_source.ticket:
-- what happened to the source since then must not be undone.
create or replace function public.ccb_begin_upsert(p_source jsonb) returns jsonb
language plpgsql
set search_path from current
as $fn$
declare
  u   int[] := ccb.reader_numbers(ccb.text_array(p_source -> 'users'));
  doc ccb.documents := ccb.lock_source(p_source ->> 'source_id', p_source ->> 'provider');
  cur int[] := ccb.members_of(doc.group_id);
  t   uuid;
begin
  if p_source ->> 'ticket' is not null
     and not exists (select 1 from ccb.tickets
                      where source_id = p_source ->> 'source_id' and ticket = (p_source ->> 'ticket')::uuid)
     -- used up by the former try, whose answer was lost: this one changes nothing
     and not coalesce(doc.modified >= (p_source ->> 'modified')::bigint and u <@ cur, false) then
    raise exception 'something else happened to the source meanwhile' using errcode = 'no_data_found';
  end if;
  perform ccb.void_tickets(array[p_source ->> 'source_id']);
  if doc.doc_id is null then
    null;
  elsif doc.modified >= (p_source ->> 'modified')::bigint then
    perform ccb.set_members(doc, ccb.apply_op(cur, 'allow', u));
    update ccb.documents set title = p_source ->> 'title'
     where doc_id = doc.doc_id and modified = (p_source ->> 'modified')::bigint and title <> p_source ->> 'title';
    return jsonb_build_object('state', 'unchanged', 'retitled', exists (
      select 1 from ccb.documents d where d.doc_id = doc.doc_id and d.words_title is distinct from d.title));
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
$fn$;

-- Puts a staged document, of whose p_chunks chunks p_present are there, in the place of
-- the older version in one step: 'created' or 'updated'.  When a version that is not
-- older was stored meanwhile, the staged one is dropped and readers are added: 'unchanged'.
-- The ticket of ccb_begin_upsert is used up; null is for loading in bulk, while nothing
-- else happens.
create or replace function ccb.publish(
  p_doc_id bigint, p_users text[], p_chunks int, p_present int, p_ticket text)
returns text
language plpgsql as $fn$
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
$fn$;

-- Gives up a staged document; any other number is fine.
create or replace function public.ccb_discard_staged(p_doc_id bigint) returns void
language sql
set search_path from current
as $$ delete from ccb.documents where doc_id = p_doc_id and group_id is null $$;

-- --------------------------------------------------------------------- access

-- op: 'allow' | 'deny' | 'set'.  A source that nobody may read any more is deleted.
-- Returns whether the source is stored.
create or replace function public.ccb_update_access(p_op text, p_users text[], p_source_id text)
returns boolean
language plpgsql
set search_path from current
as $fn$
declare
  u   int[];
  doc ccb.documents;
begin
  perform ccb.check_op(p_op, '{allow,deny,set}');
  u := ccb.user_numbers(p_users, p_op <> 'deny');
  doc := ccb.lock_source(p_source_id);
  perform ccb.void_tickets(array[p_source_id]);
  if doc.doc_id is null then return false; end if;
  perform ccb.set_members(doc, ccb.apply_op(ccb.members_of(doc.group_id), p_op, u));
  return true;
end
$fn$;

-- The stored documents that the changes are about, with the members that each will have.
create or replace function ccb.members_after(p_changes jsonb)
returns table (doc_id bigint, group_id bigint, provider text, members int[])
language sql stable as $fn$
  select d.doc_id, d.group_id, d.provider, ccb.apply_op(a.members, e ->> 'op', array(
           select user_no from ccb.users where uid in (select jsonb_array_elements_text(e -> 'users'))))
    from jsonb_array_elements(p_changes) e
    join ccb.documents d on d.source_id = e ->> 'source_id' and d.group_id is not null
    join ccb.access_groups a on a.group_id = d.group_id
$fn$;

-- Many changes at once: [{op, users, source_id}], each of another source.  Returns how many
-- of the sources are stored.
create or replace function public.ccb_change_access(p_changes jsonb) returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  sources text[] := array(select e ->> 'source_id' from jsonb_array_elements(p_changes) e);
  locked  text[] := array(select distinct provider from ccb.documents
                           where source_id = any (sources) and group_id is not null);
  old     bigint[];
  n       int;
begin
  perform ccb.check_op(op, '{allow,deny,set}')
     from (select distinct e ->> 'op' as op from jsonb_array_elements(p_changes) e) ops;
  perform ccb.user_numbers(array(
    select distinct u from jsonb_array_elements(p_changes) e, jsonb_array_elements_text(e -> 'users') u
     where e ->> 'op' <> 'deny'), true);
  perform ccb.lock_providers(locked, false);
  perform ccb.lock_sources(sources);
  perform ccb.void_tickets(sources);
  if exists (select 1 from ccb.documents
              where source_id = any (sources) and group_id is not null and provider <> all (locked)) then
    raise exception 'a source was stored meanwhile' using errcode = 'serialization_failure';
  end if;
  -- All groups before any document, and sorted: two calls that need the same ones wait for
  -- each other in one direction only.
  perform ccb.group_for(provider, members) from (
    select distinct provider, ccb.digest_of(members) as digest, members
      from ccb.members_after(p_changes) where members <> '{}' order by provider, digest) g;
  with change as materialized (select * from ccb.members_after(p_changes)),
       gone as (
         delete from ccb.documents d using change c where d.doc_id = c.doc_id and c.members = '{}'),
       moved as (
         update ccb.documents d set group_id = g.group_id
           from change c join ccb.access_groups g
             on g.provider = c.provider and g.digest = ccb.digest_of(c.members)
          where d.doc_id = c.doc_id and g.group_id <> d.group_id and c.members <> '{}')
  select count(*), array_agg(distinct group_id) into n, old from change;
  perform ccb.drop_unused_groups(old);
  return n;
end
$fn$;

-- {next}.  op: 'allow' | 'deny'.  Paged for statement timeouts: pass what is next back as
-- p_after until it is null.
create or replace function public.ccb_update_access_provider(
  p_op text, p_users text[], p_provider text, p_after bigint default 0, p_limit int default 1000,
  p_chunks int default 20000)
returns jsonb
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  g    record;
  u    int[];
  remaining int[];
  n    int := 0;
  last bigint;
begin
  perform ccb.check_op(p_op, '{allow,deny}');
  u := ccb.user_numbers(p_users, p_op = 'allow');
  perform ccb.lock_providers(array[p_provider], true);
  delete from ccb.tickets where provider = p_provider;
  for g in select group_id, members from ccb.access_groups
            where provider = p_provider and group_id > p_after order by group_id limit p_limit
  loop
    remaining := ccb.apply_op(g.members, p_op, u);
    if remaining = '{}' and not ccb.delete_some(g.group_id, p_chunks) then
      return jsonb_build_object('next', g.group_id - 1);      -- the rest of it with the next call
    end if;
    perform ccb.rekey_group(g.group_id, remaining);
    n := n + 1;
    last := g.group_id;
  end loop;
  return jsonb_build_object('next', case when n = p_limit then last end);
end
$fn$;

-- ------------------------------------------------------------------- deletion

-- Stored and staged.  Returns the number of stored sources that are gone.
create or replace function public.ccb_delete_sources(p_source_ids text[]) returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
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
$fn$;

-- Removes the stored version of a source if it is older: a newer one turned out to
-- be impossible to index.
create or replace function public.ccb_delete_older(p_source_id text, p_modified bigint) returns boolean
language plpgsql
set search_path from current
as $fn$
declare
  doc ccb.documents := ccb.lock_source(p_source_id);
begin
  perform ccb.void_tickets(array[p_source_id]);
  if doc.doc_id is null or doc.modified >= p_modified then return false; end if;
  perform ccb.set_members(doc, '{}');
  return true;
end
$fn$;

-- Stored and staged.  Paged: call again while the result equals p_limit.
create or replace function public.ccb_delete_provider(
  p_provider text, p_limit int default 2000, p_chunks int default 20000)
returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
declare
  n int;
begin
  perform ccb.lock_providers(array[p_provider], true);
  delete from ccb.tickets where provider = p_provider;
  with gone as (delete from ccb.documents where doc_id = any (array(
      select doc_id from (
        select doc_id, sum(chunk_count) over (order by doc_id) - chunk_count as before
          from (select doc_id, chunk_count from ccb.documents where provider = p_provider
                 order by doc_id limit p_limit for update) d) s
       where before < p_chunks)) returning 1)
  select count(*) into n from gone;
  if exists (select 1 from ccb.documents where provider = p_provider) then return p_limit; end if;
  perform ccb.drop_unused_groups(array(select group_id from ccb.access_groups where provider = p_provider));
  return least(n, p_limit - 1);
end
$fn$;

-- Removes a reader everywhere; sources that nobody else may read are deleted.
-- Paged: call again while the result equals p_limit.
create or replace function public.ccb_delete_user(p_uid text, p_limit int default 500, p_chunks int default 20000)
returns int
language plpgsql
set search_path from current
set statement_timeout = '55s'
as $fn$
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
    if g.members = array[u] and not ccb.delete_some(g.group_id, p_chunks) then return p_limit; end if;
    perform ccb.rekey_group(g.group_id, array_remove(g.members, u));
    n := n + 1;
  end loop;
  if n < p_limit and u is not null then perform ccb.drop_unused_users(array[u]); end if;
  return n;
end
$fn$;

-- -------------------------------------------------------------------- reading

-- {provider: number of stored sources}; those without any are missing.
create or replace function public.ccb_count_documents() returns jsonb
language sql stable
set search_path from current
as $$
  select coalesce(jsonb_object_agg(provider, n), '{}')
    from (select provider, count(*) as n from ccb.documents where group_id is not null group by 1) s
$$;

-- The groups of a user, of these providers only unless null.
create or replace function ccb.groups_of(p_user text, p_providers text[]) returns bigint[]
language sql stable as $$
  select coalesce(array_agg(m.group_id), '{}')
    from ccb.users u
    join ccb.group_members m using (user_no)
    join ccb.access_groups a using (group_id)
   where u.uid = p_user and (p_providers is null or a.provider = any (p_providers))
$$;

-- ---------------------------------------------------------------------- words

-- Adds chunks with these terms to the counts.  One writer at a time, so that none waits for
-- another; what the others have to add is added by the next one.
create or replace function ccb.count_terms(p_terms int[], p_chunks int) returns void
language plpgsql as $fn$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint)) then
    insert into ccb.counted_terms (term, chunks)
      select term, count(*) from unnest(p_terms || array_fill(0, array[p_chunks])) term group by term;
    return;
  end if;
  with waiting as (delete from ccb.counted_terms returning term, chunks)
  insert into ccb.terms as t (term, chunks)
    select term, sum(n) from (
      select unnest(p_terms || array_fill(0, array[p_chunks])) as term, 1 as n
      union all
      select term, chunks from waiting) s
     group by term order by term
  on conflict (term) do update set chunks = t.chunks + excluded.chunks;
end
$fn$;

-- What a question looks for by words: its terms that some chunk has, the rarest first.
-- p_question: {terms: {term: how often}, steady: [term]}.  idf as Lucene has it, but of steady
-- terms as if no chunk had them: else the order of somebody's own documents would tell in how
-- many of others a number is.
create or replace function ccb.question_terms(p_question jsonb)
returns table (term int, worth float8, chunks bigint)
language sql stable as $$
  with asked as materialized (
    select (key)::int as term, (value)::float8 as times from jsonb_each_text(p_question -> 'terms')
    union all select 0, 0),
  counted as materialized (
    select term, sum(chunks)::bigint as chunks from (
      select t.term, t.chunks from asked join ccb.terms t on t.term = asked.term
      union all
      select t.term, t.chunks from asked join ccb.counted_terms t on t.term = asked.term) s
     group by term)
  select c.term, a.times * ln(1 + (n.chunks - k.chunks + 0.5) / (k.chunks + 0.5)), c.chunks
    from counted c
    join asked a on a.term = c.term
   cross join (select chunks from counted where term = 0) n
   cross join lateral (select case when c.term = any (ccb.int_array(p_question -> 'steady')) then 0
                                   else c.chunks end as chunks) k
   where c.term <> 0
   order by c.chunks, c.term
$$;

-- Remembers what the gateway found out about the embedding model of the store, for ccb_status.
create or replace function public.ccb_calibrate(p_model text, p_found jsonb) returns void
language sql
set search_path from current
as $fn$
  update ccb.settings set value = p_found::text
   where key = 'calibration' and exists (select 1 from ccb.settings where key = 'embedding_model' and value = p_model)
$fn$;

-- ------------------------------------------------------------------ operation

-- What the database is.
create or replace function public.ccb_status() returns jsonb
language sql stable
set search_path from current
as $$
  select jsonb_object_agg(key, value) || jsonb_build_object(
    'pgvector', (select extversion from pg_extension where extname = 'vector'),
    'postgres', current_setting('server_version_num')::int)
    from ccb.settings
   where key in ('store_id', 'schema_version', 'functions', 'embedding_dim', 'embedding_model', 'calibration')
$$;

-- The value must be the one that was remembered; the first one is, if it is to be kept.
create or replace function ccb.require_setting(
  p_key text, p_value text, p_otherwise text, p_hint text, p_keep boolean)
returns void
language plpgsql as $fn$
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
$fn$;

-- Vectors of another model or dimension cannot be compared with those in the store.
create or replace function ccb.require_model(p_dimension int, p_model text, p_keep boolean default true)
returns void
language plpgsql as $fn$
declare
  remedy text := 'Go back to the former embedding model, or use an empty database and index everything again.';
begin
  perform ccb.require_setting('embedding_dim', p_dimension::text,
    'the store was created for embeddings of %s dimensions, the embedding model makes %s', remedy, p_keep);
  perform ccb.require_setting('embedding_model', p_model,
    'the store holds embeddings of the model "%s", not of "%s"', remedy, p_keep);
end
$fn$;

-- Abandoned staged documents, groups and users that nothing refers to.  Returns the
-- number of staged documents removed.
create or replace function ccb.tidy(p_older_than interval) returns int
language plpgsql as $fn$
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
$fn$;
