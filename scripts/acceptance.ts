import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';

/** One row of docs/acceptance.md. */
export interface Row {
  readonly id: string;
  readonly group: string;
  readonly feature: string;
  /** C and D rows bind unless they say "later"; X rows are resolutions and are not counted. */
  readonly mark: 'core' | 'later' | 'no' | 'binding' | 'resolution';
}

/** The part of jest's `--json` that is read. */
export interface Results {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
    }[];
  }[];
}

export type Status =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed' }
  | { readonly kind: 'needs'; readonly thing: string }
  | { readonly kind: 'missing' };

export interface Report {
  readonly rows: readonly (Row & { readonly status: Status; readonly tests: number })[];
  /** Ids that lead a title but are in no row: a typing error that would prove nothing. */
  readonly unknownIds: readonly string[];
}

/**
 * Row id → what must be there before its test can run. It counts only where a test leads with the id and was skipped:
 * a row without a test is missing, whatever it would need.
 */
export type Needs = Readonly<Record<string, string>>;

const idPattern = /^(?:[KPOSIXC]-\d{2,3}|D\d{1,2})$/;

/** Rows of the table, in its order. */
export function parseTable(markdown: string): Row[] {
  return markdown.split('\n').flatMap((line) => {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [, id = '', feature = ''] = cells;
    if (!line.startsWith('|') || !idPattern.test(id)) return [];
    return [{ id, group: id.charAt(0), feature, mark: markOf(id, cells) }];
  });
}

function markOf(id: string, cells: readonly string[]): Row['mark'] {
  if (id.startsWith('X')) return 'resolution';
  const last = cells.at(-2) ?? '';
  if (/^[CD]/.test(id)) return /\blater\b/i.test(cells.slice(3).join(' ')) ? 'later' : 'binding';
  if (last === 'core' || last === 'later' || last === 'no') return last;
  throw new Error(`Row ${id} of docs/acceptance.md ends in "${last}". Mark it core, later or no.`);
}

/** The ids at the very beginning of a title: `S-23 S-36 accepts …` → S-23, S-36. A range is not read. */
export function leadingIds(title: string): string[] {
  const words = title.split(/\s+/);
  const end = words.findIndex((word) => !idPattern.test(word));
  return end === -1 ? words : words.slice(0, end);
}

/** What each row is worth after a test run: one failure outweighs any number of passes, a skipped test proves nothing. */
export function joinResults(rows: readonly Row[], results: Results, needs: Needs): Report {
  const outcomes = new Map<string, string[]>();
  for (const { assertionResults } of results.testResults)
    for (const { ancestorTitles, title, status } of assertionResults)
      for (const id of new Set([...ancestorTitles, title].flatMap(leadingIds)))
        outcomes.set(id, [...(outcomes.get(id) ?? []), status]);
  const known = new Set(rows.map(({ id }) => id));
  return {
    rows: rows.map((row) => {
      const statuses = outcomes.get(row.id) ?? [];
      return { ...row, tests: statuses.length, status: statusOf(statuses, needs[row.id]) };
    }),
    unknownIds: [...outcomes.keys()].filter((id) => !known.has(id)).sort(),
  };
}

function statusOf(statuses: readonly string[], thing: string | undefined): Status {
  if (statuses.includes('failed')) return { kind: 'failed' };
  if (statuses.includes('passed')) return { kind: 'passed' };
  return thing === undefined || statuses.length === 0 ? { kind: 'missing' } : { kind: 'needs', thing };
}

/** The last lines: what failed, C and D, core. */
export function summarize({ rows, unknownIds }: Report): string[] {
  const count = (marked: typeof rows, kind: Status['kind']) => marked.filter((row) => row.status.kind === kind).length;
  const core = rows.filter(({ mark }) => mark === 'core');
  const binding = rows.filter(({ mark }) => mark === 'binding');
  const failed = rows.filter(({ status }) => status.kind === 'failed').map(({ id }) => id);
  return [
    ...(unknownIds.length > 0 ? [`no such row: ${unknownIds.join(' ')}`] : []),
    ...(failed.length > 0 ? [`failed: ${failed.join(' ')}`] : []),
    `C and D: ${count(binding, 'passed')}/${binding.length} passed, ${count(binding, 'needs')} need something, ${count(binding, 'missing')} missing`,
    `core: ${count(core, 'passed')}/${core.length} passed, ${count(core, 'needs')} need something, ${count(core, 'missing')} missing`,
  ];
}

const wordFor = (status: Status): string => (status.kind === 'needs' ? `needs ${status.thing}` : status.kind);

/** One table per group. */
export function tables({ rows }: Report): string[] {
  return [...new Set(rows.map(({ group }) => group))].map((group) => {
    const table = new Table({
      head: ['id', 'mark', 'status', 'tests', 'feature'],
      colWidths: [8, 12, 24, 7, 70],
      style: { head: [], border: [] },
    });
    for (const row of rows.filter((one) => one.group === group))
      table.push([row.id, row.mark, wordFor(row.status), row.tests, row.feature]);
    return table.toString();
  });
}

/** `npm run acceptance [-- --all]`: exit 2 when there is no test run to read. */
function main(): number {
  const root = join(import.meta.dirname, '..');
  const resultsFile = join(root, '.test-results', 'jest.json');
  if (!existsSync(resultsFile)) {
    console.error('There is no test run to join with: .test-results/jest.json is missing. Run `make test` first.');
    return 2;
  }
  const report = joinResults(
    parseTable(readFileSync(join(root, 'docs', 'acceptance.md'), 'utf8')),
    JSON.parse(readFileSync(resultsFile, 'utf8')) as Results,
    JSON.parse(readFileSync(join(root, 'docs', 'acceptance-needs.json'), 'utf8')) as Needs,
  );
  const all = process.argv.includes('--all') ? tables(report) : [];
  console.log([...all, ...summarize(report)].join('\n'));
  return 0;
}

if (process.argv[1] === import.meta.filename) process.exitCode = main();
