import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sectionText, withSection } from '../../bench/harness/document.js';
import { goal, type Answer, type Question } from '../../bench/harness/question.js';
import { Results } from '../../bench/harness/rounds.js';

const ORDER = ['bulk', 'small'];

function section(name: string, measured: number): string {
  const question: Question = { name, title: `The ${name} one`, run: () => Promise.reject(new Error('not run')) };
  const answer: Answer = {
    settings: ['1 row'],
    header: ['way', 'median'],
    rows: [['a | b', '1']],
    goals: [goal('speed', measured, '>=', 1.3, '× rival')],
  };
  return sectionText(question, answer, { machine: 'a machine', scale: 1, runs: 5 });
}

test('a section takes the place of the last one of its question and leaves the others', () => {
  const first = withSection('', 'small', section('small', 2), ORDER);
  const both = withSection(first, 'bulk', section('bulk', 1), ORDER);
  const again = withSection(both, 'small', section('small', 3), ORDER);
  assert.match(again, /<!-- bench:bulk -->[\s\S]*1\.00 × rival[\s\S]*<!-- bench:small -->[\s\S]*3\.00 × rival/);
  assert.doesNotMatch(again, /2\.00 × rival/);
});

test('the goals of all sections stand on top, missed ones as such', () => {
  const document = withSection(withSection('', 'small', section('small', 2), ORDER), 'bulk', section('bulk', 1), ORDER);
  const [summary = ''] = document.split('<!-- bench:');
  assert.match(
    summary,
    /\| \[bulk\]\(#the-bulk-one\) \| speed ≥ 1\.3 × rival \| 1\.00 × rival \| \*\*missed\*\* \|\n\| \[small\]\(#the-small-one\) \| speed ≥ 1\.3 × rival \| 2\.00 × rival \| met \|/,
  );
});

test('a missed goal is told with the profile that shows the limit, a goal that is met without', () => {
  const question: Question = { name: 'small', title: 'Small', run: () => Promise.reject(new Error('not run')) };
  const told = (measured: number): string =>
    sectionText(
      question,
      {
        settings: [],
        header: ['way'],
        rows: [],
        profile: 'the disk.',
        goals: [goal('speed', measured, '>=', 1.3, '× rival')],
      },
      { machine: 'a machine', scale: 1, runs: 5 },
    );
  assert.match(told(1), /What limits it: the disk\.\n\n\| goal/);
  assert.doesNotMatch(told(2), /What limits it/);
});

test('a goal that was not measured is neither met nor missed', () => {
  assert.deepEqual(goal('speed', undefined, '>=', 1, '×').met, undefined);
});

test('medians and ratios are over all rounds', () => {
  const results = new Results();
  for (const wall of [1, 100, 3]) results.add('ours', { wall });
  for (const wall of [2, 1]) results.add('theirs', { wall });
  assert.equal(results.median('ours', 'wall'), 3);
  assert.equal(results.ratio('ours', 'wall', 'theirs'), 2);
  assert.equal(results.ratio('ours', 'wall', 'absent'), undefined);
});
