-- The headings above a chunk, outermost first.  Empty for what was stored before.
alter table ccb.chunks add column if not exists heading text not null default '';

-- They are returned by the one function that searches now.
drop function if exists ccb.search;
drop function if exists public.ccb_search;
