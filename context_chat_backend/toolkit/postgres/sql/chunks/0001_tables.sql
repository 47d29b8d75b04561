-- ---------------------------------------------------------------------------
-- The chunks of the documents and their embeddings.
--
-- The embedding dimension is taken from the session, 384 without it:
--   select set_config('ccb.embedding_dim', '1024', false);
-- ---------------------------------------------------------------------------

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
      content   text   not null
    )$sql$, dim);
  -- Vectors stay in the heap row: above about 1,000 dimensions a halfvec would be
  -- moved to TOAST, and every exact scan would have to fetch it from there.  Text goes
  -- out of line instead.
  alter table ccb.chunks alter column embedding set storage plain;
  alter table ccb.chunks alter column content   set storage extended;
  alter table ccb.chunks set (toast_tuple_target = 256);
  create index chunks_embedding_hnsw on ccb.chunks
    using hnsw (embedding halfvec_cosine_ops) with (m = 16, ef_construction = 64);
  insert into ccb.settings values ('embedding_dim', dim::text);
end
$do$;

create unique index if not exists chunks_doc_idx on ccb.chunks (doc_id, ordinal);

insert into ccb.settings values
  ('ef_search', '200'),
  ('max_scan_tuples', '40000')
on conflict (key) do nothing;
