import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Logger } from '../../../platform/log.js';
import { Driver } from './driver.js';
import { SparkError } from './installation.js';

/** Path of the socket on which the job listens that has started this process (spark/job/Stream.scala); no setting of the user's. */
const SOCKET_VARIABLE = 'ECOMPIPE_SPARK_SOCKET';

/** Where the job listens that has started this process; undefined where we are to start the job. */
export function driverSocket(environment: NodeJS.ProcessEnv): string | undefined {
  return environment[SOCKET_VARIABLE] || undefined;
}

/** What the end of the driver may leave us time for: to say so, unless a statement waits for somebody's lock. */
const END_WITHIN_MS = 5000;

/**
 * A driver that has started us, in whatever mode it was submitted. When either is gone, the other one ends, too, whatever it
 * waits for: nobody would be left to look after it.
 */
export class AttachedDriver extends Driver {
  private isClosed = false;

  private constructor(
    private readonly socket: Socket,
    log: Logger,
  ) {
    super(socket, socket, log);
    socket.once('close', () => {
      this.ended('it closed its end');
      // As a crash: what is open is rolled back.
      if (!this.isClosed) setTimeout(() => process.kill(process.pid, 'SIGKILL'), END_WITHIN_MS).unref();
    });
  }

  /** @throws SparkError when nobody listens there. */
  static async attach(path: string, log: Logger): Promise<AttachedDriver> {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch (error) {
      throw new SparkError({ what: 'the Spark driver is gone', why: `nothing listens on ${path}`, cause: error });
    }
    return new AttachedDriver(socket, log);
  }

  override stop(): void {
    this.send({ type: 'stop' });
  }

  /** The driver waits for us, as our exit code is to be its own. */
  override close(): Promise<void> {
    this.isClosed = true;
    this.socket.destroy();
    return Promise.resolve();
  }
}
