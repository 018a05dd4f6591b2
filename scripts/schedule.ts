import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { ask, listOf } from './ask.ts';
import { inProcess, reach, withServiceOptions, type ServiceFlags, type Surroundings } from './template-context.ts';
import { readWorkflowFile } from './workflow-run.ts';

const path = '/api/v2/agents/schedules';
const example = `
Example, with a file that says:
  apiVersion: kubeopencode.io/v1alpha1
  kind: CronTask
  metadata: { name: nightly }
  spec:
    schedule: 30 2 * * *
    timeZone: Europe/Berlin
    taskTemplate:
      spec: { description: Look for outdated dependencies and update them., workspace_id: my-workspace }

  outrigger schedule create -f nightly.yaml
  outrigger schedule history nightly
`;

/** `outrigger schedule …` */
export function scheduleCommand(): Command {
  const command = new Command('schedule')
    .description('start tasks and workflows at their times')
    .addHelpText('after', example);
  const add = (name: string, description: string, run: Run): Command => {
    const one = withServiceOptions(new Command(name)).description(description);
    command.addCommand(one);
    return one.action(async (...given: unknown[]) => {
      const flags = given.at(-2) as Flags;
      const word = typeof given[0] === 'string' ? given[0] : '';
      process.exitCode = await inProcess(flags, (around) => run(word, flags, around));
    });
  };
  add('list', 'show your schedules and when they run next', (_name, flags, around) => listSchedules(flags, around));
  add('create', 'store a new schedule; `outrigger apply -f` also changes one', createSchedule)
    .requiredOption('-f, --file <file>', 'a CronTask as YAML or JSON')
    .addHelpText('after', example);
  add('show', 'show one schedule with its next ten runs', showSchedule).argument('<name>', 'which schedule');
  add('preview', 'say when a cron expression would run next, ten times', previewSchedule)
    .argument('<expression>', 'five fields, in quotes')
    .option('--time-zone <zone>', 'an IANA time zone', 'UTC')
    .addHelpText('after', '\nExample:\n  outrigger schedule preview "30 2 * * *" --time-zone Europe/Berlin\n');
  for (const [verb, description] of Object.entries(verbs))
    add(verb, description, (name, flags, around) => changeSchedule(verb, name, flags, around)).argument(
      '<name>',
      'which schedule',
    );
  add('trigger', 'start a run now, also while it is suspended', triggerSchedule).argument('<name>', 'which schedule');
  add('history', 'show what became of its runs, the newest first', showHistory).argument('<name>', 'which schedule');
  add('delete', 'delete a schedule with its history; what it started goes on', deleteSchedule).argument(
    '<name>',
    'which schedule',
  );
  return command;
}

interface Flags extends ServiceFlags {
  readonly file?: string;
  readonly timeZone?: string;
}
type Run = (word: string, flags: Flags, around: Surroundings) => Promise<void>;

const verbs = {
  suspend: 'let it start nothing until it is resumed',
  resume: 'let it start again from now on; what was due meanwhile is skipped',
};

