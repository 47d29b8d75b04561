-- They take the most chunks per call now, too.
drop function if exists public.ccb_update_access_provider(text, text[], text, bigint, int);
drop function if exists public.ccb_delete_provider(text, int);
drop function if exists public.ccb_delete_user(text, int);
