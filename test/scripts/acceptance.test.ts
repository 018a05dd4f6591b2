import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { joinResults, leadingIds, parseTable, summarize, tables, type Results } from '../../scripts/acceptance.ts';

const table = `
| id | feature | what must be true | mark |
|---|---|---|---|
| | **A heading** | | |
| S-01 | First | Does \`a\\|b\` | core |
| S-02 | Second | Does it | core |
| S-03 | Third | Does it | later |
| S-04 | Fourth | Is absent | no |
| X-01 | Which | This one |
| C-01 | Names | \`NAME\` | Golden |
| C-02 | Ports | 8091 | Loopback, later (D10) |
| D1 | Beyond | Something | It passes |
`;
const rows = parseTable(table);

/** Title (a list: describe titles, then the test's) → jest's status. */
const run = (...tests: readonly [readonly string[], string][]): Results => ({
  testResults: [
    {
      assertionResults: tests.map(([titles, status]) => ({
        ancestorTitles: titles.slice(0, -1),
        title: titles.at(-1) ?? '',
        status,
      })),
    },
  ],
});

const statusOf = (id: string, results: Results, needs = {}) =>
  joinResults(rows, results, needs).rows.find((row) => row.id === id)?.status;

describe('the acceptance table', () => {
  it('is read row by row with its marks', () => {
    expect(rows.map(({ id, group, mark }) => [id, group, mark])).toEqual([
      ['S-01', 'S', 'core'],
      ['S-02', 'S', 'core'],
      ['S-03', 'S', 'later'],
      ['S-04', 'S', 'no'],
      ['X-01', 'X', 'resolution'],
      ['C-01', 'C', 'binding'],
      ['C-02', 'C', 'later'],
      ['D1', 'D', 'binding'],
    ]);
  });

  it('refuses a row without a mark, by name', () => {
    expect(() => parseTable('| K-01 | a | b | perhaps |')).toThrow('Row K-01 of docs/acceptance.md ends in "perhaps"');
  });

  it('in the repository has 438 marked rows (378 core, 48 later, 12 no), 65 binding C and D rows and no id twice', () => {
    const all = parseTable(readFileSync(join(import.meta.dirname, '../../docs/acceptance.md'), 'utf8'));
    const count = (mark: string) => all.filter((row) => row.mark === mark).length;

    expect({ core: count('core'), no: count('no'), binding: count('binding') }).toEqual({
      core: 378,
      no: 12,
      binding: 65,
    });
    expect(all.filter(({ group, mark }) => mark === 'later' && 'KPOSI'.includes(group))).toHaveLength(48);
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });
});

describe('ids that lead a title', () => {
  it.each<[string, string[]]>([
    ['S-01 does it', ['S-01']],
    ['S-01 S-02 D1 does it', ['S-01', 'S-02', 'D1']],
    ['S-01', ['S-01']],
    ['does S-01', []],
    ['S-01…S-03 does it', []],
    ['S-1 does it', []],
    ['D1 C-01 X-01 does it', ['D1', 'C-01', 'X-01']],
  ])('%j → %j', (title, ids) => {
    expect(leadingIds(title)).toEqual(ids);
  });
});

describe('a row', () => {
  it('is passed when a test of it, or of a group of tests about it, passed', () => {
    expect(statusOf('S-01', run([['S-01 does it'], 'passed']))).toEqual({ kind: 'passed' });
    expect(statusOf('S-01', run([['S-01 a route', 'does it'], 'passed']))).toEqual({ kind: 'passed' });
    expect(statusOf('S-02', run([['a route', 'S-01 S-02 does it'], 'passed']))).toEqual({ kind: 'passed' });
  });

  it('is failed when one of its tests failed, in whatever order', () => {
    expect(statusOf('S-01', run([['S-01 a'], 'failed'], [['S-01 b'], 'passed']))).toEqual({ kind: 'failed' });
    expect(statusOf('S-01', run([['S-01 a'], 'passed'], [['S-01 b'], 'failed']))).toEqual({ kind: 'failed' });
  });

  it.each(['pending', 'skipped', 'todo', 'disabled'])('is missing when its only test is %s', (status) => {
    expect(statusOf('S-01', run([['S-01 a'], status]))).toEqual({ kind: 'missing' });
  });

  it('is missing when no title begins with its id', () => {
    expect(statusOf('S-01', run([['about S-01'], 'passed'], [['S-02 a'], 'passed']))).toEqual({ kind: 'missing' });
  });

  it('needs a thing when its test was skipped for want of it, not when it has no test, and not once it passed', () => {
    const needs = { 'S-01': 'a real Coder' };

    expect(statusOf('S-01', run([['S-01 a'], 'pending']), needs)).toEqual({ kind: 'needs', thing: 'a real Coder' });
    expect(statusOf('S-01', run(), needs)).toEqual({ kind: 'missing' });
    expect(statusOf('S-01', run([['S-01 a'], 'passed']), needs)).toEqual({ kind: 'passed' });
    expect(statusOf('S-01', run([['S-01 a'], 'failed']), needs)).toEqual({ kind: 'failed' });
  });
});

describe('the report', () => {
  const results = run(
    [['S-01 a'], 'passed'],
    [['S-02 a'], 'failed'],
    [['S-03 a'], 'passed'],
    [['D1 a'], 'passed'],
    [['S-99 a'], 'passed'],
  );
  const report = joinResults(rows, results, {});

  it('ends with C and D, then core, and names what failed and ids that are in no row', () => {
    expect(summarize(report)).toEqual([
      'no such row: S-99',
      'failed: S-02',
      'C and D: 1/2 passed, 0 need something, 1 missing',
      'core: 1/2 passed, 0 need something, 0 missing',
    ]);
  });

  it('shows one table per group with each row’s status', () => {
    const shown = tables(report);

    expect(shown).toHaveLength(4);
    expect(shown[0]).toMatch(/S-02.*core.*failed/);
    expect(shown[0]).toMatch(/S-04.*no.*missing/);
  });
});
