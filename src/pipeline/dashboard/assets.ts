import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

/** One file of the page, in memory. */
export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

/** The page lies beside src/ and dist/ in the package, as sql/ does: nothing is built. */
const PAGE = new URL('../../../page/', import.meta.url);
const FILES = [
  'index.html',
  'style.css',
  'app.js',
  'names.js',
  'pipeline.js',
  'range.js',
  'shop.js',
  'charts.js',
  'format.js',
  'tables.js',
  'theme.js',
  'icon.svg',
];
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** All that the page consists of, by the path it is asked for; nothing else of the disk can be. */
export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const uplot = path.dirname(createRequire(import.meta.url).resolve('uplot'));
  const sources: [name: string, file: URL | string][] = [
    ...FILES.map((name): [string, URL] => [name, new URL(name, PAGE)]),
    ['uplot.js', path.join(uplot, 'uPlot.esm.js')],
    ['uplot.css', path.join(uplot, 'uPlot.min.css')],
  ];
  const assets = await Promise.all(
    sources.map(async ([name, file]): Promise<[string, Asset]> => [
      name === 'index.html' ? '/' : `/${name}`,
      { type: TYPES[path.extname(name)] ?? 'application/octet-stream', body: await readFile(file) },
    ]),
  );
  return new Map(assets);
}
