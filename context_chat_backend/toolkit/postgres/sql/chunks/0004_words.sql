-- Words as the gateway makes them, in place of PostgreSQL's.  Documents of before get theirs
-- in the background, see ccb_wordless_document.

create table if not exists ccb.chunk_words (
  chunk_id bigint primary key,
  doc_id   bigint not null references ccb.documents (doc_id) on delete cascade,
  language text   not null,                         -- ISO 639-1, empty if it is not known
  terms    int[]  not null,                         -- the indices of weights, for the index
  weights  sparsevec(1000000000) not null           -- the inner product with a question is BM25
);
-- In the row, not beside it: a search looks at thousands of them.
alter table ccb.chunk_words alter column terms set storage main, alter column weights set storage main;
alter table ccb.chunk_words set (toast_tuple_target = 8160);
create index if not exists chunk_words_doc_idx on ccb.chunk_words (doc_id);
create index if not exists chunk_words_terms_gin on ccb.chunk_words
  using gin (terms) with (gin_pending_list_limit = 512);

insert into ccb.settings values
  ('word_candidates', '500'),                      -- matches ranked for a question; more find no better
  ('exact_words', '500')                           -- so few accessible chunks are all ranked
on conflict (key) do nothing;

alter table ccb.chunks drop column if exists tsv;
drop table if exists ccb.common_terms;
delete from ccb.settings where key = 'text_candidates';

drop function if exists ccb.terms_of(text);
drop function if exists ccb.tsq(text[], text);
drop function if exists ccb.text_hits(text[], bigint[], bigint[], int);
drop function if exists public.ccb_search;
drop function if exists public.ccb_store_source;
