-- Documents are found by their titles here, which the store does not have.
create table if not exists ccb.title_words (
  doc_id bigint primary key references ccb.documents (doc_id) on delete cascade,
  terms  int[]  not null
);
create index if not exists title_words_gin on ccb.title_words using gin (terms);

-- Chunks drawn at random, to calibrate the search by meaning: those of each language that
-- drew the highest numbers.
create table if not exists ccb.samples (
  sample_id bigint generated always as identity primary key,
  doc_id    bigint not null references ccb.documents (doc_id) on delete cascade,
  language  text   not null,
  draw      float8 not null,
  embedding real[] not null,
  sentence  text   not null                         -- one of the chunk
);
create index if not exists samples_doc_idx on ccb.samples (doc_id);
create index if not exists samples_draw_idx on ccb.samples (language, draw);

-- Kept of each language.
insert into ccb.settings values ('samples', '256') on conflict (key) do nothing;

drop function if exists public.ccb_expect_chunks;
