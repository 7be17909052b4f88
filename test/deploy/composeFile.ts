import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../docs/guide.js';

/** A service of docker-compose.yml, as far as the tests go. */
export interface Service {
  readonly build?: unknown;
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly command: readonly string[];
  readonly container_name?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly image: string;
  readonly ports?: readonly string[];
  readonly privileged?: boolean;
  readonly profiles?: readonly string[];
  readonly pull_policy?: string;
  readonly read_only?: boolean;
  readonly security_opt?: readonly string[];
  readonly volumes?: readonly string[];
}

/**
 * The services as Compose reads them: `${NAME:-default}` is what `env` (the environment, or .env) has, else the default;
 * `$$` is a dollar sign.
 */
export function composeServices(env: Readonly<Record<string, string>> = {}): Readonly<Record<string, Service>> {
  const resolve = (text: string): string =>
    text
      .replace(/\$\{(\w+):-([^}]*)\}/g, (_, name: string, fallback: string) => env[name] || fallback)
      .replaceAll('$$', '$');
  const file = parse(
    readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8'),
    (_key, value: unknown) => (typeof value === 'string' ? resolve(value) : value),
    { merge: true },
  ) as { services: Record<string, Service> };
  return file.services;
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
