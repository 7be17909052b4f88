// Records a real run in a terminal and writes it as an animated SVG: `node --import tsx scripts/recording.ts`, after
// `npm run build`. Needs tmux. The picture is on README.md's first screen.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const EXECUTABLE = fileURLToPath(new URL('../bin/ecompipe.js', import.meta.url));
const PICTURE = fileURLToPath(new URL('../docs/images/recording.svg', import.meta.url));
const ARGUMENTS = 'run-all --history 28d --duration 8s --seed 1 --until-drained';
const [COLUMNS, ROWS] = [112, 32];
const SAMPLE_MS = 250;
/** The last frame stays so long before the recording begins again. */
const LAST_FRAME_MS = 6000;
const [CHARACTER_WIDTH, LINE_HEIGHT, MARGIN] = [7.8, 17, 14];

interface Frame {
  readonly atMs: number;
  readonly text: string;
}

const home = mkdtempSync(path.join(tmpdir(), 'shop-'));
// PostgreSQL does not run as root; a user of its own shows what people see.
const asUser = process.getuid?.() === 0 ? 'setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=$PWD ' : '';
chmodSync(home, 0o777);
const session = `recording-${process.pid}`;
try {
  writeFileSync(PICTURE, draw(record()));
} finally {
  spawnSync('tmux', ['kill-session', '-t', session]);
  rmSync(home, { recursive: true, force: true });
}

/** Runs the command in a terminal of its own and looks at the screen until it has ended. */
function record(): Frame[] {
  const command = `printf '$ npx ecompipe ${ARGUMENTS}\\n'; ${asUser}node ${EXECUTABLE} ${ARGUMENTS}; touch ended; exec sleep 60`;
  tmux('new-session', '-d', '-s', session, '-x', String(COLUMNS), '-y', String(ROWS), '-c', home, 'sh', '-c', command);
  const frames: Frame[] = [];
  const startedAtMs = performance.now();
  for (let hasEnded = false; !hasEnded;) {
    if (performance.now() - startedAtMs > 60_000) throw new Error('the run did not end within a minute');
    hasEnded = spawnSync('test', ['-e', path.join(home, 'ended')]).status === 0;
    const text = tmux('capture-pane', '-p', '-t', session).trimEnd();
    if (text !== '' && text !== frames.at(-1)?.text) frames.push({ atMs: performance.now() - startedAtMs, text });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SAMPLE_MS);
  }
  return frames;
}

function tmux(...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('tmux', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tmux ${args[0] ?? ''}: ${error?.message ?? stderr}`);
  return stdout;
}

/** One group a frame, each visible for its time: an animation that needs no script, as images in Markdown have none. */
function draw(frames: readonly Frame[]): string {
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined) throw new Error('nothing was on the screen');
  const totalMs = last.atMs - first.atMs + LAST_FRAME_MS;
  const share = (ms: number): string => `${((ms / totalMs) * 100).toFixed(3)}%`;
  const height = 2 * MARGIN + LINE_HEIGHT * Math.max(...frames.map(({ text }) => text.split('\n').length));
  const groups = frames.map(({ atMs, text }, index) => {
    const from = share(atMs - first.atMs);
    const to = share((frames[index + 1]?.atMs ?? first.atMs + totalMs) - first.atMs);
    const lines = text
      .split('\n')
      .map((line, row) => `<text x="${MARGIN}" y="${MARGIN + LINE_HEIGHT * (row + 0.75)}">${escape(line)}</text>`);
    return `<style>@keyframes f${index}{0%{visibility:hidden}${from}{visibility:visible}${to}{visibility:hidden}100%{visibility:hidden}}</style>
<g style="animation:f${index} ${Math.round(totalMs)}ms step-end infinite${index === frames.length - 1 ? '' : ';visibility:hidden'}">${lines.join('')}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN)} ${height}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13">
<style>text{white-space:pre;fill:#d5dde5}</style>
<rect width="100%" height="100%" rx="8" fill="#16202a"/>
${groups.join('\n')}
</svg>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
