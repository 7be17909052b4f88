import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { listen, type Listening } from '../../platform/httpServer.js';
import { loadAssets, type Asset } from './assets.js';
import type { Feed } from './feed.js';
import { DEFAULT_RANGE, parseRange, RANGES, type Range } from './ranges.js';
import type { Snapshot } from './snapshot.js';

/** More than that many pages at once is no audience but a mistake. */
const MAX_WATCHERS = 50;
const HEARTBEAT_MS = 15_000;

/** Nothing from elsewhere, nothing inline: what comes from a file could not run even if the page put it in as markup. */
const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

/**
 * Serves the page, `/api/snapshot` (JSON) and `/api/events` (the same as server-sent events, one a second), both with
 * `?range=` of those in `RANGES`. Read-only.
 * @param portFlag names the setting of `port` in the error when it can't be had.
 * @throws EcompipeError when the port can't be had.
 */
export async function serveDashboard(
  feed: Feed,
  { host, port, portFlag }: { readonly host: string; readonly port: number; readonly portFlag: string },
): Promise<Listening> {
  const assets = await loadAssets();
  let watchers = 0;
  const server = await listen(host, port, { name: 'the dashboard', portFlag }, (request, response) => {
    for (const [name, value] of Object.entries(SECURITY)) response.setHeader(name, value);
    if (!isOurName(request.headers.host, host))
      fail(response, 421, `this is the dashboard of ecompipe, not ${JSON.stringify(request.headers.host ?? '')}`);
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      fail(response, 405, 'the dashboard only shows; use GET');
    else route(request, response);
  });
  const route = (request: IncomingMessage, response: ServerResponse): void => {
    const [place = '/', query] = (request.url ?? '/').split('?');
    const range = parseRange(new URLSearchParams(query).get('range'));
    if (place.startsWith('/api/') && range === undefined)
      fail(response, 400, `there is no such range; there are ${Object.keys(RANGES).join(', ')}`);
    else answer(place, range ?? DEFAULT_RANGE, request, response);
  };
  const answer = (place: string, range: Range, request: IncomingMessage, response: ServerResponse): void => {
    if (place === '/api/events' && request.method === 'GET') {
      if (watchers >= MAX_WATCHERS) {
        fail(response, 503, 'too many pages are open');
        return;
      }
      watchers += 1;
      sendEvents(feed, range, response, () => (watchers -= 1));
    } else if (place === '/api/snapshot') {
      feed.snapshot(range).then(
        (snapshot) => send(response, { type: 'application/json', body: Buffer.from(JSON.stringify(snapshot)) }),
        (error: unknown) => fail(response, 500, String(error)),
      );
    } else {
      const asset = assets.get(place);
      if (asset === undefined) fail(response, 404, 'there is no such page');
      else send(response, asset);
    }
  };
  return server;
}

/**
 * Another site's page can make a browser resolve its own name to our address (DNS rebinding), and would then read what
 * we serve; but its requests still carry its name. Addresses are nobody's name.
 */
function isOurName(header: string | undefined, host: string): boolean {
  const name = header
    ?.replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  if (name === undefined) return false;
  return isIP(name) !== 0 || ['localhost', host.toLowerCase(), hostname().toLowerCase()].includes(name);
}

function send(response: ServerResponse, { type, body }: Asset): void {
  response.writeHead(200, { 'content-type': type, 'content-length': body.length });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function fail(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`);
}

/** A page that can't keep up gets the newest snapshot when it can, not all that it missed. */
function sendEvents(feed: Feed, range: Range, response: ServerResponse, onEnd: () => void): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 1000\n\n');
  const tell = (snapshot: Snapshot): void => {
    if (!response.writableNeedDrain) response.write(`data: ${JSON.stringify(snapshot)}\n\n`);
  };
  const unwatch = feed.watch(range, tell);
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(': still here\n\n');
  }, HEARTBEAT_MS);
  response.on('close', () => {
    clearInterval(heartbeat);
    unwatch();
    onEnd();
  });
}
