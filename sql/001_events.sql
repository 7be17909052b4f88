-- The events of the shop, one row per event and item, and the rules that a row must meet to be one.
-- These types and constraints are the only validator: both load paths ask them, nothing repeats them.

create schema ecompipe;

-- What each type of event must carry. Adding a type is one insert here: the trigger below turns the rows into the
-- constraints of public.events. (Foreign keys would cost a lookup by trigger for every loaded row; a constant in a
-- CHECK costs nothing measurable.)
create table ecompipe.event_types (
  event_type        text primary key,
  needs_product     boolean not null default false,  -- an item row: product_id and price
  needs_quantity    boolean not null default false,
  needs_order       boolean not null default false,
  needs_search_term boolean not null default false,
  position          smallint generated always as identity
);

comment on table ecompipe.event_types is 'Known event types (names of Google Analytics 4) and what each must carry.';

create table public.events (
  event_id       uuid        not null,
  event_type     text        not null,
  event_time     timestamptz not null,
  user_id        text        not null,
  session_id     text        not null,
  device         text,
  country        text,
  traffic_source text,
  page_url       text,
  search_term    text,
  product_id     text,
  product_name   text,
  brand          text,
  category       text,
  price          numeric(12,2),
  quantity       integer,
  currency       text,
  coupon         text,
  payment_type   text,
  order_id       text,
  ingested_at    timestamptz not null default now(),
  batch_id       bigint      default nullif(current_setting('ecompipe.batch_id', true), '')::bigint,

  constraint events_pkey primary key (event_id),
  constraint events_event_time_finite check (isfinite(event_time)),
  constraint events_device_known check (device in ('mobile', 'desktop', 'tablet')),
  -- ISO 3166-1 alpha-2 and ISO 4217 by shape: the assigned codes change more often than a schema should.
  constraint events_country_code check (octet_length(country) = 2 and translate(country, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = ''),
  constraint events_currency_code check (octet_length(currency) = 3 and translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = ''),
  -- 'NaN' compares greater than every number.
  constraint events_price_not_negative check (price >= 0 and price <> 'NaN'),
  constraint events_price_has_currency check (price is null or currency is not null),
  constraint events_quantity_positive check (quantity > 0)
);

comment on table public.events is 'E-commerce events, each exactly once per event_id; loaded by ecompipe.';
comment on column public.events.batch_id is 'The batch that loaded the row (ecompipe.batches); null for rows from elsewhere.';

-- Rows arrive in the order of time and of batches, so that block ranges narrow both at almost no cost to the loader.
create index events_event_time_batch_id_brin on public.events using brin (event_time, batch_id) with (pages_per_range = 32);

create function ecompipe.apply_event_types() returns trigger
language plpgsql
set search_path = pg_catalog
as $$
declare
  known text[] := (select array_agg(event_type order by position) from ecompipe.event_types);
  rule record;
begin
  for rule in
    select *
    from (values
      ('events_event_type_known', null::text, 'event_type = any (%L::text[])', known),
      ('events_product_required', 'product_id', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_product)),
      ('events_price_required', 'price', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_product)),
      ('events_quantity_required', 'quantity', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_quantity)),
      ('events_order_required', 'order_id', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_order)),
      ('events_search_term_required', 'search_term', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_search_term))
    ) as r (name, column_name, template, types)
  loop
    execute format('alter table public.events drop constraint if exists %I', rule.name);
    execute format('alter table public.events add constraint %I check (', rule.name)
      || case when rule.column_name is null
           then format(rule.template, coalesce(rule.types, '{}'))
           else format(rule.template, rule.column_name, coalesce(rule.types, '{}'))
         end || ')';
  end loop;
  return null;
end
$$;

create trigger event_types_are_constraints
  after insert or update or delete or truncate on ecompipe.event_types
  for each statement execute function ecompipe.apply_event_types();

-- In the order of how often they occur: the constraint looks them up from the left.
insert into ecompipe.event_types (event_type, needs_product, needs_quantity, needs_order, needs_search_term) values
  ('view_item',         true,  false, false, false),
  ('page_view',         false, false, false, false),
  ('view_item_list',    false, false, false, false),
  ('session_start',     false, false, false, false),
  ('select_item',       true,  false, false, false),
  ('search',            false, false, false, true),
  ('add_to_cart',       true,  true,  false, false),
  ('view_cart',         false, false, false, false),
  ('remove_from_cart',  true,  true,  false, false),
  ('add_to_wishlist',   true,  false, false, false),
  ('begin_checkout',    false, false, false, false),
  ('add_shipping_info', false, false, false, false),
  ('add_payment_info',  false, false, false, false),
  ('purchase',          true,  true,  true,  false),
  ('refund',            true,  true,  true,  false);
