import { LEFT_ALONE_REASONS } from '../../contract/leftAlone.js';
import { countOf, formatSpan } from '../../platform/format.js';
import { ProgressInterval, type StageEvents } from '../../platform/stageEvents.js';
import type { MoveEvent, SkipReason } from './moveEvents.js';
import { printableLine } from '../../platform/printable.js';

/** On a full disk thousands of files fail for one reason: so many in a row are reported, the others at debug level. */
const MAX_REPORTED_FAILURES = 5;

const SKIP_REASONS: Readonly<Record<SkipReason, string>> = {
  ...LEFT_ALONE_REASONS,
  empty: 'it is empty; it will be moved once it has content',
};

/** What the mover has done so far. */
export interface MoveFigures {
  files: number;
  bytes: number;
  failuresInARow: number;
}

const metrics = {
  files: {
    kind: 'counter',
    name: 'ecompipe_moved_files_total',
    help: 'Files moved from incoming to processing, and attempts that failed.',
    label: 'outcome',
    values: ['moved', 'failed'],
  },
  bytes: {
    kind: 'counter',
    name: 'ecompipe_moved_bytes_total',
    help: 'Bytes of files moved from incoming to processing.',
  },
} as const;

export type MoveEvents = StageEvents<MoveEvent, MoveFigures, typeof metrics>;

/** What the events of one run of the mover mean. */
export function createMoveEvents(): MoveEvents {
  return {
    figures: { files: 0, bytes: 0, failuresInARow: 0 },
    metrics,
    table: { fileMoved: fileMoved(), fileFailed, ...WAITING },
  };
}

/** Files that wait, and directories: nothing to count. */
const WAITING: Omit<MoveEvents['table'], 'fileMoved' | 'fileFailed'> = {
  fileWaiting: {
    log: (log, { name, settleMs }) =>
      log.debug('file_waiting', `${printableLine(name)} must stay unchanged for ${formatSpan(settleMs)} first`),
  },
  fileSkipped: {
    log: (log, { name, reason }) =>
      log.warn('file_skipped', `left ${printableLine(name)} alone: ${SKIP_REASONS[reason]}`),
  },
  backlogFull: {
    log: (log, { backlog, maxBacklog }) =>
      log.info(
        'backlog_full',
        `${countOf(backlog, 'file waits', 'files wait')} to be loaded (limit ${maxBacklog}): waiting too`,
      ),
  },
  directoryMissing: {
    log: (log, { error }) => log.warn('directory_missing', `${error.message}\n  waiting for it to come back`),
  },
  directoryBack: { log: (log, { directory }) => log.info('directory_back', `${directory} is back`) },
  temporaryRemoved: {
    log: (log, { name }) => log.info('temporary_removed', `removed ${printableLine(name)}, left by a killed process`),
  },
};

function fileMoved(): MoveEvents['table']['fileMoved'] {
  const progress = new ProgressInterval(-Infinity);
  return {
    count: (figures, { bytes }) => {
      figures.failuresInARow = 0;
      figures.files += 1;
      figures.bytes += bytes;
    },
    log: (log, { name, target }, { files, bytes }) => {
      log.debug('file_moved', `moved ${printableLine(name)} as ${printableLine(target)}`);
      if (progress.isDue()) log.info('move_progress', `moved ${countOf(files, 'file')} so far`, { files, bytes });
    },
    measure: (meters, { bytes }) => {
      meters.files(1, 'moved');
      meters.bytes(bytes);
    },
  };
}

const fileFailed: MoveEvents['table']['fileFailed'] = {
  count: (figures) => (figures.failuresInARow += 1),
  log: (log, { error, retryInMs }, { failuresInARow }) => {
    (failuresInARow <= MAX_REPORTED_FAILURES ? log.warn : log.debug)(
      'file_failed',
      `${error.message}\n  ${retryInMs === undefined ? 'not tried again in this run' : `tried again in ${formatSpan(retryInMs)}`}`,
    );
    if (failuresInARow === MAX_REPORTED_FAILURES)
      log.warn('files_failing', 'further files that fail in the same way are logged at debug level', {});
  },
  measure: (meters) => meters.files(1, 'failed'),
  attention: ({ error }) => `move: ${error.facts.what}`,
};
