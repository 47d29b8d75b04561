-- Vectors in a table of their own, which is narrow and may be replaced by that of another model.
-- Each chunk has a row in it, see ccb.follow_chunks.  One without a vector is one to be made: there
-- is no other queue that could be lost.

do $do$
begin
  if to_regclass('ccb.vectors') is not null then return; end if;
  -- The vectors stay where they are, with their index, which takes by far the longest to make: it
  -- is the texts that move.
  alter table ccb.chunks rename to vectors;
  alter table ccb.vectors alter column chunk_id drop identity;
  alter table ccb.vectors alter column embedding drop not null;
  alter table ccb.vectors add column claimed_at timestamptz;    -- until a while after this, somebody is at it
  alter table ccb.vectors drop constraint chunks_doc_id_fkey;
  alter index ccb.chunks_pkey rename to vectors_pkey;
  alter index ccb.chunks_doc_idx rename to vectors_doc_idx;
  alter index ccb.chunks_embedding_hnsw rename to vectors_embedding_hnsw;

  create table ccb.chunks (
    chunk_id bigint generated always as identity primary key,
    doc_id   bigint not null references ccb.documents (doc_id) on delete cascade,
    ordinal  int    not null,
    heading  text   not null,              -- the headings above it, outermost first
    content  text   not null,
    text_key uuid                          -- equal where the same is embedded; null for chunks of before
  );
  insert into ccb.chunks (chunk_id, doc_id, ordinal, heading, content) overriding system value
    select chunk_id, doc_id, ordinal, heading, content from ccb.vectors;
  perform setval(pg_get_serial_sequence('ccb.chunks', 'chunk_id'), max(chunk_id)) from ccb.chunks having count(*) > 0;
  create unique index chunks_doc_idx on ccb.chunks (doc_id, ordinal);
  create index chunks_text_key_idx on ccb.chunks (text_key);

  alter table ccb.vectors drop column ordinal, drop column heading, drop column content;   -- and vectors_doc_idx
  create index vectors_doc_idx on ccb.vectors (doc_id);
  create index vectors_missing_idx on ccb.vectors (chunk_id) where embedding is null;
end
$do$;
