import { countOf } from '../../../platform/format.js';
import { notNullRule, type ColumnPlan, type AdoptionFinding, type RowFindings } from './plan.js';
import type { Constraint, TableShape } from './tableShape.js';

/** What the catalogue says about the existing table beyond its shape. */
export interface TableFacts {
  readonly isUnlogged: boolean;
  readonly forcesRowSecurity: boolean;
  readonly inherits: boolean;
  readonly triggers: readonly string[];
  /** What keeps a column from getting another type, such as `rule _RETURN on view v uses event_id`. */
  readonly dependents: readonly string[];
  /** Names of ours that something else in `public` has. */
  readonly takenNames: readonly string[];
}

interface Table {
  readonly existing: TableShape;
  readonly wanted: TableShape;
  readonly columns: readonly ColumnPlan[];
  readonly counts: RowFindings;
  readonly facts: TableFacts;
}

/** What is to be said about key, rules, indexes, and all that is not a single column of ours. */
export function tableFindings(table: Table): AdoptionFinding[] {
  return [
    ...keyFindings(table),
    ...ruleFindings(table),
    ...indexFindings(table),
    ...ownColumns(table),
    ...settingsFindings(table.facts),
  ];
}

function obstacle(text: string): AdoptionFinding {
  return { kind: 'obstacle', text };
}

function keyFindings({ existing, wanted, counts }: Table): AdoptionFinding[] {
  const ours = wanted.constraints.find(({ kind }) => kind === 'primary key');
  const theirs = existing.constraints.find(({ kind }) => kind === 'primary key');
  if (ours === undefined || !existing.columns.some(({ name }) => ours.columns.includes(name))) return [];
  const key = ours.columns.join(', ');
  if (theirs !== undefined && (theirs.columns.join(', ') !== key || theirs.isDeferrable))
    return [
      obstacle(
        `its primary key is ${theirs.definition} and should be (${key}), which tells events apart: make it a unique constraint, ` +
          `alter table public.events drop constraint "${theirs.name}", add unique (${theirs.columns.join(', ')})`,
      ),
    ];
  const missing = ours.columns.reduce((sum, name) => sum + (counts.nulls.get(name) ?? 0), 0);
  const findings = [
    ...(missing > 0 ? [obstacle(`${key} is NULL in ${missing} of ${countOf(counts.rows, 'row')}`)] : []),
    ...(counts.repeatedKeys > 0
      ? [
          obstacle(
            `${countOf(counts.repeatedKeys, 'row has', 'rows have')} the ${key} of another row: keep one of each`,
          ),
        ]
      : []),
  ];
  if (findings.length > 0) return findings;
  return theirs !== undefined
    ? [{ kind: 'fits', text: `primary key (${key}) fits` }]
    : [{ kind: 'change', text: `primary key (${key}) is added` }];
}

function ruleFindings({ existing, wanted, counts }: Table): AdoptionFinding[] {
  const names = new Map(existing.constraints.map((constraint) => [constraint.name, constraint]));
  const rules = wanted.constraints.filter(({ kind }) => kind === 'check');
  const added = rules.filter(({ name }) => !names.has(name));
  const taken = [
    ...rules.filter((rule) => isAnother(names.get(rule.name), rule)).map(({ name }) => name),
    ...[...counts.nulls]
      .filter(([name, count]) => count > 0 && names.has(notNullRule(name)))
      .map(([name]) => notNullRule(name)),
  ];
  const kept = added.filter(({ name }) => (counts.broken.get(name) ?? 0) === 0);
  return [
    ...taken.map((name) => obstacle(`its constraint ${name} is not ours: rename it`)),
    ...(kept.length === 0
      ? []
      : [
          {
            kind: 'change',
            text: `${countOf(kept.length, 'constraint is', 'constraints are')} added that all rows meet`,
          } as const,
        ]),
    ...added
      .filter((rule) => !kept.includes(rule))
      .map(({ name }) => ({
        kind: 'remark' as const,
        text: `${counts.broken.get(name)} of ${countOf(counts.rows, 'row')} ${counts.broken.get(name) === 1 ? 'breaks' : 'break'} ${name}: they stay, and it holds for new rows only (NOT VALID)`,
      })),
  ];
}

function isAnother(theirs: Constraint | undefined, ours: Constraint): boolean {
  return (
    theirs !== undefined && theirs.definition.replace(/ NOT VALID$/, '') !== ours.definition.replace(/ NOT VALID$/, '')
  );
}

function indexFindings({ existing, wanted, facts }: Table): AdoptionFinding[] {
  const names = new Map(existing.indexes.map(({ name, definition }) => [name, definition]));
  return [
    ...facts.takenNames.map((name) => obstacle(`the name ${name} is taken in the schema public: rename what has it`)),
    ...wanted.indexes.flatMap(({ name, definition }): AdoptionFinding[] => {
      const theirs = names.get(name);
      if (theirs === definition) return [];
      if (theirs !== undefined) return [obstacle(`its index ${name} is not ours: rename it`)];
      return facts.takenNames.includes(name) ? [] : [{ kind: 'change', text: `index ${name} is added` }];
    }),
  ];
}

function ownColumns({ existing, wanted }: Table): AdoptionFinding[] {
  const known = new Set(wanted.columns.map(({ name }) => name));
  const own = existing.columns.filter(({ name }) => !known.has(name));
  const demanding = own.filter(
    ({ isNotNull, defaultValue, isGenerated }) => isNotNull && defaultValue === null && !isGenerated,
  );
  const list = (columns: TableShape['columns']): string => columns.map(({ name }) => name).join(', ');
  return [
    ...(own.length === 0
      ? []
      : [{ kind: 'remark', text: `columns of your own stay, and files may bring them: ${list(own)}` } as const]),
    ...(demanding.length === 0
      ? []
      : [
          {
            kind: 'remark',
            text: `NOT NULL and without a default, so each file must bring them: ${list(demanding)}`,
          } as const,
        ]),
  ];
}

function settingsFindings(facts: TableFacts): AdoptionFinding[] {
  return [
    ...(facts.isUnlogged
      ? [obstacle('it is unlogged, and empty after a crash: alter table public.events set logged')]
      : []),
    ...(facts.forcesRowSecurity
      ? [obstacle('row security hides rows from its owner: alter table public.events no force row level security')]
      : []),
    ...(facts.inherits
      ? [obstacle('it is part of an inheritance or partitioning hierarchy, where one key cannot tell events apart')]
      : []),
    ...facts.dependents.map((dependent) =>
      obstacle(`${dependent}, whose type changes: drop it, and create it again afterwards`),
    ),
    ...(facts.triggers.length === 0
      ? []
      : [
          {
            kind: 'remark',
            text: `its triggers stay, and run for each row that is loaded: ${facts.triggers.join(', ')}`,
          } as const,
        ]),
  ];
}
