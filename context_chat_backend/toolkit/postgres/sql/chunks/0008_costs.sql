-- Whether a search compares all vectors or goes by the index depends on what is cheaper, not on
-- fixed numbers.
delete from ccb.settings where key in ('exact_max_chunks', 'exact_max_documents');
insert into ccb.settings values
  -- Looking at one vector through the index takes as long as comparing so many that lie side by
  -- side.  Measured on the machine once a day, see ccb.measure_costs.
  ('index_cost', '20'),
  ('exact_chunks', '5000')                         -- so few are compared in any case
on conflict (key) do nothing;

-- With 200 the index missed one in twelve of the nearest ten of 100,000, with 400 one in sixteen.
update ccb.settings set value = '400' where key = 'ef_search' and value = '200';
