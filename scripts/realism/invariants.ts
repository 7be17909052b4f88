/** A rule that every row keeps, as a query of the rows that break it. */
export interface Invariant {
  readonly rule: string;
  /** Selects a line of text per violation. */
  readonly sql: string;
}

/** What is in a cart when an event happens: added minus taken out, earlier in the session. */
const BALANCE = `
  select event_id, event_type, event_time, session_id, product_id, quantity,
         coalesce(sum(case event_type when 'add_to_cart' then quantity when 'remove_from_cart' then -quantity else 0 end)
           over (partition by session_id, product_id order by event_time, event_id rows between unbounded preceding and 1 preceding), 0) as of_product,
         coalesce(sum(case event_type when 'add_to_cart' then quantity when 'remove_from_cart' then -quantity else 0 end)
           over (partition by session_id order by event_time, event_id rows between unbounded preceding and 1 preceding), 0) as in_cart
  from events`;

export const INVARIANTS: readonly Invariant[] = [
  {
    rule: 'a purchase line was in the cart at that moment',
    sql: `select event_id::text from (${BALANCE}) as cart where event_type = 'purchase' and of_product <> quantity`,
  },
  {
    rule: 'only what is in the cart is taken out',
    sql: `select event_id::text from (${BALANCE}) as cart where event_type = 'remove_from_cart' and of_product < quantity`,
  },
  {
    rule: 'begin_checkout needs a cart',
    sql: `select event_id::text from (${BALANCE}) as cart where event_type = 'begin_checkout' and in_cart <= 0`,
  },
  {
    rule: 'one price per item and day unless promoted',
    sql: "select product_id || ' on ' || (event_time at time zone 'UTC')::date from events where product_id is not null and coupon is null group by product_id, (event_time at time zone 'UTC')::date having count(distinct price) > 1",
  },
  {
    rule: 'time runs forward in a session: ids sort as times',
    sql: 'select event_id::text from (select event_id, event_time, lag(event_time) over (partition by session_id order by event_id) as earlier from events) as step where event_time < earlier',
  },
  {
    rule: 'a session starts with session_start, once',
    sql: "select session_id from (select session_id, event_type, row_number() over (partition by session_id order by event_time, event_id) as step from events) as ordered where (step = 1) <> (event_type = 'session_start')",
  },
  {
    rule: 'a session has one user, one device, one country',
    sql: 'select session_id from events group by session_id having count(distinct user_id) > 1 or count(distinct device) > 1 or count(distinct country) > 1',
  },
  {
    rule: 'an order_id is one order: one user, one session, one moment',
    sql: "select order_id from events where event_type = 'purchase' group by order_id having count(distinct user_id) > 1 or count(distinct session_id) > 1 or count(distinct event_time) > 1",
  },
  {
    rule: 'an order lists an item once',
    sql: "select order_id || ' ' || product_id from events where event_type = 'purchase' group by order_id, product_id having count(*) > 1",
  },
  {
    rule: 'a refund follows its purchase, of no more at the same price',
    sql: "select refund.event_id::text from events as refund left join events as purchase on purchase.event_type = 'purchase' and purchase.order_id = refund.order_id and purchase.product_id = refund.product_id and purchase.user_id = refund.user_id where refund.event_type = 'refund' and (purchase.event_id is null or purchase.event_time >= refund.event_time or purchase.quantity < refund.quantity or purchase.price <> refund.price)",
  },
  {
    rule: 'what is put into the cart was looked at before in the session',
    sql: "select event_id::text from (select event_id, event_type, count(*) filter (where event_type = 'view_item') over (partition by session_id, product_id order by event_time, event_id) as views from events where product_id is not null) as seen where event_type = 'add_to_cart' and views = 0",
  },
  { rule: 'ids are unique', sql: 'select event_id::text from events group by event_id having count(*) > 1' },
];
