import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import type { GenerateEvent } from '../../../src/pipeline/generate/generateEvents.js';
import { contextOf, FIXED } from './run.js';

/** A run that kills its own process (SIGKILL) at the `count`-th event of a type: `killed.ts DIRECTORY TYPE COUNT DIRT`. */
const [directory = '', type = '', count = '1', dirt = 'clean'] = process.argv.slice(2);
let left = Number(count);

await runGenerate(
  { ...FIXED, outputDir: directory, events: 3000, batchSize: 100, dirt },
  contextOf({
    emit: (event: GenerateEvent) => {
      if (event.type === type && --left === 0) process.kill(process.pid, 'SIGKILL');
    },
  }),
);
