import type { Catalogue } from './catalogue.js';
import { TYPE, type Visit } from './visit.js';
import { COUNTRIES, PAYMENT_TYPES } from './geography.js';
import { draw, lognormalTable, type QuantileTable } from './math.js';
import { CONTENT_PAGES, PAGE, type Pages } from './pages.js';
import type { Intent, Profile } from './profile.js';
import { PURPOSE, Random, type StreamKey } from './random.js';

/** Below this a second click is a double click; above, a session would end (GA4 and Halfaker 2015: 30 minutes). */
const MIN_GAP_MS = 400;
const MAX_GAP_MS = 1_500_000;

export const COUPONS = ['WELCOME10', 'EXTRA15', 'SALE20'] as const;
/** What a coupon takes off, in percent. */
export const COUPON_PERCENT = [10, 15, 20] as const;

const FAVOURITE_PAYMENTS = COUNTRIES.map(({ favouritePayment }) => PAYMENT_TYPES.indexOf(favouritePayment));

/** A cart line: item and quantity. */
export interface Line {
  readonly item: number;
  quantity: number;
}

/**
 * Plays one session from landing to leaving. How far it will go is drawn first, from the profile's funnel; the way there
 * is then walked page by page, so that nothing happens out of order: what is bought was in the cart, what is put there
 * was looked at, and a checkout has a cart. Each session draws from a stream of its own and depends on no other.
 */
export class Simulator {
  private readonly random: Random;
  private readonly gaps: QuantileTable;
  private readonly views: Readonly<Record<'view' | 'cart' | 'order', QuantileTable>>;
  private readonly cart: Line[] = [];
  private visit!: Visit;
  private nowMs = 0;
  private category = 0;

  constructor(
    private readonly profile: Profile,
    private readonly catalogue: Catalogue,
    private readonly pages: Pages,
    private readonly key: StreamKey,
  ) {
    this.random = new Random(key, PURPOSE.visit);
    const { median, sigma } = profile.gapSeconds;
    this.gaps = lognormalTable(median * 1000, sigma);
    const { view, cart, order } = profile.views;
    this.views = {
      view: lognormalTable(view.median, view.sigma),
      cart: lognormalTable(cart.median, cart.sigma),
      order: lognormalTable(order.median, order.sigma),
    };
  }

  /** Fills in all steps of a session that starts at `startMs`; user, device and the like are set. */
  play(visit: Visit, startMs: number): void {
    this.random.restart(this.key, PURPOSE.visit, visit.number);
    this.visit = visit;
    this.nowMs = startMs;
    this.cart.length = 0;
    this.category = this.catalogue.drawCategory(this.random);
    visit.intent = this.drawIntent(visit);
    switch (visit.intent) {
      case 'bounce':
        this.land(this.drawLandingPage());
        break;
      case 'browse':
        this.browse();
        break;
      default:
        this.shop(visit.intent);
    }
  }

  /** A session in which lines of an earlier order are sent back. */
  playRefund(visit: Visit, startMs: number, order: readonly Line[]): void {
    this.random.restart(this.key, PURPOSE.refund, visit.number);
    this.visit = visit;
    this.nowMs = startMs;
    visit.intent = 'browse';
    this.land(PAGE.orders);
    this.wait();
    this.act(TYPE.page_view, PAGE.returns);
    this.wait();
    const all = order.length === 1 || this.random.chance(0.5);
    const one = this.random.below(order.length);
    order.forEach(({ item, quantity }, index) => {
      if (all || index === one) this.act(TYPE.refund, PAGE.returns, item, quantity);
    });
  }

  private drawIntent({ device, returning }: Visit): Intent {
    const { profile, random } = this;
    const [adding, checkingOut, ordering] = returning ? profile.returningFunnel : [1, 1, 1];
    if (random.chance((profile.bounce[device] as number) * (returning ? profile.returningBounce : 1))) return 'bounce';
    if (!random.chance(profile.viewing)) return 'browse';
    if (!random.chance((profile.adding[device] as number) * adding)) return 'view';
    if (!random.chance((profile.checkingOut[device] as number) * checkingOut)) return 'cart';
    return random.chance((profile.ordering[device] as number) * ordering) ? 'order' : 'checkout';
  }

  private drawLandingPage(): number {
    const where = this.random.unit();
    if (where < 0.45) return PAGE.home;
    return where < 0.8 ? this.pages.category(this.category) : this.random.pick(CONTENT_PAGES);
  }

  private land(page: number): void {
    this.act(TYPE.session_start, page);
    this.act(TYPE.page_view, page);
  }

  private browse(): void {
    this.land(this.drawLandingPage());
    for (let more = 1 + this.random.below(3); more > 0; more--) {
      this.wait();
      if (this.random.chance(0.5)) this.openList();
      else this.act(TYPE.page_view, this.random.chance(0.5) ? PAGE.home : this.random.pick(CONTENT_PAGES));
    }
  }

