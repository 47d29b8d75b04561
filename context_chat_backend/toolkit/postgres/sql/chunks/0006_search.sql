-- Functions of another type.

drop function if exists ccb.nearest_exact(halfvec, bigint[], int);
drop function if exists ccb.nearest_ann(halfvec, bigint[], int);
drop function if exists public.ccb_search;

-- To rank so many takes as long as to look for the rarest words among those of everybody.
update ccb.settings set value = '2000' where key = 'exact_words' and value = '500';
