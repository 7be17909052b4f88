import type { Question } from '../harness/question.js';
import { backlog } from './backlog.js';
import { bulk, files } from './bulk.js';
import { dirty } from './dirty.js';
import { feeds } from './feeds.js';
import { generator } from './generator.js';
import { growth } from './growth.js';
import { latency } from './latency.js';
import { memory } from './memory.js';
import { rejected } from './rejected.js';
import { rivals } from './rivals.js';
import { rules } from './rules.js';
import { small } from './small.js';
import { spark } from './spark.js';
import { staging } from './staging.js';
import { start } from './start.js';
import { waiting } from './waiting.js';
import { watched } from './watched.js';
import { years } from './years.js';

/** In the order of the document. */
export const questions: readonly Question[] = [
  generator,
  bulk,
  files,
  rules,
  small,
  dirty,
  feeds,
  latency,
  growth,
  waiting,
  rejected,
  memory,
  start,
  backlog,
  rivals,
  watched,
  years,
  spark,
  staging,
];
