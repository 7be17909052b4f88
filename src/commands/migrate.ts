import * as parse from '../platform/parsers.js';
import { defineCommand } from './command.js';
import { databaseSettings } from './settings.js';

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'create or upgrade the schema',
  settings: {
    ...databaseSettings,
    status: {
      flag: '--status',
      env: 'ECOMPIPE_STATUS',
      default: false,
      parse: parse.boolean,
      help: 'only show what is applied and what is pending',
    },
    dryRun: {
      flag: '--dry-run',
      env: 'ECOMPIPE_DRY_RUN',
      default: false,
      parse: parse.boolean,
      help: 'apply everything, then roll back',
    },
    adopt: {
      flag: '--adopt',
      env: 'ECOMPIPE_ADOPT',
      default: false,
      parse: parse.boolean,
      help: 'adopt an existing table public.events, if that loses nothing',
    },
    roles: {
      flag: '--roles',
      env: 'ECOMPIPE_ROLES',
      default: false,
      parse: parse.boolean,
      help: 'create the group roles ecompipe_reader, ecompipe_loader and ecompipe_admin, and grant them their rights',
    },
  },
  examples: [
    ['ecompipe migrate', 'bring the database to the newest schema'],
    ['ecompipe migrate --status', 'show which migrations are applied'],
    ['ecompipe migrate --dry-run', 'see whether they would apply, change nothing'],
    ['ecompipe migrate --roles', 'also create group roles, to be granted to users'],
    ['ecompipe migrate --adopt --dry-run', 'see what would become of your own table events'],
  ],
  run: async (settings, context) => {
    const [{ withDatabase }, { runMigrate, describeMigrations }] = await Promise.all([
      import('../platform/db/target.js'),
      import('../pipeline/migrate/runMigrate.js'),
    ]);
    const mode = settings.status ? 'status' : settings.dryRun ? 'dry-run' : 'apply';
    const result = await withDatabase(settings, context, (database) =>
      runMigrate(database, mode, { log: context.log, adopt: settings.adopt, roles: settings.roles }),
    );
    return { json: result, text: describeMigrations(result) };
  },
});
