-- Functions that run with the rights of the schema's owner.
--
-- Without pg_temp at the end of search_path, PostgreSQL looks for types in the session's temporary schema first: a temporary
-- domain named date, with a CHECK, ran its code as the owner (PostgreSQL manual, "Writing SECURITY DEFINER Functions Safely").
do $$
declare
  ours regprocedure;
begin
  for ours in
    select p.oid::pg_catalog.regprocedure
    from pg_catalog.pg_proc p
    where p.pronamespace in ('ecompipe'::pg_catalog.regnamespace, 'analytics'::pg_catalog.regnamespace)
      and (p.prosecdef or p.proconfig::pg_catalog.text like '%search_path=pg_catalog}' or p.proconfig::pg_catalog.text like '%search_path=pg_catalog,%')
  loop
    execute format('alter function %s set search_path = pg_catalog, pg_temp', ours);
  end loop;
end
$$;

-- An analyst with SELECT doubled the revenue, or emptied the rollups. A trigger's function needs no right to be run by it.
revoke execute on function analytics.note_batch(), analytics.refresh(), analytics.rebuild() from public;

-- Whoever loads keeps the rollups fresh, and whoever takes events out (undo) rebuilds them; they did so by the right of everybody.
do $$
declare
  task record;
begin
  for task in
    select distinct w.signature, a.grantee::pg_catalog.regrole as grantee
    from (values
      ('analytics.refresh()', 'ecompipe.batches'::pg_catalog.regclass, 'INSERT'),
      ('analytics.rebuild()', 'public.events'::pg_catalog.regclass, 'DELETE')
    ) as w (signature, relation, privilege)
    join pg_catalog.pg_class c on c.oid = w.relation
    cross join pg_catalog.aclexplode(c.relacl) a
    where a.privilege_type = w.privilege and a.grantee <> 0 and a.grantee <> c.relowner
  loop
    execute format('grant execute on function %s to %s', task.signature, task.grantee);
  end loop;
end
$$;
