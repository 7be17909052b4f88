import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type pg from 'pg';

/** What we need of pg's client and pg does not declare: the one place to look at when pg is updated. */
interface ClientInternals {
  /** Of the server process, by its greeting; a pooler's own invention behind a pooler. */
  readonly processID: number;
  /** With the process id it lets cancel what the session runs. */
  readonly secretKey: number;
  /** No statement is under way. */
  readonly readyForQuery: boolean;
  /** Emits an event for each message of the server. */
  readonly connection: EventEmitter & { readonly stream: Socket };
  readonly connectionParameters: { host: string; options: string };
}

export function internalsOf(client: pg.Client): ClientInternals {
  return client as unknown as ClientInternals;
}
