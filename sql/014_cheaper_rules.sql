-- The rules of events, saying what they said for less. A CHECK does cost something, whatever 001 says: the twelve took a fifth
-- of the time of a COPY. By PostgreSQL 18, in ns a row: 15 for a CHECK that asks nothing, 13 for each comparison of texts, 20
-- more for the first of `= any (…)`, 150 for translate(). All twelve took 840, and take 640 now.
--
-- Each still has its name, and the same column first: that is the one which a reject names.
--
-- Only what is as we made it is replaced. The new rules are NOT VALID until `ecompipe migrate` has looked at the rows that are
-- there, once for all of them and while loads go on: a look in here would be one under an exclusive lock. They hold for
-- new rows at once, and rows that are there met the old ones, which say the same, so there is no moment without a rule.

-- That event_type is one of these types, or that it is none of them. An array costs 20 ns more than the first comparison and
-- 2 ns less than each further one, so from some twenty types on it is cheaper. Types are texts, whatever the column is.
create function ecompipe.type_condition(types text[], is_one boolean) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when cardinality(types) not between 1 and 16 then
      format(case when is_one then 'event_type = any (%L::text[])' else 'event_type <> all (%L::text[])' end, types)
    when is_one then string_agg(format('event_type = %L::text', t.name), ' or ' order by t.position)
    else string_agg(format('event_type <> %L::text', t.name), ' and ' order by t.position)
  end
  from unnest(types) with ordinality as t (name, position)
$$;

-- The rules that the rows of event_types make, and the types that each is about. Types are compared in the order of event_types,
-- which is that of how often they occur. No condition: nothing is required.
create function ecompipe.type_rules(out name text, out column_name text, out types text[], out condition text) returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select r.name, r.column_name, r.types,
         case
           when r.column_name = 'event_type' then ecompipe.type_condition(r.types, true)
           when r.types is not null then concat_ws(' or ',
             r.column_name || ' is not null',
             -- Says nothing new, and spares most rows without the value a long list.
             case when cardinality(r.types) > 4 then ecompipe.type_condition(e.types, true) end,
             ecompipe.type_condition(r.types, false))
         end
  from (
    select array_agg(event_type order by position) as known,
           array_agg(event_type order by position) filter (where needs_product) as product,
           array_agg(event_type order by position) filter (where needs_price) as price,
           array_agg(event_type order by position) filter (where needs_quantity) as quantity,
           array_agg(event_type order by position) filter (where needs_order) as with_order,
           array_agg(event_type order by position) filter (where needs_search_term) as search_term
    from ecompipe.event_types
  ) as t
  cross join lateral (values
    ('events_event_type_known', 'event_type', coalesce(known, '{}')),
    ('events_product_required', 'product_id', product),
    ('events_price_required', 'price', price),
    ('events_quantity_required', 'quantity', quantity),
    ('events_order_required', 'order_id', with_order),
    ('events_search_term_required', 'search_term', search_term)
  ) as r (name, column_name, types)
  cross join lateral (
    select array_agg(f.name order by f.position) as types
    from (select * from unnest(known) with ordinality as k (name, position) where k.name <> all (r.types) order by k.position limit 3) as f
  ) as e
$$;

