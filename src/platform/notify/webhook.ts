import { printableLine } from '../printable.js';
import { InvalidValueError } from '../settings.js';

/** Where notices are posted. */
export interface Webhook {
  /** Without user and password. Its path may be a secret of its own (chat services): it is never shown. */
  readonly url: string;
  readonly authorization: string | undefined;
  /** For people: host and port. */
  readonly label: string;
}

/** So long a receiver may take to answer. */
const ANSWER_WITHIN_MS = 10_000;
/** Client errors that pass (RFC 9110, 6585): a time-out, too early, too many requests. */
const PASSING_STATUS: ReadonlySet<number> = new Set([408, 425, 429]);

/** @throws InvalidValueError that does not show the URL. */
export function parseWebhook(raw: string): Webhook {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new InvalidValueError('expected a URL that begins with http:// or https://');
  const { username, password } = url;
  const authorization =
    username === '' && password === ''
      ? undefined
      : `Basic ${Buffer.from(`${decode(username)}:${decode(password)}`).toString('base64')}`;
  [url.username, url.password, url.hash] = ['', '', ''];
  return { url: url.href, authorization, label: url.host };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidValueError('special characters in the password must be percent-encoded');
  }
}

/** A post that did not get there. */
export class WebhookError extends Error {
  constructor(
    message: string,
    /** The receiver does not want it, however often it is sent. */
    readonly isFinal: boolean,
    /** So long the receiver asks to be left alone, in milliseconds. */
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** Posts JSON. @throws WebhookError, whose message shows nothing of the URL; @param stop gives it up. */
export async function post({ url, authorization }: Webhook, body: unknown, stop: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'ecompipe',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body: JSON.stringify(body),
      // Elsewhere is not where the password was meant to go.
      redirect: 'manual',
      signal: AbortSignal.any([late, stop]),
    });
  } catch (error) {
    const reason = late.aborted ? `no answer within ${ANSWER_WITHIN_MS / 1000} s` : reasonOf(error);
    throw new WebhookError(stop.aborted ? 'no answer before the end of the command' : reason, false);
  }
  // What it says is of no interest, and may have no end.
  await response.body?.cancel().catch(() => undefined);
  if (response.ok) return;
  const isFinal = response.status < 500 && !PASSING_STATUS.has(response.status);
  const retryAfter = Number(response.headers.get('retry-after') ?? 0);
  throw new WebhookError(
    `it answered ${response.status} ${printableLine(response.statusText)}`.trimEnd(),
    isFinal,
    Number.isFinite(retryAfter) ? Math.max(0, retryAfter * 1000) : 0,
  );
}

/** What fetch found, which it calls the cause of its own `fetch failed`; several addresses may have failed at once. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const first: unknown = cause instanceof AggregateError ? (cause.errors as unknown[])[0] : cause;
  return printableLine(first instanceof Error ? first.message : String(first));
}
