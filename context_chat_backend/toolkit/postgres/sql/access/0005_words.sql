-- What is known of the words and the languages of all chunks together.  Stores of version 4
-- have it already.

-- In how many chunks each term was, deleted ones included: only its share of all of them
-- counts.  Term 0 is all of them.
create table if not exists ccb.terms (
  term   int    primary key,
  chunks bigint not null
) with (fillfactor = 70);

-- What is still to be added to ccb.terms, because another writer was at it.
create table if not exists ccb.counted_terms (
  batch_id bigint generated always as identity primary key,
  terms    int[]  not null
);

-- The title that the words of a document were made with.  Null: it has none yet, or old ones.
alter table ccb.documents add column if not exists words_title text;
create index if not exists documents_wordless_idx on ccb.documents (doc_id desc)
  where words_title is distinct from title;

-- How well the embedding model does by language, as the gateway found out.
insert into ccb.settings values ('calibration', '{}') on conflict (key) do nothing;
