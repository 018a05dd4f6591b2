import { z } from 'zod';
import { CommandFailure, type ExitCode } from '../command-failure.ts';
import type { ServiceFlags, Surroundings } from '../template-context.ts';
import { eventLine } from './event-line.ts';
import { expected, reachService, readTask, taskPath, type Reach } from './task-access.ts';
import { followTask } from './task-events.ts';
import { shownTask } from './task-text.ts';

export interface RunFlags extends ServiceFlags {
  readonly workspace?: string;
  readonly agent: string;
  readonly action: string;
  readonly model?: string;
  readonly profile?: string;
  readonly file?: string;
  readonly verify?: string;
  readonly verifyTimeout?: string;
  readonly timeout?: string;
  readonly priority?: string;
  readonly key?: string;
  readonly wait?: boolean;
}

const accepted = z.object({ id: z.string() });

/** Submits one task, and with `--wait` follows it to its end; answers what to exit with. Throws a `CommandFailure`. */
export async function runTask(prompt: string, flags: RunFlags, around: Surroundings): Promise<ExitCode | void> {
  const reach = reachService(flags, around);
  const headers = flags.key === undefined ? {} : { 'Idempotency-Key': flags.key };
  const answer = await reach.call('POST', '/api/v2/agents/execute', taskBodyOf(prompt, flags), headers);
  const { id } = expected(reach, accepted, answer);
  if (flags.wait === true) return waitForTask(reach, id, flags, around);
  if (flags.output === 'json') return around.print(JSON.stringify({ id }));
  around.print(id);
  around.tell(`Submitted. \`outrigger task events ${id} --follow\` shows how it goes on.`);
}

/** Submits the work of a task that came to nothing again. Throws a `CommandFailure`. */
export async function retryTask(
  failedId: string,
  flags: Pick<RunFlags, 'key' | 'wait'> & ServiceFlags,
  around: Surroundings,
): Promise<ExitCode | void> {
  const reach = reachService(flags, around);
  const headers = flags.key === undefined ? {} : { 'Idempotency-Key': flags.key };
  const { id } = expected(reach, accepted, await reach.call('POST', taskPath(failedId, '/retry'), {}, headers));
  return flags.wait === true ? waitForTask(reach, id, flags, around) : around.print(id);
}

/** Tells every event, shows how the task ended, and answers its exit code. */
export async function waitForTask(
  reach: Reach,
  id: string,
  flags: ServiceFlags,
  around: Surroundings,
): Promise<ExitCode | void> {
  around.tell(`Task ${id}. It goes on when this command ends; \`outrigger task stop ${id}\` ends it.`);
  for await (const event of followTask(reach, id, around)) {
    const line = eventLine(event);
    if (line !== null) around.tell(line);
    if (event.type === 'approval.requested') around.tell('  `outrigger approval list` shows it whole.');
  }
  const task = await readTask(reach, id);
  for (const line of shownTask(task, flags.output)) around.print(line);
  return exitCodes.find((known) => known === task.exit_code);
}

const exitCodes: readonly ExitCode[] = [1, 2, 124, 143];

/** The body of `POST …/execute`. */
function taskBodyOf(prompt: string, flags: RunFlags): Record<string, unknown> {
  const { workspace, file, model, profile, verify, verifyTimeout } = flags;
  return {
    type: flags.agent,
    payload: {
      action: flags.action,
      prompt,
      context: { ...given('workspace_id', workspace), ...given('file_path', file) },
    },
    ...given('model', model),
    ...given('profile', profile),
    ...given('timeout_seconds', wholeNumber('--timeout', flags.timeout)),
    ...given('priority', wholeNumber('--priority', flags.priority)),
    ...(verify === undefined
      ? {}
      : {
          verify: {
            argv: wordsOf(verify),
            ...given('timeout_seconds', wholeNumber('--verify-timeout', verifyTimeout)),
          },
        }),
  };
}

const given = (name: string, value: unknown): Record<string, unknown> => (value === undefined ? {} : { [name]: value });

function wholeNumber(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^-?\d{1,6}$/.test(text)) return Number(text);
  throw new CommandFailure(2, `${flag} takes a whole number, not "${text}".`);
}

/** No shell reads it: words are split at spaces, and what needs quotes is given as a JSON list. */
function wordsOf(command: string): readonly string[] {
  if (command.trimStart().startsWith('[')) {
    const list = z.array(z.string().min(1)).min(1).safeParse(parseList(command));
    if (list.success) return list.data;
    throw new CommandFailure(2, '--verify begins like a JSON list, but is no list of words.');
  }
  const words = command.split(/\s+/).filter((word) => word !== '');
  if (words.length > 0 && !/["'`\\$|&;<>*?]/.test(command)) return words;
  throw new CommandFailure(
    2,
    '--verify is a command without a shell, such as "npm test". Give words with quotes or spaces as a JSON list: \'["sh", "-c", "npm test && npm run lint"]\'.',
  );
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
