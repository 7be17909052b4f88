import type { TestContext } from 'node:test';
import { silentLogger } from '../../../src/platform/log.js';
import { dashboardUrl, withDashboard, type DashboardSettings } from '../../../src/pipeline/dashboard/runDashboard.js';
import { onDatabase } from '../../helpers/migrated.js';
import type { Pipeline } from '../verify/pipeline.js';

/** Serves the dashboard of a pipeline until the end of the test; its address. */
export async function serve(
  t: TestContext,
  { incoming, processing, database }: Pipeline,
  options: { readonly via?: { readonly port: number }; readonly settings?: Partial<DashboardSettings> } = {},
): Promise<string> {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return await new Promise<string>((resolve, reject) => {
    const running = onDatabase(
      database,
      { retryForMs: 0, ...(options.via === undefined ? {} : { via: options.via }) },
      (target) =>
        withDashboard(
          { incomingDir: incoming, processingDir: processing, host: '127.0.0.1', port: 0, ...options.settings },
          target,
          { log: silentLogger },
          async (server) => {
            resolve(dashboardUrl(server));
            await ended;
          },
        ),
    );
    running.catch(reject);
    t.after(async () => {
      end();
      await running.catch(() => undefined);
    });
  });
}
