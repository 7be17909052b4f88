import { EcompipeError, EXIT } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import { type Setting, type SettingsOf, type SettingTable, readSecret } from '../platform/settings.js';
import type { MetricsOptions, PipelineMetrics } from '../pipeline/metrics/metrics.js';
import type { CommandContext, CommandResult } from './command.js';

const port: Setting<number | undefined> = {
  flag: '--metrics-port',
  placeholder: '<port>',
  env: 'ECOMPIPE_METRICS_PORT',
  default: undefined,
  defaultText: 'none',
  parse: parse.optional(parse.integer(0, 65_535)),
  help: 'serve /metrics for Prometheus, /healthz and /readyz; 0: a free port',
};
const textfile: Setting<string | undefined> = {
  flag: '--metrics-textfile',
  placeholder: '<file>',
  env: 'ECOMPIPE_METRICS_TEXTFILE',
  default: undefined,
  parse: parse.optional(parse.directory),
  help: "write the metrics there at the end, for the node exporter's textfile collector (NAME.prom)",
};
const token: Setting<string | undefined> = {
  env: 'ECOMPIPE_METRICS_TOKEN',
  default: undefined,
  parse: parse.optional(parse.text),
  help: 'bearer token that /metrics asks for; needed with --metrics-host',
};
const tokenFile: Setting<string | undefined> = {
  flag: '--metrics-token-file',
  placeholder: '<file>',
  env: 'ECOMPIPE_METRICS_TOKEN_FILE',
  default: undefined,
  parse: parse.optional(parse.directory),
  help: 'file with the token that /metrics asks for (or ECOMPIPE_METRICS_TOKEN)',
};

export const metricsSettings = {
  metricsPort: port,
  metricsHost: {
    flag: '--metrics-host',
    placeholder: '<address>',
    env: 'ECOMPIPE_METRICS_HOST',
    default: '127.0.0.1',
    parse: parse.text,
    help: 'address of --metrics-port; 0.0.0.0: reachable from other machines, with a token',
  },
  metricsToken: token,
  metricsTokenFile: tokenFile,
  metricsTextfile: textfile,
} satisfies SettingTable;

/** What a command tells its metrics; does nothing when nobody wants any. */
export type EventMeter = Pick<PipelineMetrics, 'observe' | 'observeDatabase'>;

const NO_METER: EventMeter = { observe: () => undefined, observeDatabase: () => undefined };

/** Runs a command with its metrics served, and written at the end, as far as the settings ask for it. */
export async function withMetrics(
  settings: SettingsOf<typeof metricsSettings>,
  { log }: CommandContext,
  options: Omit<MetricsOptions, 'ofProcess'>,
  run: (meter: EventMeter) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { metricsPort, metricsHost, metricsTextfile } = settings;
  if (metricsPort === undefined && metricsTextfile === undefined) return await run(NO_METER);
  const [{ createMetrics }, { assertTextfile, serveMetrics, writeTextfile }] = await Promise.all([
    import('../pipeline/metrics/metrics.js'),
    import('../pipeline/metrics/serve.js'),
  ]);
  if (metricsTextfile !== undefined) await assertTextfile(metricsTextfile);
  const metrics = createMetrics({ ...options, ofProcess: metricsTextfile === undefined });
  const server =
    metricsPort === undefined
      ? undefined
      : await serveMetrics(metrics, {
          host: metricsHost,
          port: metricsPort,
          token: await readSecret([settings.metricsToken, token], [settings.metricsTokenFile, tokenFile]),
        });
  if (server !== undefined)
    log.info('metrics_served', `metrics on http://${server.host}:${server.port}/metrics`, {
      host: server.host,
      port: server.port,
    });
  let exitCode: number = EXIT.bug;
  try {
    const result = await run(metrics);
    exitCode = result.exitCode ?? EXIT.done;
    return result;
  } catch (error) {
    if (error instanceof EcompipeError) exitCode = error.exitCode;
    throw error;
  } finally {
    await server?.close();
    if (metricsTextfile !== undefined) {
      metrics.ended(exitCode);
      // What was run is done: failing to report it must not undo it.
      await writeTextfile(metrics, metricsTextfile).catch((error: unknown) =>
        log.warn('metrics_textfile_failed', error instanceof Error ? error.message : String(error)),
      );
    }
  }
}
