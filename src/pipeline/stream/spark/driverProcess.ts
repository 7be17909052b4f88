import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import type { Logger } from '../../../platform/log.js';
import { Driver } from './driver.js';
import { forwardSparkLog } from './driverLog.js';
import { submitArguments, submitEnvironment, type DriverSettings } from './submit.js';

/** How long the job may take to end after it was told to, before it gets a signal, and then the last one. */
const STOP_WITHIN_MS = 15_000;
const KILL_AFTER_MS = 5_000;

/**
 * The Spark driver as a process of ours, in client mode. It has a process group of its own, so that a Ctrl-C in the
 * terminal reaches only us; when we are gone, however that happened, its standard input ends and it ends itself.
 */
export class DriverProcess extends Driver {
  private readonly child: ChildProcessWithoutNullStreams;

  constructor(settings: DriverSettings, environment: NodeJS.ProcessEnv, log: Logger) {
    const child = spawn(path.join(settings.spark.home, 'bin', 'spark-submit'), submitArguments(settings, environment), {
      env: submitEnvironment(settings, environment),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    super(child.stdin, child.stdout, log);
    this.child = child;
    forwardSparkLog(child.stderr, log, (text) => (this.lastWords = text));
    child.once('error', (error) => this.ended(error.message));
    child.once('close', (code, signal) =>
      this.ended(signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`),
    );
  }

  /** What takes too long gets a signal. */
  override stop(): void {
    this.send({ type: 'stop' });
    this.endWithin(STOP_WITHIN_MS);
  }

  /** Takes its standard input away, which ends it at once, unless it has finished and is on its way out. */
  override async close(withinMs = KILL_AFTER_MS): Promise<void> {
    this.child.stdin.end();
    this.endWithin(withinMs);
    await this.gone;
  }

  private endWithin(ms: number): void {
    const timers = [
      setTimeout(() => this.child.kill('SIGTERM'), ms),
      setTimeout(() => this.child.kill('SIGKILL'), ms + KILL_AFTER_MS),
    ];
    void this.gone.then(() => timers.forEach((timer) => clearTimeout(timer)));
  }
}
