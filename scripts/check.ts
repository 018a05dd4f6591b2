import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** One thing that must hold: a program of node that exits 0. */
interface Check {
  readonly name: string;
  readonly argv: readonly string[];
}

const root = join(import.meta.dirname, '..');
const resultsFile = join(root, '.test-results', 'jest.json');
/** Everything together; CI allows 30 minutes. */
const deadlineMs = 27 * 60_000;

/** Set once somebody asked us to stop: nothing further is started. */
let stoppedBy: NodeJS.Signals | undefined;

const script = (name: string, ...rest: string[]): string[] => ['--import', 'tsx', join('scripts', name), ...rest];
const isThere = (...path: string[]): boolean => existsSync(join(root, ...path));

/** In this order: what is built first, what is quick before what is slow. */
function checks(): Check[] {
  const generators = readdirSync(join(root, 'scripts')).filter((name) => /^generate-.*\.ts$/.test(name));
  return [
    ...(isThere('scripts', 'build-bridge.ts') ? [{ name: 'bridge bundle', argv: script('build-bridge.ts') }] : []),
    { name: 'types', argv: ['node_modules/typescript/bin/tsc', '--noEmit'] },
    { name: 'lint', argv: ['node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'] },
    { name: 'format', argv: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'] },
    ...generators.map((name) => ({ name: `${name.slice(0, -'.ts'.length)} drift`, argv: script(name, '--check') })),
    ...(isThere('scripts', 'template.ts')
      ? [{ name: 'rendered templates', argv: ['scripts/outrigger.mjs', 'template', 'render', '--check'] }]
      : []),
  ];
}

const jestArgv = (rest: readonly string[]): string[] => [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
  '--ci',
  '--json',
  `--outputFile=${resultsFile}`,
  ...rest,
];

/** Runs node with `argv`; quiet unless it fails, except where `isLoud`. Its whole process group ends at the deadline. */
function runNode(argv: readonly string[], isLoud: boolean, leftMs: number): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const pipe = isLoud ? 'inherit' : 'pipe';
    const child = spawn(process.execPath, [...argv], { cwd: root, stdio: ['ignore', pipe, pipe], detached: true });
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer): void => void chunks.push(chunk);
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const end = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined || child.exitCode !== null) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // It ended by itself meanwhile.
      }
    };
    const timer = setTimeout(() => {
      chunks.push(Buffer.from('\nIt did not end in time and was stopped.\n'));
      end('SIGKILL');
    }, leftMs);
    // In a group of its own it does not hear Ctrl-C.
    const passOn = (signal: NodeJS.Signals): void => {
      stoppedBy = signal;
      end(signal);
    };
    process.on('SIGINT', passOn).on('SIGTERM', passOn);
    const done = (ok: boolean): void => {
      clearTimeout(timer);
      process.off('SIGINT', passOn).off('SIGTERM', passOn);
      resolve({ ok, output: Buffer.concat(chunks).toString() });
    };
    child.on('error', () => done(false));
    child.on('close', (code) => done(code === 0));
  });
}

interface JestSummary {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numRuntimeErrorTestSuites: number;
}

async function runTests(rest: readonly string[], leftMs: number): Promise<{ passed: number; failed: number }> {
  rmSync(resultsFile, { force: true });
  mkdirSync(join(root, '.test-results'), { recursive: true });
  const { ok } = await runNode(jestArgv(rest), true, leftMs);
  if (stoppedBy) return { passed: 0, failed: 1 };
  if (!existsSync(resultsFile)) {
    console.log('FAILED  tests: jest ended without results.');
    return { passed: 0, failed: 1 };
  }
  const summary = JSON.parse(readFileSync(resultsFile, 'utf8')) as JestSummary;
  const failed = summary.numFailedTests + summary.numRuntimeErrorTestSuites;
  if (summary.numPendingTests > 0) console.log(`${summary.numPendingTests} skipped`);
  const { output } = await runNode(script('acceptance.ts'), false, 60_000);
  console.log(output.trimEnd());
  return { passed: summary.numPassedTests, failed: ok ? failed : Math.max(failed, 1) };
}

function stopped(signal: NodeJS.Signals): number {
  console.log(`Stopped by ${signal}; what ran so far proves nothing.`);
  return signal === 'SIGINT' ? 130 : 143;
}

/**
 * Every check, and with `--tests` all tests; what follows `--tests` goes to jest.
 * The last line is `N passed, N failed`: tests that passed, tests and checks that failed.
 */
async function main(argv: readonly string[]): Promise<number> {
  const startedAt = Date.now();
  const leftMs = (): number => Math.max(1, startedAt + deadlineMs - Date.now());
  let failed = 0;
  for (const { name, argv: command } of checks()) {
    const checkStartedAt = Date.now();
    const { ok, output } = await runNode(command, false, leftMs());
    const seconds = Math.round((Date.now() - checkStartedAt) / 1000);
    console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name} (${seconds} s)`);
    if (!ok) console.log(output.trimEnd());
    if (!ok) failed += 1;
    if (stoppedBy) return stopped(stoppedBy);
  }
  const tests = argv[0] === '--tests' ? await runTests(argv.slice(1), leftMs()) : { passed: 0, failed: 0 };
  if (stoppedBy) return stopped(stoppedBy);
  failed += tests.failed;
  console.log(`${Math.round((Date.now() - startedAt) / 1000)} s`);
  console.log(argv[0] === '--tests' ? `${tests.passed} passed, ${failed} failed` : `${failed} checks failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
