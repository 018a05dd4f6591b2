import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TaskEvent } from '../../modules/contract.ts';
import { visible } from '../approval-text.ts';
import { CommandFailure } from '../command-failure.ts';
import { parseJson, refused } from '../service-client.ts';
import type { ServiceFlags, Surroundings } from '../template-context.ts';
import { eventLine } from './event-line.ts';
import { readTask, reachService, taskPath, type Reach } from './task-access.ts';
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
