import { existsSync } from 'node:fs';
import { after, type TestContext } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';

/** For a browser on a busy machine; it is not waited for longer than necessary. */
const DEADLINE_MS = 100_000;

const EXECUTABLE = process.env['ECOMPIPE_TEST_CHROMIUM'] ?? '/usr/bin/chromium';

/** Value for `skip`: false when this machine has a browser. */
export const noBrowser: false | string = existsSync(EXECUTABLE)
  ? false
  : `no ${EXECUTABLE}: apt-get install chromium, or name another in ECOMPIPE_TEST_CHROMIUM`;

let shared: Promise<Browser> | undefined;

export interface OpenOptions {
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
}

/** A page of the one browser of this test process, and what it complains about. */
export async function openPage(
  t: TestContext,
  url: string,
  { width = 1280, scheme = 'light' }: OpenOptions = {},
): Promise<{ page: Page; complaints: string[] }> {
  // Our own page on loopback; a sandbox needs rights that root in a container does not have.
  shared ??= chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'], timeout: DEADLINE_MS });
  const context = await (
    await shared
  ).newContext({ viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: 'reduce' });
  context.setDefaultTimeout(DEADLINE_MS);
  t.after(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}

after(async () => {
  await (await shared)?.close();
});
