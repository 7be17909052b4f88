import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Settings with which Spark writes down what its pages show. */
export function eventLogConf(home: string): Record<string, string> {
  return {
    'spark.eventLog.enabled': 'true',
    'spark.eventLog.compress': 'false',
    'spark.eventLog.rolling.enabled': 'false',
    'spark.eventLog.dir': `file://${home}`,
  };
}

export interface SparkEvent {
  readonly Event: string;
  readonly Properties?: Readonly<Record<string, string>>;
  readonly progress?: string | { readonly json?: string };
}

export interface SourceProgress {
  readonly numInputRows: number;
  readonly metrics?: Readonly<Record<string, string>>;
}

/** What was written down there, of the only run. */
export function eventsIn(home: string): SparkEvent[] {
  const [log = ''] = readdirSync(home).filter((name) => /^local-\d+/.test(name));
  return readFileSync(path.join(home, log), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SparkEvent);
}

/** What a query says of its source after each micro-batch that had rows. */
export function progressOf(events: readonly SparkEvent[]): SourceProgress[] {
  return events
    .filter(({ Event }) => Event.endsWith('QueryProgressEvent'))
    .map(({ progress }) => (typeof progress === 'string' ? progress : JSON.stringify(progress)))
    .flatMap((text) => (JSON.parse(text) as { readonly sources: readonly SourceProgress[] }).sources)
    .filter(({ numInputRows }) => numInputRows > 0);
}
