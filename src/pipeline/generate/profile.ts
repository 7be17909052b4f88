/** Mobile, desktop and tablet, in this order wherever a number goes with a device. */
export const DEVICES = ['mobile', 'desktop', 'tablet'] as const;
type ByDevice = readonly [mobile: number, desktop: number, tablet: number];

/** A lognormal distribution. */
interface Lognormal {
  readonly median: number;
  /** Standard deviation of the natural logarithm. */
  readonly sigma: number;
}

/** How far a session goes at most: each stage includes the ones before it. */
export type Intent = 'bounce' | 'browse' | 'view' | 'cart' | 'checkout' | 'order';

/** Everything that makes one shop's traffic differ from another's. Shares are probabilities unless said otherwise. */
export interface Profile {
  readonly name: string;
  readonly summary: string;
  readonly currency: string;

  /** Share of sessions by device. */
  readonly devices: ByDevice;
  /** Share of sessions of users who came before. */
  readonly returningShare: number;
  /** Share of sessions with a single page and no product. */
  readonly bounce: ByDevice;
  /** What returning multiplies the bounce share by. */
  readonly returningBounce: number;
  /** Of the sessions that do not bounce, those that look at a product. */
  readonly viewing: number;
  /** Of the sessions that look at a product, those that put one into the cart. */
  readonly adding: ByDevice;
  /** Of those, the ones that begin to check out. */
  readonly checkingOut: ByDevice;
  /** Of those, the ones that order. */
  readonly ordering: ByDevice;
  /** What returning multiplies each of the last three by. */
  readonly returningFunnel: readonly [adding: number, checkingOut: number, ordering: number];

  /** Products looked at in a session, by how far it goes. */
  readonly views: Readonly<Record<'view' | 'cart' | 'order', Lognormal>>;
  /** Of the ways to the next product: over a category's list, over the search, the rest over links between products. */
  readonly overList: number;
  readonly overSearch: number;
  /** Lines added to a cart beyond the first, as the probability of each further one: when only added, and when ordered. */
  readonly furtherLine: readonly [added: number, ordered: number];
  /** Chance that a line is taken out of the cart again, and then another one. */
  readonly removal: number;
  /** Orders with a coupon, and orders of which something is sent back. */
  readonly couponShare: number;
  readonly refundShare: number;
  /** Seconds between two actions of a session. */
  readonly gapSeconds: Lognormal;

  /** Popularity of the item of rank r among N: 1 / (r + flattening · N)^exponent. */
  readonly popularity: { readonly exponent: number; readonly flattening: number };
  /** Median price of all categories is multiplied by this. */
  readonly priceLevel: number;
  /** Category slugs must start with one of these; empty: all. */
  readonly categories: readonly string[];

  /** Relative traffic by hour of the local day and by day of the week from Sunday. */
  readonly hours: readonly number[];
  readonly weekdays: readonly number[];
  /** Events an average session has: sets how many sessions make a wanted rate of events. */
  readonly eventsPerSession: number;
}

/** Evening shoppers: trough at 4, peak at 21 o'clock local time (Compete; Taobao UserBehavior; Hitwise). */
const HOURS = [
  0.62, 0.4, 0.29, 0.23, 0.2, 0.25, 0.4, 0.62, 0.83, 0.98, 1.08, 1.14, 1.18, 1.17, 1.15, 1.15, 1.18, 1.23, 1.27, 1.38,
  1.47, 1.57, 1.36, 1.0,
];
const WEEKDAYS = [1.15, 1.01, 0.99, 0.98, 0.97, 0.98, 1.08];

/** A European shop for everything. Its figures are those of shared/REALISM.md, which names the source of each. */
const DEFAULT: Profile = {
  name: 'default',
  summary: 'a European shop with the published averages of the trade',
  currency: 'EUR',
  devices: [0.66, 0.31, 0.03],
  returningShare: 0.5,
  bounce: [0.485, 0.425, 0.455],
  returningBounce: 0.93,
  viewing: 0.83,
  adding: [0.143, 0.18, 0.16],
  checkingOut: [0.52, 0.58, 0.55],
  ordering: [0.43, 0.475, 0.45],
  returningFunnel: [1.3, 1.14, 1.14],
  views: { view: { median: 3.1, sigma: 0.78 }, cart: { median: 6.2, sigma: 0.55 }, order: { median: 8.2, sigma: 0.5 } },
  overList: 0.5,
  overSearch: 0.12,
  furtherLine: [0.48, 0.61],
  removal: 0.15,
  couponShare: 0.12,
  refundShare: 0.08,
  gapSeconds: { median: 16.5, sigma: 1.2 },
  popularity: { exponent: 1.3, flattening: 0.005 },
  priceLevel: 1,
  categories: [],
  hours: HOURS,
  weekdays: WEEKDAYS,
  eventsPerSession: 11.5,
};

/** By name, as `--profile` takes them. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  default: DEFAULT,
  /** REES46 multi-category store, October 2019 to April 2020: 96 % of product rows are views, few carts, dear electronics. */
  rees46: {
    ...DEFAULT,
    name: 'rees46',
    summary: 'like the REES46 multi-category data set: electronics, many views, few carts',
    currency: 'USD',
    adding: [0.075, 0.1, 0.085],
    views: {
      view: { median: 3.1, sigma: 0.95 },
      cart: { median: 7.5, sigma: 0.65 },
      order: { median: 8.5, sigma: 0.6 },
    },
    furtherLine: [0.12, 0.18],
    priceLevel: 2.2,
    eventsPerSession: 11.9,
  },
  /** REES46 cosmetics shop, same months: low prices, large baskets, much taken out again. */
  cosmetics: {
    ...DEFAULT,
    name: 'cosmetics',
    summary: 'like the REES46 cosmetics data set: low prices, large baskets, much put back',
    currency: 'USD',
    adding: [0.3, 0.36, 0.33],
    furtherLine: [0.7, 0.82],
    removal: 0.55,
    priceLevel: 0.25,
    categories: ['beauty'],
    eventsPerSession: 14.5,
  },
  /** The last Friday of November: sessions convert about twice as well, with coupons, and from early in the morning (Adobe Digital Insights). */
  blackfriday: {
    ...DEFAULT,
    name: 'blackfriday',
    summary: 'a sale: more buyers, larger baskets, coupons, busy from the morning on',
    adding: [0.22, 0.29, 0.25],
    checkingOut: [0.58, 0.66, 0.62],
    ordering: [0.52, 0.58, 0.55],
    furtherLine: [0.42, 0.62],
    couponShare: 0.55,
    hours: HOURS.map((weight, hour) => (hour < 7 ? weight * 1.6 : weight + 0.4)),
    weekdays: [1.1, 1.3, 0.8, 0.8, 1.1, 2.6, 1.6],
    eventsPerSession: 12.7,
  },
};
