import { EcompipeError, EXIT } from '../../core/runtime/errors.js';

/** A signal ended the check before it knew. */
export class InterruptedError extends EcompipeError {
  override readonly name = 'InterruptedError';
  constructor() {
    super(EXIT.interrupted, { what: 'verify was interrupted', done: 'nothing is proved either way' });
  }
}