-- A condition on the rows of a table as this server writes it, to be compared with those in its catalogue.
create function ecompipe.written_condition(target regclass, condition text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  written text;
begin
  execute format('create temporary table ecompipe_condition (like %s)', target);
  execute 'alter table pg_temp.ecompipe_condition add check (' || condition || ')';
  select pg_get_expr(conbin, conrelid) into strict written from pg_constraint where conrelid = 'pg_temp.ecompipe_condition'::regclass and contype = 'c';
  drop table pg_temp.ecompipe_condition;
  return written;
end
$$;

-- Gives a table a CHECK in the place of the one with that name, without a look at its rows; with no condition, only drops it.
create function ecompipe.replace_check(target regclass, rule text, condition text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  replaced oid := (select oid from pg_constraint where conrelid = target and conname = rule);
  remark text := obj_description(replaced, 'pg_constraint');
  heir regclass;
  -- A partition that was attached came with the rule, and keeps its own when the table's is dropped.
  heirs regclass[] := array(
    with recursive family (relation, depth) as (
      select inhrelid, 1 from pg_inherits where inhparent = target
      union all
      select i.inhrelid, f.depth + 1 from family f join pg_inherits i on i.inhparent = f.relation
    )
    select f.relation
    from family f join pg_constraint c on c.conrelid = f.relation and c.conname = rule and c.conislocal and c.coninhcount > 0
    group by f.relation
    order by min(f.depth));
begin
  if replaced is not null then
    execute format('alter table %s drop constraint %I', target, rule);
    foreach heir in array heirs loop
      execute format('alter table %s drop constraint %I', heir, rule);
    end loop;
  end if;
  if condition is not null then
    execute format('alter table %s add constraint %I check (', target, rule) || condition || ') not valid';
    if remark is not null then
      execute format('comment on constraint %I on %s is %L', rule, target, remark);
    end if;
  end if;
end
$$;

-- Adding a type holds up nobody: only rules whose types change are made anew, and without a look at the rows that are there.
-- `ecompipe migrate` looks at those, with a lock that lets loads go on. A rule that has the list of types in it may say more
-- than we did, or say it as before 014: it stays. A rule about a column that somebody dropped stays away.
create or replace function ecompipe.apply_event_types() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  rule record;
begin
  for rule in
    select r.*, c.oid is not null as is_there, pg_get_expr(c.conbin, c.conrelid) as definition
    from ecompipe.type_rules() r
    left join pg_constraint c on c.conrelid = 'public.events'::regclass and c.conname = r.name
    where not exists (
      select from unnest(array['event_type', r.column_name]) as needed
      where needed not in (select attname from pg_attribute where attrelid = 'public.events'::regclass and not attisdropped))
  loop
    if rule.is_there and rule.condition is not null then
      continue when position('''' || replace(rule.types::text, '''', '''''') || '''' in rule.definition) > 0;
      if rule.column_name = 'event_type' then
        -- A longer list has a shorter one in it.
        continue when rule.definition = ecompipe.written_condition('public.events', rule.condition);
      else
        continue when position(' OR ' || ecompipe.written_condition('public.events', ecompipe.type_condition(rule.types, false)) in rule.definition) > 0;
      end if;
    end if;
    if rule.is_there or rule.condition is not null then
      perform ecompipe.replace_check('public.events', rule.name, rule.condition);
    end if;
  end loop;
  return null;
end
$$;

do $$
declare
  rule record;
begin
  for rule in
    select r.name, r.condition, pg_get_constraintdef(c.oid) as definition, r.former
    from (
      values
        ('events_device_known', 'device',
          $sql$ device = any (array['mobile'::text, 'desktop'::text, 'tablet'::text]) $sql$,
          $sql$ device = 'mobile'::text or device = 'desktop'::text or device = 'tablet'::text $sql$),
        -- Two bytes, each of them from A to Z: these operators compare bytes. The commonest countries first, as with currencies,
        -- would spare a shop in one of them 25 to 100 ns, and cost all others as much.
        ('events_country_code', 'country',
          $sql$ octet_length(country) = 2 and translate(country, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = '' $sql$,
          $sql$ octet_length(country) = 2 and country ~>=~ 'AA' and country ~<=~ 'ZZ'
                and reverse(country) ~>=~ 'AA' and reverse(country) ~<=~ 'ZZ' $sql$),
        ('events_currency_code', 'currency',
          $sql$ octet_length(currency) = 3 and translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = '' $sql$,
          $sql$ currency collate "C" = 'USD' or currency collate "C" = 'EUR'
                or octet_length(currency) = 3 and translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = '' $sql$)
      union all
      select t.name, 'event_type',
             case t.column_name
               when 'event_type' then format('event_type = any (%L::text[])', t.types)
               else format('%I is not null or event_type <> all (%L::text[])', t.column_name, t.types)
             end,
             t.condition
      from ecompipe.type_rules() t
      where t.condition is not null
    ) as r (name, compared, former, condition)
    join pg_constraint c on c.conrelid = 'public.events'::regclass and c.contype = 'c' and c.conname = r.name and c.coninhcount = 0
    -- Other types have operators of their own, and to some collations more is equal than the same bytes.
    join pg_attribute a on a.attrelid = c.conrelid and a.attname = r.compared and a.atttypid in ('text'::regtype, 'varchar'::regtype)
    join pg_collation l on l.oid = a.attcollation and l.collisdeterministic
    order by c.conname
  loop
    if regexp_replace(rule.definition, ' NOT VALID$', '') = format('CHECK (%s)', ecompipe.written_condition('public.events', rule.former)) then
      perform ecompipe.replace_check('public.events', rule.name, rule.condition);
    end if;
  end loop;
  -- A look at no rows holds up nobody.
  if pg_relation_size('public.events') = 0 and not exists (select from pg_inherits where inhparent = 'public.events'::regclass) then
    perform ecompipe.validate_constraints('public.events');
  end if;
end
$$;
