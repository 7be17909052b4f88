import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migratedDatabase } from '../helpers/migrated.js';

const CLEAR = [
  '2026-11-22',
  ' 2026-11-22 ',
  '2026-11-22T13:00:00Z',
  '2026-11-22 13:00:00.123456+02:30',
  '2026-11-22 13:00 EST',
  '2026/11/22',
  '20261122T130000Z',
  '2026-326',
  'Nov 22 2026 1:00 PM',
  '22-Nov-2026',
  '2026-Nov-22',
  'Sun Nov 22 13:00:00 2026 UTC',
  'infinity',
  '-infinity',
  'J2461367',
];
const AMBIGUOUS = [
  '01.02.2026',
  '1/2/2026',
  '01-02-2026',
  '01/02/03',
  '26-01-02',
  '990102',
  '99-Jan-02',
  'Jan 2 03',
  'Jan 2 03 10:00+0100',
];
const WORDS = ['now', 'Today', 'tomorrow', 'YESTERDAY', 'epoch', '2026-11-22 allballs', ' now '];

test('dates that mean one thing to everybody are the server’s to judge, others and words are refused', async () => {
  const database = await migratedDatabase();
  const rows = await database.query<{ value: string; defect: string | null }>(
    'select value, ecompipe.date_defect(value) as defect from unnest($1::text[]) as value',
    [[...CLEAR, ...AMBIGUOUS, ...WORDS]],
  );
  const of = (values: readonly string[]): (string | null)[] =>
    rows.filter(({ value }) => values.includes(value)).map(({ defect }) => defect);
  assert.deepEqual(
    of(CLEAR),
    CLEAR.map(() => null),
  );
  for (const defect of of(AMBIGUOUS)) assert.match(String(defect), /can be read as more than one date/);
  for (const defect of of(WORDS)) assert.match(String(defect), /is a word for a moment/);
});

test('every function of the judge pins its search path, runs with the rights of its caller, and says so in the catalogue', async () => {
  const database = await migratedDatabase();
  assert.deepEqual(
    await database.query(
      `select proname from pg_proc
       where pronamespace = 'ecompipe'::regnamespace
         and (prosecdef
           or prosqlbody is null -- otherwise it was bound to names when it was made
             and not exists (select from unnest(proconfig) as c where c like 'search\\_path=pg\\_catalog, pg\\_temp'))`,
    ),
    [],
  );
});