const schedule = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    schedule: z.string(),
    timeZone: z.string(),
    concurrencyPolicy: z.string(),
    missedRunPolicy: z.string(),
  }),
  status: z.looseObject({
    next_run_at: z.string().nullable(),
    next_runs: z.array(z.string()),
    last_run_at: z.string().nullable(),
    suspended_at: z.string().nullable(),
    suspended_reason: z.string().nullable(),
    active: z.array(z.string()),
  }),
});
type ScheduleAnswer = z.output<typeof schedule>;
const run = z.looseObject({
  name: z.string(),
  cause: z.string(),
  scheduled_at: z.string(),
  verdict: z.string(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  task_id: z.string().nullable(),
  workflow_id: z.string().nullable(),
  outcome: z.string().nullable(),
});

const at = (name: string, rest = ''): string => `${path}/${encodeURIComponent(name)}${rest}`;

/** Prints the person's schedules. Throws a `CommandFailure`. */
export async function listSchedules(flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { items } = await ask(flags, around, listOf(schedule), 'GET', `${path}?limit=200`);
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('You have no schedule. `outrigger schedule create -f FILE` makes one.');
  for (const one of items) around.print(lineOf(one));
}

const lineOf = ({ metadata, spec, status }: ScheduleAnswer): string => {
  const next = status.suspended_at === null ? `next ${status.next_run_at ?? 'never'}` : 'suspended';
  return visible(`${metadata.name.padEnd(24)}  ${spec.schedule} (${spec.timeZone})  ${next}`);
};

function print(one: ScheduleAnswer, flags: ServiceFlags, around: Surroundings): void {
  if (flags.output === 'json') return around.print(visibleJson(one));
  const { spec, status } = one;
  around.print(lineOf(one));
  if (status.suspended_at !== null)
    around.print(
      visible(`  suspended since ${status.suspended_at}: ${status.suspended_reason ?? 'as it was written'}`),
    );
  around.print(
    `  concurrency ${spec.concurrencyPolicy} · missed runs ${spec.missedRunPolicy} · last run ${status.last_run_at ?? 'none'}`,
  );
  if (status.active.length > 0) around.print(`  not finished: ${status.active.map(visible).join(', ')}`);
  around.print('  next runs:');
  for (const when of status.next_runs) around.print(`    ${when}`);
}

/** Prints one schedule. Throws a `CommandFailure`. */
export async function showSchedule(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  print(await ask(flags, around, schedule, 'GET', at(name)), flags, around);
}

/** Stores the CronTask of a file. Throws a `CommandFailure`. */
export async function createSchedule(_word: string, flags: Flags, around: Surroundings): Promise<void> {
  const body = readWorkflowFile(flags.file ?? '');
  print(await ask(flags, around, schedule, 'POST', path, body), flags, around);
}

/** Prints when an expression comes next. Throws a `CommandFailure`. */
export async function previewSchedule(expression: string, flags: Flags, around: Surroundings): Promise<void> {
  const body = { schedule: expression, timeZone: flags.timeZone ?? 'UTC' };
  const found = await ask(
    flags,
    around,
    z.looseObject({ next_runs: z.array(z.string()) }),
    'POST',
    `${path}/preview`,
    body,
  );
  if (flags.output === 'json') return around.print(visibleJson(found));
  for (const when of found.next_runs) around.print(when);
}

/** Suspends or resumes one. Throws a `CommandFailure`. */
export async function changeSchedule(
  verb: string,
  name: string,
  flags: ServiceFlags,
  around: Surroundings,
): Promise<void> {
  const changed = await ask(flags, around, schedule, 'POST', at(name, `/${verb}`), {});
  around.print(flags.output === 'json' ? visibleJson(changed) : lineOf(changed));
}

/** Starts a run now. Throws a `CommandFailure`. */
export async function triggerSchedule(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const headers = { 'Idempotency-Key': randomUUID() };
  const started = await ask(flags, around, run, 'POST', at(name, '/trigger'), {}, headers);
  around.print(flags.output === 'json' ? visibleJson(started) : runLine(started));
}

const runLine = ({
  name,
  verdict,
  reason,
  message,
  outcome,
  task_id: task,
  workflow_id: workflow,
}: z.output<typeof run>): string => {
  const what = task
    ? `task ${task}`
    : workflow
      ? `workflow ${workflow}`
      : [reason, message].filter((one) => one !== null).join(': ');
  return visible(
    `${name.padEnd(36)}  ${verdict.padEnd(8)}  ${(outcome ?? (verdict === 'started' ? 'under way' : '-')).padEnd(10)}  ${what}`,
  );
};

/** Prints what became of the runs. Throws a `CommandFailure`. */
export async function showHistory(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { items } = await ask(flags, around, listOf(run), 'GET', at(name, '/history?limit=200'));
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0)
    return around.print('It has not run yet. `outrigger schedule trigger NAME` starts a run now.');
  for (const one of items) around.print(runLine(one));
}

/** Deletes one. Throws a `CommandFailure`. */
export async function deleteSchedule(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  await reach(flags, around.config).call('DELETE', at(name));
  around.print(flags.output === 'json' ? visibleJson({ deleted: name }) : `Deleted ${visible(name)}.`);
}
