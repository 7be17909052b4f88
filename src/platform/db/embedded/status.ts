import { EcompipeError } from '../../errors.js';
import { findServerFiles } from './binaries.js';
import { hasOwnSuperuser, openCluster, type Cluster } from './cluster.js';
import type { EmbeddedOptions } from './lease.js';
import { findRunningServer, type RunningServer } from './pidFile.js';
import { moveToOwner, serverVersionOf, versionAdvice } from './releases.js';
import { dataVersion, isKept } from './server.js';
import { leaseHolders, openSession } from './session.js';
import { queryRow, text } from '../decodeRows.js';

/** What there is of an embedded server. */
export interface EmbeddedStatus {
  /** Where its files are; undefined when there are none yet. */
  readonly home: string | undefined;
  /** Major version of the data. */
  readonly data: string | undefined;
  /** Version of the installed server; undefined where none is. */
  readonly installed: string | undefined;
  readonly running: RunningStatus | undefined;
  /** What is to be done about versions and rights. */
  readonly advice: readonly string[];
}

interface RunningStatus {
  readonly pid: number;
  readonly port: number;
  /** Undefined while it starts or stops. */
  readonly version: string | undefined;
  /** It stays when nobody uses it any more. */
  readonly kept: boolean;
  /** The commands that use it, by their process ids. */
  readonly usedBy: readonly number[];
}

/** Looks at the embedded server; starts and creates nothing. */
export async function embeddedStatus({
  directory = '.ecompipe',
  signal = new AbortController().signal,
}: EmbeddedOptions = {}): Promise<EmbeddedStatus> {
  const installed = await findServerFiles().then(
    (files) => serverVersionOf(files.version),
    () => undefined,
  );
  const cluster = await openCluster(directory);
  const server = cluster && (await findRunningServer(cluster.data));
  const data = cluster && (await dataVersion(cluster));
  const running = cluster && server && (await look(cluster, server, signal));
  const advice = [
    ...versionAdvice({ data, installed, running: running?.version }),
    ...(cluster === undefined || (await hasOwnSuperuser(cluster)) ? [] : [moveToOwner()]),
  ];
  return { home: cluster?.home, data, installed, running, advice };
}

async function look(cluster: Cluster, server: RunningServer, signal: AbortSignal): Promise<RunningStatus> {
  const { pid, port } = server;
  const kept = await isKept(cluster, server);
  try {
    return await openSession(cluster, server, signal, async (session) => {
      const { serverVersion } = await queryRow(session, { serverVersion: text }, 'show server_version');
      const usedBy = await leaseHolders(session);
      await session.end();
      return { pid, port, version: serverVersion, kept, usedBy };
    });
  } catch (error) {
    if (error instanceof EcompipeError || signal.aborted) throw error;
    return { pid, port, version: undefined, kept, usedBy: [] };
  }
}

/** The same for people. */
export function describeEmbedded({ home, data, installed, running, advice }: EmbeddedStatus): string {
  const users = running?.usedBy ?? [];
  const rows: readonly (readonly [string, string])[] = [
    ['server', running === undefined ? 'not running' : describeRunning(running)],
    ...(running === undefined
      ? []
      : ([['used by', users.length === 0 ? 'no command' : `ecompipe ${users.join(', ')}`]] as const)),
    ['installed', installed === undefined ? 'none for this platform' : `PostgreSQL ${installed}`],
    ['data', home === undefined || data === undefined ? 'none yet' : `PostgreSQL ${data}, in ${home}`],
    ...advice.map((sentence) => ['to do', sentence] as const),
  ];
  return rows.map(([name, value]) => `${name.padEnd(10)} ${value}`).join('\n');
}

function describeRunning({ pid, port, version, kept }: RunningStatus): string {
  if (version === undefined) return `starting or stopping, pid ${pid}`;
  return `PostgreSQL ${version}, pid ${pid}, 127.0.0.1:${port}${kept ? ', kept until `ecompipe db stop`' : ''}`;
}
