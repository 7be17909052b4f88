import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Logger } from '../../../platform/log.js';

/** A line as Spark's own log4j2 configuration writes it: `26/11/22 16:21:33 WARN Utils: message`. */
const LINE = /^\d\d\/\d\d\/\d\d \d\d:\d\d:\d\d (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) ([^:]+): (.*)$/;

const LEVELS = { TRACE: 'debug', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error', FATAL: 'error' } as const;

/** What Spark warns of at every start, and nobody has to do anything about. */
const NOISE =
  /NativeCodeLoader|Utils: (Your hostname|Set SPARK_LOCAL_IP|Service '\w+' could not bind)|ResolveWriteToStream|ProcessingTimeExecutor|Using incubator modules/;

/** Passes Spark's log on as events of ours (`spark_log`). `remember` gets the last error, for the message when it ends. */
export function forwardSparkLog(stderr: Readable, log: Logger, remember: (text: string) => void): void {
  createInterface({ input: stderr }).on('line', (line) => {
    const [, level, source, message] = LINE.exec(line) ?? [];
    if (level === undefined || source === undefined || message === undefined) {
      // Stack traces, Ivy, the JVM. What Spark's shell scripts say when they can't start stands here too.
      if (/^(JAVA_HOME|Error:|Exception in thread|:: .*not found|.*UnsupportedClassVersionError)/.test(line))
        remember(line);
      log.debug('spark_output', line);
      return;
    }
    const ours = NOISE.test(line) ? 'debug' : LEVELS[level as keyof typeof LEVELS];
    if (ours === 'error') remember(message);
    log[ours]('spark_log', `${source}: ${message}`, { source });
  });
}
