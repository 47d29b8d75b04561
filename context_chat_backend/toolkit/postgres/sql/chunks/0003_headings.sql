-- The headings above a chunk, outermost first.  Empty for what was stored before.
alter table ccb.chunks add column if not exists heading text not null default '';

-- It returns them now.
drop function if exists ccb.search;
