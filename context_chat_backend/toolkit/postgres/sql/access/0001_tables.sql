-- ---------------------------------------------------------------------------
-- Documents and who may read them.  PostgreSQL >= 15.
--
-- All files here and next to it may be run again at any time.
--
-- Schema ccb holds tables and helpers and is not for clients; their entry points
-- are the functions public.ccb_*, which return one value each.
--
-- Access: a document points at ONE access group, a distinct set of users inside
-- one provider.  Sharing 10,000 files with 5,000 users is 5,000 membership rows,
-- and a change of access touches neither chunks nor the vector index.
-- ---------------------------------------------------------------------------

do $do$
begin
  if current_setting('server_version_num')::int < 150000 then
    raise exception 'PostgreSQL % is too old, 15 or later is required', current_setting('server_version')
      using errcode = 'feature_not_supported';
  end if;
end
$do$;

create schema if not exists ccb;

create table if not exists ccb.settings (
  key   text primary key,
  value text not null
);

create table if not exists ccb.users (
  user_no int generated always as identity primary key,
  uid     text not null unique
);

create table if not exists ccb.access_groups (
  group_id bigint generated always as identity primary key,
  provider text   not null,
  digest   bytea  not null,                 -- SHA-256 of the members
  members  int[]  not null check (members <> '{}'),  -- user numbers, sorted and distinct
  unique (provider, digest)
);

-- User -> groups.  The other direction is access_groups.members.
create table if not exists ccb.group_members (
  user_no  int    not null,
  group_id bigint not null,
  primary key (user_no, group_id)
);

create table if not exists ccb.documents (
  doc_id       bigint generated always as identity primary key,
  source_id    text    not null,
  provider     text    not null,
  group_id     bigint  references ccb.access_groups (group_id),  -- null: staged, found by nobody
  title        text    not null,
  doc_type     text    not null,
  modified     bigint  not null,            -- unix seconds, as sent by Nextcloud
  content_hash text    not null,
  chunk_count  int     not null default 0,
  created_at   timestamptz not null default now()
);
create unique index if not exists documents_source_id_key
  on ccb.documents (source_id) where group_id is not null;
create index if not exists documents_group_idx
  on ccb.documents (group_id) include (doc_id, chunk_count);
create index if not exists documents_provider_idx
  on ccb.documents (provider);
create index if not exists documents_staged_idx
  on ccb.documents (source_id, created_at) where group_id is null;

insert into ccb.settings values
  ('schema_version', '1'),
  -- Changes when the data does not continue what was there before.
  ('store_id', gen_random_uuid()::text)
on conflict (key) do nothing;
