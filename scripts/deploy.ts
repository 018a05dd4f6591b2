/**
 * Runs the cdktf command with what it needs: the door of `./run cdktf`.
 *
 * usage: ./run cdktf list | synth | diff STACK | deploy STACK… | destroy STACK… [options of the command]
 * exit   2 the Node or Terraform that it needs is missing, the stack may not be deployed like this, or nobody can approve;
 *        else the command's
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readStateBackend, refusePlainState } from '../modules/service/state-backend.ts';
import { deployable, stacksVariable } from '../stacks/deployable.ts';
import { CommandFailure } from './command-failure.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'stacks', 'deploy');

type Environment = Readonly<Record<string, string | undefined>>;

/** What is wanted of the machine, in one object so that tests can say another. */
export interface Machine {
  readonly node: string;
  /** What `terraform version` says; undefined where there is none. */
  readonly terraform: string | undefined;
}

/** Throws a `CommandFailure` that says what is missing, why, and what to do. */
export function checkMachine({ node, terraform }: Machine): void {
  const wanted = '22.19';
  if (isOlder(node, wanted)) {
    throw new CommandFailure(
      2,
      `The cdktf command needs Node ${wanted} or newer, and this is ${node}. Everything else here runs on Node 20: ` +
        'start only this with another one, such as PATH="/path/to/node-22/bin:$PATH" ./run cdktf list.',
    );
  }
  const found = /v(\d+\.\d+\.\d+)/.exec(terraform ?? '')?.[1];
  if (found === undefined || isOlder(found, '1.11')) {
    throw new CommandFailure(
      2,
      `Terraform 1.11 or newer is needed, and ${found === undefined ? 'there is none in PATH' : `this is ${found}`}. ` +
        'Older ones would write secrets into the state. Install it, or name it in TERRAFORM_BINARY_NAME.',
    );
  }
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  const major = (a?.[0] ?? 0) - (b?.[0] ?? 0);
  return major < 0 || (major === 0 && (a?.[1] ?? 0) < (b?.[1] ?? 0));
}

/**
 * The stacks that the arguments name, for the app to synthesize; empty: all that may be.
 *
 * Errors  a `CommandFailure` for a template, which is never deployed, and for a state that would be plain.
 */
export function stacksOf(argv: readonly string[], environment: Environment): readonly string[] {
  const named = deployable.filter(({ name }) => argv.slice(1).includes(name));
  for (const { name, hasSecretState } of named) {
    const refusal = hasSecretState
      ? refusePlainState(readStateBackend(environment, name), environment, name)
      : undefined;
    if (refusal !== undefined) throw new CommandFailure(2, refusal);
  }
  return named.map(({ name }) => name);
}

/** Throws a `CommandFailure` where nobody could say yes: the command would then stop, having done nothing, with 0. */
export function checkApproval(argv: readonly string[], hasTerminal: boolean): void {
  const [verb = ''] = argv;
  if (hasTerminal || !['deploy', 'destroy'].includes(verb) || argv.includes('--auto-approve')) return;
  throw new CommandFailure(
    2,
    `There is no terminal to approve at. Look at the plan first, then add --auto-approve: ./run cdktf ${verb}`,
  );
}

function install(): void {
  // npm writes this file last.
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return;
  console.error('Installing the cdktf command (npm ci in stacks/deploy, about 220 MB) ...');
  const { status } = spawnSync('npm', ['ci', '--loglevel=error'], { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new CommandFailure(2, `It could not be installed; the lines above say why.`);
}

/** `diff` leaves a plan behind, and a plan holds the values of variables. */
function forgetPlans(): void {
  for (const { name } of deployable.filter(({ hasSecretState }) => hasSecretState)) {
    rmSync(join(root, 'cdktf.out', 'stacks', name, 'plan'), { force: true });
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const terraform = process.env['TERRAFORM_BINARY_NAME'] ?? 'terraform';
  const { stdout } = spawnSync(terraform, ['version'], { encoding: 'utf8' });
  checkMachine({ node: process.versions.node, terraform: stdout });
  const named = stacksOf(argv, process.env);
  checkApproval(argv, process.stdin.isTTY);
  install();
  const command = join(folder, 'node_modules', 'cdktn-cli', 'bin', 'cdktn');
  const child = spawn(process.execPath, [command, ...argv], {
    cwd: root,
    stdio: 'inherit',
    env: {
      CHECKPOINT_DISABLE: '1',
      ...process.env,
      ...(named.length === 0 ? {} : { [stacksVariable]: named.join(',') }),
    },
  });
  // The terminal sends Ctrl-C to Terraform as well, and a second one would cut its write of the state short.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => void child.kill('SIGTERM'));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (ended) => resolve(ended ?? 1));
  });
  forgetPlans();
  return code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
    if (!(error instanceof CommandFailure)) throw error;
    console.error(error.message);
    return error.exitCode;
  });
}
