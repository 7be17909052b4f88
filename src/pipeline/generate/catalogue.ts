import { AliasTable, PURPOSE, Random, type StreamKey } from './random.js';
import { CATEGORIES, type Category } from './assortment.js';
import { COUNTRIES, type Language } from './geography.js';
import { exp, normalQuantile, pow } from './math.js';
import type { Profile } from './profile.js';

export interface Item {
  readonly id: string;
  readonly name: string;
  readonly brand: string;
  /** Index into {@link Catalogue.categories}. */
  readonly category: number;
  /** List price in hundredths; constant over a run, so that an item has one price a day. */
  readonly priceCents: number;
}

/** What the shop sells, and how probable it is that somebody looks at it. */
export interface Catalogue {
  readonly categories: readonly Category[];
  readonly items: readonly Item[];
  readonly terms: readonly SearchTerm[];
  /** Draws a category by the popularity of all its items. */
  readonly drawCategory: (random: Random) => number;
  /** Draws an item of a category by popularity. */
  readonly drawItem: (category: number, random: Random) => number;
  /** Draws what a person from a country types to find a category; an index into {@link terms}. */
  readonly drawTerm: (category: number, country: number, random: Random) => number;
}

export interface SearchTerm {
  readonly text: string;
  readonly category: number;
  readonly language: Language;
}

/** Spread of prices within a category; with the medians of the categories it makes sd ln(price) about 1.1 (REES46). */
const PRICE_SIGMA = 0.7;
const ITEMS_PER_BRAND = 12;

/** @param size number of items, at least one. */
export async function createCatalogue(profile: Profile, size: number, key: StreamKey): Promise<Catalogue> {
  const random = new Random(key, PURPOSE.catalogue);
  const wanted = profile.categories;
  const categories = CATEGORIES.filter(
    ({ slug }) => wanted.length === 0 || wanted.some((start) => slug.startsWith(start)),
  );
  const names = await createNames(random.uint32(), Math.min(2000, Math.ceil(size / ITEMS_PER_BRAND)));
  // A category can be drawn only if it has an item, hence the round of one each.
  const items = Array.from({ length: size }, (_, index): Item => {
    const category = index < categories.length ? index : random.below(categories.length);
    const kind = categories[category] as Category;
    return {
      id: `P${(100_000_000 + index).toString().slice(1)}`,
      name: names.productName(kind, random),
      brand: random.pick(names.brands),
      category,
      priceCents: priceCents(kind.medianPrice * profile.priceLevel, random),
    };
  });
  const popularity = popularityByItem(profile, size, random);
  const itemsOf = categories
    .map((_, category) => items.flatMap((item, index) => (item.category === category ? [index] : [])))
    .map((indices) => Int32Array.from(indices));
  const itemTables = itemsOf.map((indices) =>
    indices.length === 0 ? undefined : new AliasTable(Array.from(indices, (index) => popularity[index] as number)),
  );
  const categoryTable = new AliasTable(
    itemsOf.map((indices) => indices.reduce((sum, index) => sum + (popularity[index] as number), 0)),
  );
  const terms = categories.flatMap((kind, category) =>
    Object.entries(kind.terms).flatMap(([language, texts]) =>
      texts.map((text): SearchTerm => ({ text, category, language: language as Language })),
    ),
  );
  const termsFor = categories.map((_, category) =>
    COUNTRIES.map(({ language }) =>
      terms.flatMap((term, index) => (term.category === category && term.language === language ? [index] : [])),
    ),
  );
  return {
    categories,
    items,
    terms,
    drawCategory: (draws) => categoryTable.draw(draws),
    drawItem: (category, draws) => itemsOf[category]?.[itemTables[category]?.draw(draws) ?? 0] ?? 0,
    drawTerm: (category, country, draws) => draws.pick(termsFor[category]?.[country] as readonly number[]),
  };
}

function priceCents(median: number, random: Random): number {
  const price = median * exp(PRICE_SIGMA * normalQuantile((random.below(4096) + 0.5) / 4096));
  // Shops end prices on 9: 12.49, 349.00.
  return price < 100 ? Math.max(99, Math.round(price * 10) * 10 - 1) : Math.round(price) * 100 - 100;
}

/** Weight of every item; the ranks are shuffled over the catalogue, because popular things are not all of one kind. */
function popularityByItem(profile: Profile, size: number, random: Random): Float64Array {
  const { exponent, flattening } = profile.popularity;
  const weights = Float64Array.from({ length: size }, (_, rank) => 1 / pow(rank + 1 + flattening * size, exponent));
  for (let last = size - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [weights[last], weights[other]] = [weights[other] as number, weights[last] as number];
  }
  return weights;
}

/** Texts of the catalogue. */
export interface Names {
  readonly brands: readonly string[];
  readonly productName: (category: Category, random: Random) => string;
}

/**
 * Makes names with faker. It is imported here and not at the top because that takes 70 ms, and it is asked for word
 * lists only: which word goes where is drawn from our own stream. A faker release that edits its lists changes the
 * bytes of a seed all the same; the test of the catalogue's fingerprint says so before a golden hash does.
 */
export async function createNames(seed: number, brandCount: number): Promise<Names> {
  const { faker } = await import('@faker-js/faker/locale/en');
  faker.seed(seed);
  const brands = new Set<string>();
  for (let attempt = 0; brands.size < brandCount && attempt < brandCount * 20; attempt++)
    brands.add(faker.company.name());
  const adjectives = [...new Set(Array.from({ length: 200 }, () => faker.commerce.productAdjective()))];
  const materials = [...new Set(Array.from({ length: 200 }, () => faker.commerce.productMaterial()))];
  return {
    brands: [...brands],
    productName: (category, random) =>
      `${random.pick(adjectives)} ${random.pick(materials)} ${random.pick(category.nouns)}`,
  };
}
