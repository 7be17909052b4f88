/** A country that the shop sells to, and how its people differ. */
export interface Country {
  readonly code: string;
  readonly share: number;
  /** Hours that the clock is ahead of UTC in winter; all of them keep the summer time of the European Union. */
  readonly utcOffsetHours: number;
  readonly language: Language;
  /** How half of the orders are paid; the rest as everywhere. */
  readonly favouritePayment: PaymentType;
}

export const PAYMENT_TYPES = ['card', 'paypal', 'apple_pay', 'bank_transfer', 'invoice', 'ideal', 'blik'] as const;
export type PaymentType = (typeof PAYMENT_TYPES)[number];

export type Language = 'en' | 'de' | 'fr' | 'es' | 'pl' | 'el';

export const COUNTRIES: readonly Country[] = [
  { code: 'DE', share: 0.34, utcOffsetHours: 1, language: 'de', favouritePayment: 'paypal' },
  { code: 'FR', share: 0.15, utcOffsetHours: 1, language: 'fr', favouritePayment: 'card' },
  { code: 'GB', share: 0.12, utcOffsetHours: 0, language: 'en', favouritePayment: 'card' },
  { code: 'NL', share: 0.09, utcOffsetHours: 1, language: 'en', favouritePayment: 'ideal' },
  { code: 'PL', share: 0.08, utcOffsetHours: 1, language: 'pl', favouritePayment: 'blik' },
  { code: 'ES', share: 0.07, utcOffsetHours: 1, language: 'es', favouritePayment: 'card' },
  { code: 'AT', share: 0.06, utcOffsetHours: 1, language: 'de', favouritePayment: 'invoice' },
  { code: 'CH', share: 0.05, utcOffsetHours: 1, language: 'de', favouritePayment: 'invoice' },
  { code: 'IE', share: 0.02, utcOffsetHours: 0, language: 'en', favouritePayment: 'apple_pay' },
  { code: 'GR', share: 0.02, utcOffsetHours: 2, language: 'el', favouritePayment: 'bank_transfer' },
];

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** Milliseconds that local clocks are ahead of UTC because of summer time (Directive 2000/84/EC: from 01:00 UTC on the last Sunday of March to that of October). */
export function summerTimeMs(epochMs: number): number {
  const year = new Date(epochMs).getUTCFullYear();
  return epochMs >= lastSundayAtOne(year, 2) && epochMs < lastSundayAtOne(year, 9) ? HOUR_MS : 0;
}

function lastSundayAtOne(year: number, month: number): number {
  const lastDay = new Date(Date.UTC(year, month + 1, 0));
  return Date.UTC(year, month, lastDay.getUTCDate() - lastDay.getUTCDay(), 1);
}
