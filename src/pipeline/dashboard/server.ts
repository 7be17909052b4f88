import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assertProtected, createAccessCheck, refuse } from '../../platform/httpAccess.js';
import { listen, type Listening } from '../../platform/httpServer.js';
import type { SnapshotFeed } from './feed.js';
import { DEFAULT_RANGE, parseRange, RANGES, type TimeRange } from './ranges.js';
import type { Snapshot } from './snapshot.js';

/** One file of the page, in memory. */
export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

/** The page lies beside src/ and dist/ in the package, as sql/ does: nothing is built. */
const PAGE = new URL('../../../page/', import.meta.url);
const FILES = [
  'index.html',
  'style.css',
  'app.js',
  'names.js',
  'pipeline.js',
  'range.js',
  'shop.js',
  'charts.js',
  'format.js',
  'tables.js',
  'theme.js',
  'icon.svg',
];
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** All that the page consists of, by the path it is asked for; nothing else of the disk can be. */
export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const uplot = path.dirname(createRequire(import.meta.url).resolve('uplot'));
  const sources: [name: string, file: URL | string][] = [
    ...FILES.map((name): [string, URL] => [name, new URL(name, PAGE)]),
    ['uplot.js', path.join(uplot, 'uPlot.esm.js')],
    ['uplot.css', path.join(uplot, 'uPlot.min.css')],
  ];
  const assets = await Promise.all(
    sources.map(async ([name, file]): Promise<[string, Asset]> => [
      name === 'index.html' ? '/' : `/${name}`,
      { type: TYPES[path.extname(name)] ?? 'application/octet-stream', body: await readFile(file) },
    ]),
  );
  return new Map(assets);
}

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

export interface DashboardServerSettings {
  /** Address to listen on. @default '127.0.0.1' */
  readonly host: string;
  /** TCP port; 0: a free one. @default 8787 */
  readonly port: number;
  /** Where the port comes from, for the error when it can't be had. @default 'port' */
  readonly portFlag?: string;
  /** What the browser asks for. Needed where other machines reach the address. @default none */
  readonly password?: string | undefined;
}

/** What a dashboard that other machines reach needs. @throws UsageError when there is none. */
export function assertDashboardProtected({ host, password }: Omit<DashboardServerSettings, 'port' | 'portFlag'>): void {
  assertProtected(host, password, {
    host: 'the dashboard on',
    secret: 'ECOMPIPE_DASHBOARD_PASSWORD',
    file: 'ECOMPIPE_DASHBOARD_PASSWORD_FILE',
  });
}

/**
 * Serves the page, `/api/snapshot` (JSON) and `/api/events` (the same as server-sent events, one a second), both with
 * `?range=` of those in `RANGES`. Read-only.
 * @throws UsageError without the password that the address needs; EcompipeError when the port can't be had.
 */
export async function serveDashboard(feed: SnapshotFeed, settings: DashboardServerSettings): Promise<Listening> {
  assertDashboardProtected(settings);
  const { host, port, portFlag = 'port', password } = settings;
  const assets = await loadAssets();
  const refusalOf = createAccessCheck({ host, scheme: 'Basic', realm: 'dashboard of ecompipe', secret: password });
  return await listen({ host, port, portFlag, what: 'the dashboard', keepAlive: true }, (request, response) => {
    for (const [name, value] of Object.entries(SECURITY)) response.setHeader(name, value);
    const refusal = refusalOf(request);
    if (refusal !== undefined) refuse(response, refusal);
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      fail(response, 405, 'the dashboard only shows; use GET');
    else route(feed, assets, request, response);
  });
}

function route(
  feed: SnapshotFeed,
  assets: ReadonlyMap<string, Asset>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const [place = '/', query] = (request.url ?? '/').split('?');
  const range = parseRange(new URLSearchParams(query).get('range'));
  if (place.startsWith('/api/') && range === undefined)
    fail(response, 400, `there is no such range; there are ${Object.keys(RANGES).join(', ')}`);
  else answer(feed, assets, place, range ?? DEFAULT_RANGE, request, response);
}

function answer(
  feed: SnapshotFeed,
  assets: ReadonlyMap<string, Asset>,
  place: string,
  range: TimeRange,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (place === '/api/events' && request.method === 'GET') sendEvents(feed, range, response);
  else if (place === '/api/snapshot') {
    feed.snapshot(range).then(
      (snapshot) => send(response, { type: 'application/json', body: Buffer.from(JSON.stringify(snapshot)) }),
      (error: unknown) => fail(response, 500, String(error)),
    );
  } else {
    const asset = assets.get(place);
    if (asset === undefined) fail(response, 404, 'there is no such page');
    else send(response, asset);
  }
}

function send(response: ServerResponse, { type, body }: Asset): void {
  response.writeHead(200, { 'content-type': type, 'content-length': body.length });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function fail(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`);
}

/**
 * A page that can't keep up gets the newest snapshot when it can, not all that it missed. How many there are is limited by
 * the connections of the server; one that had to give way to another comes back by itself.
 */
function sendEvents(feed: SnapshotFeed, range: TimeRange, response: ServerResponse): void {
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
  });
}
