import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, runNode, script, stopSignal } from './run-node.ts';
import { runTests } from './run-tests.ts';

/** One thing that must hold: a program of node that exits 0. */
interface Check {
  readonly name: string;
  readonly argv: readonly string[];
}

/** What hangs ends here. Half an hour is what all of it may take on two cores of its own; shared ones take longer. */
const deadlineMs = 75 * 60_000;

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
    const stoppedBy = stopSignal();
    if (stoppedBy) return stopped(stoppedBy);
  }
  const tests = argv[0] === '--tests' ? await runTests(argv.slice(1), leftMs) : { passed: 0, failed: 0 };
  const stoppedBy = stopSignal();
  if (stoppedBy) return stopped(stoppedBy);
  failed += tests.failed;
  console.log(`${Math.round((Date.now() - startedAt) / 1000)} s`);
  console.log(argv[0] === '--tests' ? `${tests.passed} passed, ${failed} failed` : `${failed} checks failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
