import { hostname } from 'node:os';
import { clip, printable } from '../printable.js';
import { countOf } from '../format.js';
import type { Logger } from '../log.js';
import { version } from '../version.js';
import { pause, WakeSignal } from '../wait.js';
import { post, WebhookError, type Webhook } from './webhook.js';

/** Something that a person should hear of. */
export interface Notice {
  /** Stable name of its kind. */
  readonly event: string;
  /** What happened, in a sentence. */
  readonly text: string;
  readonly facts: Readonly<Record<string, string | number | undefined>>;
}

/** What is posted: one notice, or all of one kind that came within a minute. */
export interface NoticePayload {
  readonly event: string;
  /** Under this name the webhooks of chat services (Slack, Mattermost) expect what they show. */
  readonly text: string;
  /** When the first of them happened. */
  readonly time: string;
  readonly host: string;
  readonly command: string;
  readonly version: string;
  /** How many there were. */
  readonly count: number;
  /** The facts of the first of them. */
  readonly details: readonly Notice['facts'][];
}

/** Of each kind there is a post at once, and then at most one in this time. */
const INTERVAL_MS = 60_000;
const MAX_DETAILS = 20;
/** 1 s, 2 s, 4 s, … a minute: for about five minutes. */
const MAX_ATTEMPTS = 10;
const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 60_000;
/** At the end, posts that are pending get so long, with shorter pauses between attempts. */
const CLOSE_WITHIN_MS = 5000;
const CLOSING_DELAY_MS = 500;

interface Pending {
  readonly first: Notice;
  readonly atMs: number;
  count: number;
  readonly details: Notice['facts'][];
}

/**
 * Posts notices one after the other, in the background: whoever notifies waits for nothing and hears of no failure. What
 * comes while a post of its kind is under way or not due yet is counted into the next one. So what waits is one entry for
 * each kind, however many notices there are.
 */
export class Notifier {
  private readonly pending = new Map<string, Pending>();
  private readonly nextAtMs = new Map<string, number>();
  private readonly wake = new WakeSignal();
  private readonly closing = new AbortController();
  private readonly deadline = new AbortController();
  private readonly ended: Promise<void>;

  constructor(
    private readonly webhook: Webhook,
    private readonly command: string,
    private readonly log: Logger,
  ) {
    this.ended = this.run();
  }

  readonly notify = (notice: Notice): void => {
    const known = this.pending.get(notice.event);
    const pending = known ?? { first: notice, atMs: Date.now(), count: 0, details: [] };
    if (known === undefined) this.pending.set(notice.event, pending);
    pending.count += 1;
    if (pending.details.length < MAX_DETAILS) pending.details.push(clipFacts(notice.facts));
    this.wake.notify();
  };

  /** Posts what is pending, and waits for that a few seconds at most. */
  async close(): Promise<void> {
    this.closing.abort();
    const timer = setTimeout(() => this.deadline.abort(), CLOSE_WITHIN_MS);
    await this.ended;
    clearTimeout(timer);
  }

  private async run(): Promise<void> {
    for (;;) {
      const nowMs = performance.now();
      const waits = [...this.pending.keys()].map((event) => ({
        event,
        ms: this.isClosing() ? 0 : (this.nextAtMs.get(event) ?? 0) - nowMs,
      }));
      const [next] = waits.sort((a, b) => a.ms - b.ms);
      if (next !== undefined && next.ms <= 0) await this.deliver(next.event);
      else if (this.isClosing()) return;
      else await this.wake.wait(next?.ms ?? INTERVAL_MS, this.closing.signal);
    }
  }

  private isClosing(): boolean {
    return this.closing.signal.aborted;
  }

  /** Sends what is pending of a kind, again after a failure. What comes meanwhile is for the next post. */
  private async deliver(event: string): Promise<void> {
    const pending = this.pending.get(event);
    if (pending === undefined) return;
    this.pending.delete(event);
    for (let attempt = 1; ; attempt++) {
      try {
        await post(this.webhook, this.payloadOf(pending), this.deadline.signal);
        this.log.debug('notified', `notified ${this.webhook.label} of ${event}`, { notice: event });
        break;
      } catch (thrown) {
        // Nothing that goes wrong here may end the loading.
        const error = thrown instanceof WebhookError ? thrown : new WebhookError(String(thrown), true);
        if (error.isFinal || attempt === MAX_ATTEMPTS || this.deadline.signal.aborted) {
          this.reportLost(event, pending, error);
          break;
        }
        this.log[attempt === 1 ? 'warn' : 'debug'](
          'notify_retry',
          `cannot notify ${this.webhook.label}: ${error.message}; trying again`,
          { notice: event, attempt },
        );
        await this.pauseAfter(attempt, error);
      }
    }
    this.nextAtMs.set(event, performance.now() + INTERVAL_MS);
  }

  private reportLost(event: string, { count }: Pending, error: WebhookError): void {
    this.log.warn(
      'notify_failed',
      `${countOf(count, 'notice')} of ${event} did not reach ${this.webhook.label}: ${error.message}`,
      { notice: event, count },
    );
  }

  /** A close in the middle of a long pause ends it: there are a few seconds left to try. */
  private async pauseAfter(attempt: number, { retryAfterMs }: WebhookError): Promise<void> {
    if (this.isClosing()) {
      await pause(CLOSING_DELAY_MS, this.deadline.signal);
      return;
    }
    const delayMs = FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
    await pause(Math.min(MAX_DELAY_MS, Math.max(delayMs, retryAfterMs)), this.closing.signal);
  }

  private payloadOf({ first, atMs, count, details }: Pending): NoticePayload {
    const more = count === 1 ? '' : ` (and ${countOf(count - 1, 'more', 'more')})`;
    return {
      event: first.event,
      text: `ecompipe ${this.command}: ${clip(printable(first.text))}${more}`,
      time: new Date(atMs).toISOString(),
      host: hostname(),
      command: this.command,
      version: version(),
      count,
      details,
    };
  }
}

function clipFacts(facts: Notice['facts']): Notice['facts'] {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [name, typeof value === 'string' ? clip(value) : value]),
  );
}
