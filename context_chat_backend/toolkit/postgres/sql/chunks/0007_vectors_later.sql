-- A chunk without a vector is one to be made: there is no other queue that could be lost.

alter table ccb.chunks alter column embedding drop not null;
-- Until a while after this, somebody is at it.
alter table ccb.chunks add column if not exists claimed_at timestamptz;
create index if not exists chunks_without_vector_idx on ccb.chunks (chunk_id) where embedding is null;
-- Equal for chunks whose embedded text is equal; null for those of before.
alter table ccb.chunks add column if not exists text_key uuid;
create index if not exists chunks_text_key_idx on ccb.chunks (text_key);
