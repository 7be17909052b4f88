import type { Category } from './assortment.js';
import type { Random } from './random.js';

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
