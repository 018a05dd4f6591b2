import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { LeaseCommand } from '../../contract.ts';
import type { Story } from './attempt-parts.ts';
import { AttemptFailure } from './failure.ts';
import type { Git } from './git.ts';
import type { TaskDirectories } from './task-directories.ts';
import { nixPlace } from './nix-place.ts';
import type { Runner } from './runner-client.ts';
import type { Environment, ExecResult } from './runner-protocol.ts';
import { makeVerifyPlace } from './verify-place.ts';
import { partOf, type WorkTree } from './worktree.ts';

export interface CommandParts extends Pick<Story, 'parts' | 'lease' | 'progress' | 'asks'> {
  readonly command: LeaseCommand;
  readonly runner: Runner;
  readonly git: Git;
  readonly workTree: WorkTree;
  readonly path: string;
  readonly directories: TaskDirectories;
  /** What is left of the task's time. */
  readonly msLeft: () => number;
}

/** What a program needs besides its arguments. */
interface Place {
  readonly environment: Environment;
  /** What a person should know of it. */
  readonly notice: string | null;
}

const places: Readonly<Record<LeaseCommand['program'], (parts: CommandParts) => Promise<Place>>> = {
  nix: ({ parts, runner, path, directories }) =>
    nixPlace({ runner, path, nixDir: parts.settings.nixDir, taskDir: directories.root }),
};

/** As much of the end as later steps get. */
const outputBytes = 24 * 1024;
const titleLength = 300;
/** The clock of the attempt ends it first, and says why. */
const lateMs = 30_000;

/**
 * Runs the command of a lease, which takes the place of the conversation.
 *
 * Place    a fresh checkout of what the task builds on, a new and empty HOME and TMPDIR; all of it is removed
 *          afterwards, and what the command writes there is not kept.
 * Person   it runs code of the repository, so in every profile but `trusted` a person sees it first.
 */
export async function runLeasedCommand(given: CommandParts): Promise<void> {
  const { parts, command, progress } = given;
  const { event: emit } = parts.outbox;
  if (!Object.hasOwn(places, command.program))
    throw new AttemptFailure('ContextError', `This bridge does not run ${String(command.program)}.`, false);
  if (!isThere(command.program, given.path)) throw noProgram(command.program);
  const argv = [command.program, ...command.arguments];
  if (!(await isAllowed(given, argv)))
    throw new AttemptFailure('ApprovalRejected', 'The command was not allowed to run.', false);
  const place = await places[command.program](given);
  if (place.notice !== null) emit('bridge.notice', { notice: place.notice });
  const call = { tool: command.program, call_id: 'command', title: argv.join(' ').slice(0, titleLength) };
  emit('tool.started', call);
  const startedAt = performance.now();
  const { exit, timed_out, stdout } = await run(given, argv, place);
  emit('tool.finished', { ...call, status: 'completed', exit, duration_ms: Math.round(performance.now() - startedAt) });
  progress.commanded = { exit, timed_out };
  progress.toolExits = [{ ...call, status: 'completed', exit }];
  progress.lastMessage = { finish: 'stop', error: null, text: stdout };
}

async function isAllowed({ lease, asks, workTree }: CommandParts, argv: readonly string[]): Promise<boolean> {
  if (lease.profile === 'trusted') return true;
  if (lease.profile === 'read-only') return false;
  const answer = await asks.ask({
    ask_id: `command-${lease.task_id}`,
    kind: 'permission',
    title: `Run: ${argv.join(' ')}`.slice(0, 500),
    detail: { argv, commit: workTree.base, permission: 'command' },
  });
  return answer.decision === 'once';
}

async function run(given: CommandParts, argv: readonly string[], { environment }: Place): Promise<ExecResult> {
  const { parts, lease, runner, git, workTree, path, directories, msLeft } = given;
  const checkout = await makeVerifyPlace({
    git,
    workTree: workTree.path,
    taskDir: directories.root,
    commit: workTree.base,
  });
  try {
    return await runner.exec({
      argv,
      directory: partOf(checkout.tree, relative(workTree.path, workTree.folder)),
      environment: {
        LANG: 'C.UTF-8',
        ...parts.settings.inherited,
        ...lease.environment,
        ...environment,
        PATH: path,
        HOME: checkout.home,
        TMPDIR: checkout.temporary,
      },
      timeout_ms: msLeft() + lateMs,
      max_bytes: outputBytes,
      tail: true,
    });
  } finally {
    checkout.remove();
  }
}

const isThere = (program: string, path: string): boolean =>
  path.split(':').some((folder) => existsSync(join(folder, program)));

const noProgram = (program: string): AttemptFailure =>
  new AttemptFailure(
    'ContextError',
    `There is no ${program} in the image of this workspace. Build the workspace with an image that has it.`,
    false,
  );
