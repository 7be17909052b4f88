import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../docs/guide.js';

/** A service of docker-compose.yml, as far as running it on the host goes. */
export interface Service {
  readonly entrypoint?: readonly string[];
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly image: string;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly volumes?: readonly string[];
}

/** The services with their variables at the defaults: `${NAME:-default}`, and `$$` for a dollar sign. */
export function composeServices(): Readonly<Record<string, Service>> {
  const text = readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8')
    .replace(/\$\{\w+:-([^}]*)\}/g, '$1')
    .replaceAll('$$', '$');
  return (parse(text, { merge: true }) as { services: Record<string, Service> }).services;
}

/** One instruction of the Dockerfile, its continuation lines joined. */
export interface Instruction {
  /** Index of the build stage. */
  readonly stage: number;
  readonly name: string;
  readonly text: string;
}

export function dockerfile(): Instruction[] {
  const lines = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line !== '');
  let stage = -1;
  return lines.map((line) => {
    const [, name = '', text = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (name === 'FROM') stage++;
    return { stage, name, text };
  });
}

/** The environment that the image sets which is built without asking for another. */
export function imageEnvironment(): Record<string, string> {
  const instructions = dockerfile();
  const pairs = instructions
    .filter(({ name, stage }) => name === 'ENV' && stage === instructions.at(-1)?.stage)
    .flatMap(({ text }) => [...text.matchAll(/(\w+)=(\S+)/g)]);
  return Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, value]));
}
