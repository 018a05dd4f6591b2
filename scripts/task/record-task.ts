import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { TaskEvent } from '../../modules/contract.ts';
import { visible, visibleJson } from '../approval-text.ts';
import { CommandFailure } from '../command-failure.ts';
import { parseJson, refused } from '../service-client.ts';
import type { ServiceFlags, Surroundings } from '../template-context.ts';
import { eventLine } from './event-line.ts';
import { expected, readTask, reachService, taskPath, type Reach } from './task-access.ts';
import { followTask } from './task-events.ts';

export interface LogFlags extends ServiceFlags {
  readonly follow?: boolean;
}

export interface ExportTaskFlags extends Omit<ServiceFlags, 'output'> {
  readonly output?: string;
  readonly format: string;
}

/** Prints what the agent said and did, as a person reads it; with `--follow` to the end of the task. */
export async function printLog(id: string, flags: LogFlags, around: Surroundings): Promise<void> {
  const reach = reachService(flags, around);
  const print = makeReader(around.print);
  const events = flags.follow === true ? followTask(reach, id, around) : transcriptOf(reach, id, around.signal);
  for await (const event of events) {
    if (flags.output === 'json') around.print(visible(JSON.stringify(event)));
    else print(event);
  }
  print(null);
}

const checkpoints = z.object({
  items: z.array(z.object({ number: z.number(), commit: z.string(), parent: z.string(), at: z.string() })),
});
const restored = z.object({
  number: z.number(),
  commit: z.string(),
  saved: z.object({ number: z.number() }).nullable(),
});

export interface RestoreFlags extends ServiceFlags {
  readonly force?: boolean;
}

/** Prints the checkpoints of a task. Throws a `CommandFailure`. */
export async function listCheckpoints(id: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const reach = reachService(flags, around);
  const { items } = expected(reach, checkpoints, await reach.call('GET', taskPath(id, '/checkpoints')));
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('This task has no checkpoints: all that it did is committed.');
  for (const { number, commit, at } of items)
    around.print(`${String(number).padStart(4)}  ${at}  ${commit.slice(0, 12)}`);
}

/** Makes the work tree of a task that of a checkpoint. Throws a `CommandFailure`. */
export async function restoreTask(
  id: string,
  number: string,
  flags: RestoreFlags,
  around: Surroundings,
): Promise<void> {
  if (!/^[1-9]\d{0,5}$/.test(number)) throw new CommandFailure(2, `"${number}" is no number of a checkpoint.`);
  const reach = reachService(flags, around);
  const body = { number: Number(number), force: flags.force === true };
  const done = expected(reach, restored, await reach.call('POST', taskPath(id, '/restore'), body));
  if (flags.output === 'json') return around.print(visibleJson(done));
  const before = done.saved === null ? '' : ` What was there before is checkpoint ${done.saved.number}.`;
  around.print(`The work tree is that of checkpoint ${done.number}.${before}`);
}

/** Text of the agent comes in pieces: whole lines of it are printed, and the rest before whatever comes next. */
function makeReader(print: (line: string) => void): (event: TaskEvent | null) => void {
  let rest = '';
  return (event) => {
    const text = event?.type === 'message.text' ? event.data['text'] : undefined;
    if (typeof text === 'string') {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach((line) => print(visible(line)));
      return;
    }
    const line = event && eventLine(event);
    if (event !== null && line === null) return;
    if (rest !== '') print(visible(rest));
    rest = '';
    if (line !== null) print(`· ${visible(line)}`);
  };
}

async function* transcriptOf(reach: Reach, id: string, signal: AbortSignal): AsyncGenerator<TaskEvent> {
  let rest = '';
  const decoder = new TextDecoder();
  const answer = await openTranscript(reach, id, 'ndjson', signal);
  for await (const piece of Readable.fromWeb(answer as never)) {
    const lines = (rest + decoder.decode(piece as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as TaskEvent;
  }
}

/** Writes the transcript of a task, or with `zip` all that it left, to a file. Throws a `CommandFailure`. */
export async function exportTask(id: string, flags: ExportTaskFlags, around: Surroundings): Promise<void> {
  const { format } = flags;
  if (format !== 'zip' && format !== 'ndjson')
    throw new CommandFailure(2, `--format takes zip or ndjson, not "${format}".`);
  const reach = reachService({ ...flags, output: 'text' }, around);
  const task = await readTask(reach, id);
  const path = flags.output ?? `task-${task.id}.${format}`;
  const answer = await openTranscript(reach, task.id, format, around.signal);
  // An export that was cut is none: a file that is there already is never half replaced.
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  try {
    await pipeline(Readable.fromWeb(answer as never), file);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new CommandFailure(2, `${path} is there already. Name another file with --output.`);
    await rm(path, { force: true });
    throw new CommandFailure(2, `The export of the task was cut. Nothing was kept; try again.`, { cause });
  }
  around.print(path);
}

async function openTranscript(
  { url, token }: Reach,
  id: string,
  format: 'zip' | 'ndjson',
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const response = await fetch(`${url}${taskPath(id, '/transcript')}?format=${format}`, {
    redirect: 'manual',
    signal,
    headers: { 'Coder-Session-Token': token },
  }).catch((cause: unknown) => {
    throw new CommandFailure(2, `Outrigger at ${url} could not be reached. Check that it runs.`, { cause });
  });
  if (response.ok && response.body) return response.body;
  throw refused(url, response.status, parseJson(await response.text()));
}
