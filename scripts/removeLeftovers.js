// Removes from dist/ what was compiled from sources that are no longer there: tsc never does, and the package would have it.
// Nothing else is touched, as commands may be running from there.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

const names = readdirSync('dist', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.d.ts'));
for (const name of names.map((file) => file.slice(0, -'.d.ts'.length))) {
  if (existsSync(path.join('src', `${name}.ts`))) continue;
  for (const ending of ['.js', '.d.ts']) rmSync(path.join('dist', name + ending), { force: true });
}
