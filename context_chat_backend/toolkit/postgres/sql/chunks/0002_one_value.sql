-- They return one JSON value now: PostgREST cuts sets off after a number of rows.
drop function if exists public.ccb_search;
drop function if exists public.ccb_count_documents;
