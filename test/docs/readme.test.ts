import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readDocument, ROOT } from './markdown.js';

const readme = readDocument('README.md');
const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
  repository: { url: string };
  bugs: string;
  homepage: string;
  engines: { node: string };
  license: string;
};

test('the badges say what is true, in words and in the picture', () => {
  const [, oldest, newest] = /Any PostgreSQL from (\d+) to (\d+)/.exec(readme) ?? [];
  const badges = [...readme.matchAll(/!\[([^\]]+)\]\(https:\/\/img\.shields\.io\/badge\/([^-]+)-([^-]+)-\w+\)/g)];
  assert.deepEqual(
    badges.map(([, words]) => words),
    [
      `Node ${manifest.engines.node.replace('>=', '≥ ')}`,
      `PostgreSQL ${oldest} to ${newest}`,
      `License: ${manifest.license}`,
    ],
  );
  for (const [, words = '', label, value = ''] of badges)
    assert.equal(words.replace(':', ''), `${label} ${decodeURIComponent(value)}`);
});

test('the README clones the repository that package.json names, and its issues and homepage are there', () => {
  const repository = manifest.repository.url.replace(/^git\+/, '');
  assert.ok(readme.includes(`git clone ${repository} `), repository);
  const page = repository.replace(/\.git$/, '');
  assert.deepEqual([manifest.bugs, manifest.homepage], [`${page}/issues`, `${page}#readme`]);
});
