// TAP, with every failed test once more before the counts: the end of a long log says what went wrong.
import path from 'node:path';
import { tap } from 'node:test/reporters';

export default async function* report(source) {
  yield* tap(withFailuresAtTheEnd(source));
}

async function* withFailuresAtTheEnd(source) {
  const failures = [];
  for await (const event of source) {
    yield event;
    const { type, data } = event;
    if (type === 'test:fail' && data.details?.error?.failureType !== 'subtestsFailed') failures.push(data);
    // The runner's own plan is the last thing before its counts.
    if (type === 'test:plan' && data.nesting === 0) yield* failures.flatMap(describe).map(comment);
  }
}

function describe({ name, file, line, details }) {
  const error = details?.error?.cause ?? details?.error;
  return `FAILED ${name} (${path.relative('', file ?? '')}:${line ?? ''})\n${error?.stack ?? error}`.split('\n');
}

function comment(message) {
  return { type: 'test:diagnostic', data: { nesting: 0, message } };
}
