// Takes the picture of the dashboard that the README shows, of one that runs: `node --import tsx scripts/dashboardImage.ts URL`.
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error('usage: node --import tsx scripts/dashboardImage.ts URL');
const executablePath = process.env['ECOMPIPE_TEST_CHROMIUM'] ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1130 }, colorScheme: 'light' });
  await page.goto(url);
  await page.locator('#connection[data-state=live]').waitFor();
  await page.locator('#funnel table').waitFor();
  await page.locator('#events table').waitFor();
  // The rollups hold all that is loaded.
  await page.locator('#shop-age').waitFor({ state: 'hidden' });
  await page.screenshot({ path: fileURLToPath(new URL('../docs/images/dashboard.png', import.meta.url)) });
} finally {
  await browser.close();
}
