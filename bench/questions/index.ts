import type { Question } from '../harness/question.js';
import { bulk, files } from './bulk.js';

/** In the order of the document. */
export const questions: readonly Question[] = [bulk, files];
