import type { Catalogue } from './catalogue.js';

/** Pages that every shop has. */
export const FIXED_PAGES = [
  '/',
  '/cart',
  '/checkout',
  '/checkout/shipping',
  '/checkout/payment',
  '/checkout/thanks',
  '/account/orders',
  '/account/returns',
  '/sale',
  '/magazine',
  '/help/delivery',
] as const;

export const PAGE = {
  home: 0,
  cart: 1,
  checkout: 2,
  shipping: 3,
  payment: 4,
  thanks: 5,
  orders: 6,
  returns: 7,
} as const;
/** Pages without products that people land on. */
export const CONTENT_PAGES = [8, 9, 10] as const;

/** Numbers all pages of the shop: fixed ones, categories, searches and products, one range behind the other. */
export class Pages {
  private readonly firstCategory = FIXED_PAGES.length;
  private readonly firstTerm: number;
  private readonly firstItem: number;

  constructor(private readonly catalogue: Catalogue) {
    this.firstTerm = this.firstCategory + catalogue.categories.length;
    this.firstItem = this.firstTerm + catalogue.terms.length;
  }

  category(category: number): number {
    return this.firstCategory + category;
  }

  search(term: number): number {
    return this.firstTerm + term;
  }

  item(item: number): number {
    return this.firstItem + item;
  }

  /** The search term of a search page, as an index into the catalogue's. */
  termOf(page: number): number {
    return page - this.firstTerm;
  }

  /** `page_url` of every page, in the order of their numbers. */
  urls(): string[] {
    return [
      ...FIXED_PAGES,
      ...this.catalogue.categories.map(({ slug }) => `/c/${slug.replace('.', '/')}`),
      ...this.catalogue.terms.map(({ text }) => `/search?q=${encodeURIComponent(text).replaceAll('%20', '+')}`),
      ...this.catalogue.items.map(({ id }) => `/p/${id}`),
    ];
  }
}
