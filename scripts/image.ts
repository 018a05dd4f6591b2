import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { shellLine } from '../modules/workspace/shell-line.ts';
import { CommandFailure } from './command-failure.ts';
import { noEngine } from './executor/engine.ts';
import { buildCommand, buildxCommands } from './images/commands.ts';
import { executorTest } from './images/executor-test.ts';
import { checkBase, checkOpencode, prepareContext } from './images/prepare.ts';
import { readSettings, type ImageSettings } from './images/settings.ts';

const root = resolve(import.meta.dirname, '..');

/** `run` and `Makefile` call this: `image.ts build|buildx|executor-test`, everything else by environment. */
async function main(verb: string | undefined): Promise<number> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const isExample = (name: string): boolean => existsSync(join(root, 'docs/examples/executors', name, 'Dockerfile'));
  const settings = readSettings(process.env, version, isExample);
  const isDryRun = /^(1|true|yes)$/.test(process.env['DRY_RUN'] ?? '');
  if (verb === 'executor-test') return await executorTest(settings, isDryRun);
  if (verb !== 'build' && verb !== 'buildx') throw new CommandFailure(2, 'usage: image.ts build|buildx|executor-test');
  const commands = verb === 'build' ? [buildCommand(settings)] : buildxCommands(settings);
  if (isDryRun) {
    for (const command of commands) console.log(shellLine(command));
    return 0;
  }
  prepare(settings, verb === 'build' ? [`linux/${here()}`] : settings.platforms);
  for (const [program = '', ...rest] of commands) {
    console.error(shellLine([program, ...rest]));
    if (runHere(program, rest) !== 0) return 1;
  }
  return 0;
}

function prepare(settings: ImageSettings, platforms: readonly string[]): void {
  checkBase(settings);
  checkOpencode(root, settings, platforms);
  prepareContext(root, settings);
  if (settings.kind.holdsOpencode && runHere(process.execPath, ['--import', 'tsx', 'scripts/build-bridge.ts']) !== 0)
    throw new CommandFailure(1, 'The bridge could not be bundled; the lines above say why.');
}

function runHere(program: string, words: readonly string[]): number {
  const { status, error } = spawnSync(program, words, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw noEngine(program, error.message);
  return status ?? 1;
}

const here = (): string => (process.arch === 'x64' ? 'amd64' : process.arch);

try {
  process.exitCode = await main(process.argv[2]);
} catch (error) {
  if (!(error instanceof CommandFailure)) throw error;
  console.error(error.message);
  process.exitCode = error.exitCode;
}
