-- One for each source that is being indexed: what was begun before anything else happened
-- to the source cannot be finished, however late its calls arrive.
create table if not exists ccb.tickets (
  source_id text primary key,
  provider  text not null,
  ticket    uuid not null default gen_random_uuid(),
  issued_at timestamptz not null default now()
);
create index if not exists tickets_provider_idx on ccb.tickets (provider);

-- They return or take something else now.
drop function if exists public.ccb_begin_upsert;
drop function if exists public.ccb_publish_source;
drop function if exists public.ccb_update_access_provider;
drop function if exists public.ccb_stage_chunks;