  private shop(intent: 'view' | 'cart' | 'checkout' | 'order'): void {
    let lines = intent === 'view' ? 0 : 1;
    const furtherLine = this.profile.furtherLine[intent === 'order' ? 1 : 0];
    while (lines > 0 && lines < 20 && this.random.chance(furtherLine)) lines++;
    const table = this.views[intent === 'checkout' ? 'order' : intent];
    const views = Math.max(1, lines, Math.min(120, Math.round(draw(table, this.random.uint32()))));
    const landsOnItem = this.random.chance(0.4);
    if (!landsOnItem) this.land(this.drawLandingPage());
    for (let view = 0; view < views; view++) {
      const item = this.drawItem(lines > 0);
      if (view === 0 && landsOnItem) this.land(this.pages.item(item));
      else this.goTo(item);
      this.act(TYPE.view_item, this.pages.item(item), item);
      // Selection sampling (Knuth, TAOCP 2, 3.4.2 S): each view is equally likely to be one that fills the cart.
      if (this.random.unit() * (views - view) < lines) {
        lines--;
        this.addToCart(item);
      } else if (this.random.chance(0.02)) {
        this.wait();
        this.act(TYPE.add_to_wishlist, this.pages.item(item), item);
      }
    }
    if (intent !== 'view') this.goToCart(intent);
  }

  /** Mostly from the category the session is about, which keeps the popularity of items as it is. */
  private drawItem(forCart: boolean): number {
    for (let attempt = 0; ; attempt++) {
      const category = this.random.chance(0.8) ? this.category : this.catalogue.drawCategory(this.random);
      const item = this.catalogue.drawItem(category, this.random);
      if (!forCart || attempt === 5 || !this.cart.some((line) => line.item === item)) return item;
    }
  }

  /** From one page to a product's, over a list, over the search, or by a link. */
  private goTo(item: number): void {
    const way = this.random.unit();
    const { overList, overSearch } = this.profile;
    if (way < overList + overSearch) {
      this.wait();
      const list = way < overList ? this.openList() : this.search();
      this.wait();
      this.act(TYPE.select_item, list, item);
    } else {
      this.wait();
    }
    this.act(TYPE.page_view, this.pages.item(item));
  }

  private openList(): number {
    const list = this.pages.category(this.category);
    this.act(TYPE.page_view, list);
    this.act(TYPE.view_item_list, list);
    return list;
  }

  private search(): number {
    const results = this.pages.search(this.catalogue.drawTerm(this.category, this.visit.country, this.random));
    this.act(TYPE.page_view, results);
    this.act(TYPE.search, results);
    this.act(TYPE.view_item_list, results);
    return results;
  }

  private addToCart(item: number): void {
    this.wait();
    const quantity = this.random.chance(0.9) ? 1 : 2 + this.random.below(2);
    this.act(TYPE.add_to_cart, this.pages.item(item), item, quantity);
    const line = this.cart.find((other) => other.item === item);
    if (line === undefined) this.cart.push({ item, quantity });
    else line.quantity += quantity;
  }

  private goToCart(intent: 'cart' | 'checkout' | 'order'): void {
    if (intent === 'cart' && this.random.chance(0.35)) return;
    this.wait();
    this.act(TYPE.page_view, PAGE.cart);
    this.act(TYPE.view_cart, PAGE.cart);
    while (this.cart.length > (intent === 'cart' ? 0 : 1) && this.random.chance(this.profile.removal)) {
      this.wait();
      const [line] = this.cart.splice(this.random.below(this.cart.length), 1) as [Line];
      this.act(TYPE.remove_from_cart, PAGE.cart, line.item, line.quantity);
    }
    if (intent !== 'cart') this.checkOut(intent);
  }

  private checkOut(intent: 'checkout' | 'order'): void {
    const { visit, random } = this;
    // Where those stop who don't finish: at the summary, at the address or at the payment.
    const last = intent === 'order' ? 3 : random.below(3);
    this.wait();
    this.act(TYPE.page_view, PAGE.checkout);
    this.act(TYPE.begin_checkout, PAGE.checkout);
    if (last >= 1) {
      this.wait();
      this.act(TYPE.page_view, PAGE.shipping);
      this.act(TYPE.add_shipping_info, PAGE.shipping);
    }
    visit.payment = this.drawPayment(visit.country);
    if (last >= 2) {
      this.wait();
      this.act(TYPE.page_view, PAGE.payment);
      this.act(TYPE.add_payment_info, PAGE.payment);
    }
    if (last < 3) return;
    if (random.chance(this.profile.couponShare)) visit.coupon = random.below(COUPONS.length);
    this.wait();
    this.act(TYPE.page_view, PAGE.thanks);
    for (const { item, quantity } of this.cart) this.act(TYPE.purchase, PAGE.thanks, item, quantity);
  }

  /** By the country's habit, or one of the first four types, which are known everywhere. */
  private drawPayment(country: number): number {
    return this.random.chance(0.5) ? (FAVOURITE_PAYMENTS[country] as number) : this.random.below(4);
  }

  /** Lines of the order just played, and whether the customer will send something back. */
  refundedOrder(): readonly Line[] | undefined {
    if (this.visit.intent !== 'order' || !this.random.chance(this.profile.refundShare)) return undefined;
    return this.cart.map((line) => ({ ...line }));
  }

  private wait(): void {
    const gapMs = Math.round(draw(this.gaps, this.random.uint32()));
    this.nowMs += Math.min(Math.max(gapMs, MIN_GAP_MS), MAX_GAP_MS) + this.random.below(100);
  }

  private act(type: number, page: number, item?: number, quantity?: number): void {
    this.visit.add(this.nowMs, type, page, item, quantity);
  }
}
