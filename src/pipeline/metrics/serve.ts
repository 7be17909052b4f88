import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from '../../platform/files/atomicWrite.js';
import { withFileErrors } from '../../platform/errors.js';
import { assertProtected, createAccessCheck, refuse } from '../../platform/httpAccess.js';
import { listen, type Listening } from '../../platform/httpServer.js';
import type { PipelineMetrics } from './metrics.js';

export interface MetricsServerSettings {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** What `/metrics` asks for, as a bearer token. Needed where other machines reach the address. */
  readonly token?: string | undefined;
}

/**
 * Serves `/metrics`, `/healthz` (200 while the process lives) and `/readyz` (503 until it works, and while the database
 * does not answer) over HTTP. The probes of orchestrators send no token: the latter two tell a word, and ask for none.
 * @throws UsageError without the token that the address needs; EcompipeError when the port can't be had.
 */
export async function serveMetrics(metrics: PipelineMetrics, settings: MetricsServerSettings): Promise<Listening> {
  const { host, port, token } = settings;
  assertProtected(host, token, {
    host: '--metrics-host',
    secret: 'ECOMPIPE_METRICS_TOKEN',
    file: '--metrics-token-file',
  });
  const refusalOf = createAccessCheck({ host, scheme: 'Bearer', realm: 'metrics of ecompipe', secret: token });
  return await listen(
    { host, port, what: 'metrics', portFlag: '--metrics-port', keepAlive: false },
    (request, response) => {
      const answer = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
        response
          .writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
          .end(request.method === 'HEAD' ? undefined : body);
      };
      const place = request.url?.split('?')[0];
      const refusal = isOpen(place, token) ? undefined : refusalOf(request);
      if (refusal !== undefined) {
        refuse(response, refusal);
        return;
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        answer(405, 'only GET\n');
        return;
      }
      switch (place) {
        case '/metrics':
          metrics.registry.metrics().then(
            (text) => answer(200, text, metrics.registry.contentType),
            (error: unknown) => answer(500, `${String(error)}\n`),
          );
          break;
        case '/healthz':
          answer(200, 'ok\n');
          break;
        case '/readyz':
          if (metrics.isReady()) answer(200, 'ready\n');
          else answer(503, 'not ready: starting, or the database does not answer\n');
          break;
        default:
          answer(404, 'this serves /metrics, /healthz and /readyz\n');
      }
    },
  );
}

function isOpen(place: string | undefined, token: string | undefined): boolean {
  return token !== undefined && (place === '/healthz' || place === '/readyz');
}

/** @throws FileError when the textfile's directory can't be written: better known before a long load than after it. */
export async function assertTextfile(file: string): Promise<void> {
  const directory = path.dirname(file);
  await withFileErrors('write metrics into', directory, () => access(directory, constants.W_OK | constants.X_OK));
}

/** Writes all metrics to a file for the node exporter's textfile collector, which reads `*.prom`; it sees the old or the new one, whole. */
export async function writeTextfile({ registry }: PipelineMetrics, file: string): Promise<void> {
  // For everybody: the exporter is another user's, and there are only numbers in it.
  const options = { mode: 0o644, isDurable: false };
  await withFileErrors('write', file, async () => replaceFile(file, await registry.metrics(), options));
}
