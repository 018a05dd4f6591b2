import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, runNode, script, stopSignal } from './run-node.ts';

const results = join(root, '.test-results');
/** What `npm run acceptance` joins with the table. */
const resultsFile = join(results, 'jest.json');

/** The part of jest's own JSON that is read here. */
interface Results {
  readonly success: boolean;
  readonly testResults: readonly Suite[];
}
interface Suite {
  readonly name: string;
  readonly status: 'passed' | 'failed';
  readonly assertionResults: readonly { readonly status: string }[];
}

/**
 * Runs the tests, and each suite that failed once more with the machine to itself; `rest` goes to jest.
 *
 * Real processes with real deadlines share the cores of a machine, so a suite can be late through no fault of its own.
 * One that passes alone is named and counts as passed; one that fails twice is red.
 */
export async function runTests(
  rest: readonly string[],
  leftMs: () => number,
): Promise<{ passed: number; failed: number }> {
  mkdirSync(results, { recursive: true });
  const first = await runJest(resultsFile, rest, leftMs());
  if (first === null) return { passed: 0, failed: 1 };
  const red = first.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
  const suites = red.length === 0 ? first.testResults : await rerun(first.testResults, red, leftMs());
  if (stopSignal() !== undefined) return { passed: 0, failed: 1 };
  writeFileSync(resultsFile, JSON.stringify({ ...first, testResults: suites }));
  const { output } = await runNode(script('acceptance.ts'), false, 60_000);
  console.log(output.trimEnd());
  const tests = suites.flatMap(({ assertionResults }) => assertionResults);
  const count = (...states: string[]): number => tests.filter(({ status }) => states.includes(status)).length;
  const skipped = count('pending', 'todo', 'skipped', 'disabled');
  if (skipped > 0) console.log(`${skipped} skipped`);
  const isRed = ({ status }: Suite): boolean => status === 'failed';
  const broken = suites.filter(
    (suite) => isRed(suite) && suite.assertionResults.every((one) => one.status !== 'failed'),
  );
  // Jest is also red for what belongs to no suite, such as a failing teardown.
  const isUnexplained = !first.success && red.length === 0;
  return { passed: count('passed'), failed: count('failed') + broken.length + (isUnexplained ? 1 : 0) };
}

/** The suites, those that were red replaced by their second run. */
async function rerun(suites: readonly Suite[], red: readonly string[], leftMs: number): Promise<readonly Suite[]> {
  if (stopSignal() !== undefined) return suites;
  console.log(`\nOnce more, alone: ${red.map((name) => relative(root, name)).join(', ')}`);
  const argv = ['--runInBand', '--runTestsByPath', ...red];
  const second = (await runJest(join(results, 'jest-again.json'), argv, leftMs))?.testResults ?? [];
  return suites.map((suite) => {
    const later = second.find(({ name, status }) => name === suite.name && status === 'passed');
    if (later !== undefined)
      console.log(`UNSTEADY  ${relative(root, suite.name)} failed beside others and passed alone.`);
    return later ?? suite;
  });
}

/** Null, said aloud, where jest was stopped or wrote nothing. */
async function runJest(file: string, rest: readonly string[], leftMs: number): Promise<Results | null> {
  rmSync(file, { force: true });
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const jest = ['node_modules/jest/bin/jest.js', '--ci', '--json', `--outputFile=${file}`];
  await runNode([...node, ...jest, ...rest], true, leftMs);
  if (stopSignal() !== undefined) return null;
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Results;
  console.log('FAILED  tests: jest ended without results.');
  return null;
}
