// Plain names for what the events call their types, steps, devices, sources and countries.
const TYPES = {
  page_view: 'Page view',
  view_item: 'Item view',
  view_item_list: 'List view',
  session_start: 'Visit',
  select_item: 'Item chosen',
  search: 'Search',
  add_to_cart: 'Added to cart',
  remove_from_cart: 'Removed from cart',
  view_cart: 'Cart view',
  add_to_wishlist: 'Added to wishlist',
  begin_checkout: 'Checkout',
  add_shipping_info: 'Shipping info',
  add_payment_info: 'Payment info',
  purchase: 'Purchase',
  refund: 'Refund',
};
const STEPS = {
  session: 'Visit',
  view_item: 'Item view',
  add_to_cart: 'Cart',
  begin_checkout: 'Checkout',
  add_shipping_info: 'Shipping info',
  add_payment_info: 'Payment info',
  purchase: 'Purchase',
};
const STAGES = { generate: 'Generated', move: 'Moved', stream: 'Loaded' };
const countries = new Intl.DisplayNames('en', { type: 'region' });

/** @param {Readonly<Record<string, string>>} names */
const from = (names) => (/** @type {string} */ name) => (Object.hasOwn(names, name) ? (names[name] ?? name) : name);

export const typeName = from(TYPES);
export const stepName = from(STEPS);
export const stageName = from(STAGES);

/** `paid_search` as people write it. @param {string | null} word */
export function plainWord(word) {
  if (word === null) return 'Unknown';
  const text = /^[a-z_]+$/.test(word) ? word.replaceAll('_', ' ') : word;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {string | null} code ISO 3166 */
export function countryName(code) {
  if (code === null) return 'Unknown';
  try {
    return countries.of(code) ?? code;
  } catch {
    return code;
  }
}
