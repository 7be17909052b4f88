import { FAILPOINTS } from '../platform/failpoint.js';
import { defineCommand } from './command.js';

export const failpoints = defineCommand({
  name: 'failpoints',
  hidden: true,
  summary:
    'list the moments at which ECOMPIPE_FAILPOINT=name:N=kill|stop|error can make a process fail (for crash tests)',
  settings: {},
  examples: [
    ['ECOMPIPE_FAILPOINT=commit-sent:3=kill ecompipe stream --once', 'die at the third commit, before its reply'],
  ],
  run: () =>
    Promise.resolve({
      json: FAILPOINTS,
      text: Object.entries(FAILPOINTS)
        .map(([name, moment]) => `${name.padEnd(20)}${moment}`)
        .join('\n'),
    }),
});
