-- ---------------------------------------------------------------------------
-- For documents whose chunks are in another store, a chunk of which carries the key of
-- its document and the number of one access group.  Needs access/0001_tables.sql.
--
-- Who may read a document is decided here.  The store follows: the documents whose
-- chunks carry another group than they should, and those to be removed, are known by
-- the state of these tables, so that nothing is forgotten in a crash.
-- ---------------------------------------------------------------------------

-- Drawn at random, so that chunks left behind by a lost catalogue fit to no document.
alter table ccb.documents add column if not exists
  document_key text not null default replace(gen_random_uuid()::text, '-', '');
-- The group that the chunks in the store carry; 0, which is none: unknown.
alter table ccb.documents add column if not exists store_group bigint;

-- When searches of the store see that group, where it was changed a moment ago.
alter table ccb.documents add column if not exists visible_at timestamptz;

create unique index if not exists documents_key on ccb.documents (document_key);
create index if not exists documents_stale on ccb.documents (group_id, doc_id)
  where group_id <> store_group;
create index if not exists documents_settling on ccb.documents (group_id)
  where visible_at is not null;

-- Documents that are gone here and whose chunks may still be in the store.
create table if not exists ccb.removals (
  document_key text not null primary key,
  chunk_count  int  not null,
  due          timestamptz not null
);
