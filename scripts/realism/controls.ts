import type { Client } from 'pg';

/**
 * What event generators usually do: every column is a uniform choice of its own. The scorecard must tell it from a shop.
 * The table is `control.events`.
 */
export async function createUniformControl(client: Client, rows: number): Promise<void> {
  await client.query(`
    drop schema if exists control cascade;
    create schema control;
    select setseed(0.42);
    create table control.events as
    select gen_random_uuid() as event_id, event_type, event_time, 'u' || floor(random() * 5000)::int as user_id, 's' || floor(random() * ${Math.round(rows / 10)})::int as session_id,
           (array['mobile', 'desktop', 'tablet'])[1 + floor(random() * 3)::int] as device, (array['DE', 'FR', 'GB', 'US'])[1 + floor(random() * 4)::int] as country,
           case when needs_product then 'p' || floor(random() * 1000)::int end as product_id,
           case when needs_product then round((5 + random() * 495)::numeric, 2) end as price,
           case when needs_product then 1 + floor(random() * 5)::int end as quantity,
           case when event_type = 'purchase' then 'o' || n end as order_id, null::text as coupon
    from (
      select n, timestamptz '2026-10-05' + random() * interval '28 days' as event_time, 1 + floor(random() * 8)::int as choice from generate_series(1, ${rows}) as n
    ) as drawn
    cross join lateral (select (array['session_start', 'page_view', 'search', 'view_item', 'add_to_cart', 'remove_from_cart', 'begin_checkout', 'purchase'])[choice] as event_type) as typed
    cross join lateral (select event_type in ('view_item', 'add_to_cart', 'remove_from_cart', 'purchase') as needs_product) as rule;
  `);
}

/** Good events whose session ids are dealt out anew: what rests on sessions must fall apart. */
export async function createShuffledControl(client: Client): Promise<void> {
  await client.query(`
    drop schema if exists control cascade;
    create schema control;
    select setseed(0.42);
    create table control.events as
    select event_id, event_type, event_time, user_id, dealt.session_id, device, country, product_id, price, quantity, order_id, coupon
    from (select *, row_number() over (order by event_id) as n from public.events) as event
    join (select session_id, row_number() over (order by random()) as n from public.events) as dealt using (n);
  `);
}
