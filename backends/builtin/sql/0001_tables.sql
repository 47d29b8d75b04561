-- ---------------------------------------------------------------------------
-- Document store of the gateway: tables.  PostgreSQL >= 15, pgvector >= 0.8.
--
-- Followed by functions.sql it is the whole store, for embedded, external and
-- Supabase databases alike.  Both files may be run again at any time.
--
-- The embedding dimension is taken from the session, 384 without it:
--   select set_config('ccb.embedding_dim', '1024', false);
--
-- Schema ccb holds tables and helpers and is not for clients; their entry points
-- are the functions public.ccb_*.
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
  if not exists (select 1 from pg_extension where extname = 'vector') then
    begin
      -- Supabase keeps extensions in a schema of this name.
      if exists (select 1 from pg_namespace where nspname = 'extensions') then
        create extension vector with schema extensions;
      else
        create extension vector;
      end if;
    exception when others then
      raise exception 'the extension pgvector cannot be created: %', sqlerrm
        using errcode = 'feature_not_supported',
              hint = 'Install pgvector 0.8 or later on the database server, then run CREATE EXTENSION vector'
                     ' in this database as its administrator.';
    end;
  end if;
  -- 0.8 brought iterative index scans: without them a filtered search loses results.
  if (select (regexp_match(extversion, '^\d+\.\d+'))[1] from pg_extension where extname = 'vector')
       ~ '^0\.[0-7]$' then
    raise exception 'pgvector % is too old, 0.8 or later is required',
                    (select extversion from pg_extension where extname = 'vector')
      using errcode = 'feature_not_supported',
            hint = 'Install pgvector 0.8 or later on the database server, then run ALTER EXTENSION vector UPDATE'
                   ' in this database.';
  end if;
end
$do$;

create schema if not exists ccb;

-- Everything below finds the vector types wherever the extension was installed.
select set_config('search_path', 'ccb, public, extensions', false);

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

do $do$
declare
  dim int := coalesce(nullif(current_setting('ccb.embedding_dim', true), ''), '384')::int;
begin
  if to_regclass('ccb.chunks') is not null then return; end if;
  execute format($sql$
    create table ccb.chunks (
      chunk_id  bigint generated always as identity primary key,
      doc_id    bigint not null references ccb.documents (doc_id) on delete cascade,
      ordinal   int    not null,
      embedding halfvec(%s) not null,
      content   text   not null,
      tsv       tsvector generated always as (to_tsvector('simple'::regconfig, content)) stored
    )$sql$, dim);
  -- Vectors stay in the heap row: above about 1,000 dimensions a halfvec would be
  -- moved to TOAST, and every exact scan would have to fetch it from there.  Text
  -- and tsvector go out of line instead.
  alter table ccb.chunks alter column embedding set storage plain;
  alter table ccb.chunks alter column content   set storage extended;
  alter table ccb.chunks set (toast_tuple_target = 256);
  insert into ccb.settings values ('embedding_dim', dim::text);
end
$do$;

create unique index if not exists chunks_doc_idx on ccb.chunks (doc_id, ordinal);
create index if not exists chunks_embedding_hnsw on ccb.chunks
  using hnsw (embedding halfvec_cosine_ops) with (m = 16, ef_construction = 64);
create index if not exists chunks_tsv_gin on ccb.chunks using gin (tsv);

-- Lexemes frequent enough to be useless as search terms, from the planner statistics.
create table if not exists ccb.common_terms (
  lexeme text primary key,
  freq   real not null
);

insert into ccb.settings values
  ('schema_version', '1'),
  -- Changes when the data does not continue what was there before.
  ('store_id', gen_random_uuid()::text),
  -- Exact scan up to this many accessible chunks, HNSW above.  An exact scan costs
  -- about 0.85 us per chunk of 384 dimensions; rows x dimensions is held constant.
  ('exact_max_chunks', greatest(5000, 38400000 / (select value::int from ccb.settings
                                                   where key = 'embedding_dim'))::text),
  ('exact_max_documents', '20000'),
  ('ef_search', '200'),
  ('max_scan_tuples', '40000'),
  ('text_candidates', '500')                -- matches ranked per tier of a text query
on conflict (key) do nothing;

reset search_path;
