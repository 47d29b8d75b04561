-- By term, so that a question reads of them only what it looks for.

do $do$
begin
  if exists (select 1 from information_schema.columns
              where table_schema = 'ccb' and table_name = 'counted_terms' and column_name = 'terms') then
    insert into ccb.terms as t (term, chunks)
      select term, count(*) from ccb.counted_terms, unnest(terms) as term group by term
    on conflict (term) do update set chunks = t.chunks + excluded.chunks;
    drop table ccb.counted_terms;
  end if;
end
$do$;

create table if not exists ccb.counted_terms (
  term   int    not null,
  chunks bigint not null
);
create index if not exists counted_terms_term_idx on ccb.counted_terms (term);
