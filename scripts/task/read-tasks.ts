import { z } from 'zod';
import { visible, visibleJson } from '../approval-text.ts';
import { CommandFailure, type ExitCode } from '../command-failure.ts';
import type { ServiceFlags, Surroundings } from '../template-context.ts';
import { eventLine } from './event-line.ts';
import { expected, reachService, readTask, taskPath, tasksPath, taskShape, taskSummary } from './task-access.ts';
import { followTask } from './task-events.ts';
import { shownTask, taskLine } from './task-text.ts';

export interface ListFlags extends ServiceFlags {
  readonly limit: string;
  readonly workflow?: string;
}

const page = z.object({ items: z.array(taskSummary), next_cursor: z.string().nullable() });

/** Prints the newest tasks of the person. Throws a `CommandFailure`. */
export async function listTasks(flags: ListFlags, around: Surroundings): Promise<void> {
  if (!/^\d{1,3}$/.test(flags.limit)) throw new CommandFailure(2, `--limit takes 1 to 200, not "${flags.limit}".`);
  const reach = reachService(flags, around);
  const query = new URLSearchParams({ limit: flags.limit, ...(flags.workflow ? { workflow_id: flags.workflow } : {}) });
  const { items, next_cursor: more } = expected(
    reach,
    page,
    await reach.call('GET', `${tasksPath}?${query.toString()}`),
  );
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('No tasks yet. `outrigger run "Add a test for the parser"` submits one.');
  for (const task of items) around.print(taskLine(task));
  if (more !== null) around.tell('There are older ones; --limit shows up to 200.');
}

/** Prints one task. Throws a `CommandFailure`. */
export async function showTask(id: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const task = await readTask(reachService(flags, around), id);
  for (const line of shownTask(task, flags.output)) around.print(line);
}

export interface EventFlags extends ServiceFlags {
  readonly follow?: boolean;
}

/** Prints the events of a task so far, or with `--follow` to its end. Throws a `CommandFailure`. */
export async function printEvents(id: string, flags: EventFlags, around: Surroundings): Promise<void> {
  const reach = reachService(flags, around);
  const { last_event_seq: lastSeq } = await readTask(reach, id);
  if (lastSeq === 0 && flags.follow !== true) return;
  for await (const event of followTask(reach, id, around)) {
    const { seq, at, type, attempt } = event;
    if (flags.output === 'json') around.print(visibleJson(event).replace(/\n\s*/g, ' '));
    else around.print(`${String(seq).padStart(4)}  ${at}  #${attempt}  ${visible(eventLine(event) ?? type)}`);
    if (flags.follow !== true && seq >= lastSeq) return;
  }
}

export interface MessageFlags extends ServiceFlags {
  readonly key?: string;
}

const message = z.looseObject({ id: z.string() });

/** Says something to a task. Throws a `CommandFailure`. */
export async function tellTask(id: string, text: string, flags: MessageFlags, around: Surroundings): Promise<void> {
  const reach = reachService(flags, around);
  const headers = flags.key === undefined ? {} : { 'Idempotency-Key': flags.key };
  const said = expected(reach, message, await reach.call('POST', taskPath(id, '/messages'), { text }, headers));
  if (flags.output === 'json') return around.print(visibleJson(said));
  around.print(`Message ${said.id} is on its way. \`outrigger task events ${id}\` says when it was heard.`);
}

/** Ends a task; what runs is `stopping` until nothing is left of it. Throws a `CommandFailure`. */
export async function endTask(id: string, flags: ServiceFlags, around: Surroundings): Promise<ExitCode | void> {
  const reach = reachService(flags, around);
  const task = expected(reach, taskShape, await reach.call('POST', taskPath(id, '/stop')));
  if (flags.output === 'json') return around.print(visibleJson(task));
  around.print(`${task.id}  ${task.outcome ?? task.state}`);
}
