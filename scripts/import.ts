import { Command } from 'commander';
import { parseAllDocuments, stringify } from 'yaml';
import { readCronTask } from '../service/schedules/cron-task.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { isFields, type Fields } from './apply/manifests.ts';
import { visible } from './approval-text.ts';
import { CommandFailure } from './command-failure.ts';
import { readText } from './template-context.ts';
import { measured, valueOf } from './yaml-text.ts';

/** `outrigger import …` */
export function importCommand(): Command {
  const acp = new Command('acp')
    .description('turn scheduled sessions of the Ambient Code Platform into CronTasks, printed for `outrigger apply`')
    .argument('<file>', 'a scheduled session as its API answers it, a list of them, or its CronJob; YAML or JSON')
    .addHelpText(
      'after',
      '\nExample:\n  outrigger import acp session.yaml > nightly.yaml && outrigger apply -f nightly.yaml\n',
    )
    .action((file: string) => {
      try {
        const { text, leftOut } = importSessions(file, readText(file));
        for (const path of leftOut) console.error(`${visible(path)} has no meaning here and is left out.`);
        console.log(text);
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error;
        console.error(error.message);
        process.exitCode = error.exitCode;
      }
    });
  return new Command('import').description('take over what other platforms were told').addCommand(acp);
}

export interface Imported {
  /** Documents of kind CronTask. */
  readonly text: string;
  /** Paths of the source that have no meaning here. */
  readonly leftOut: readonly string[];
}

/** CronTasks for the scheduled sessions in a text of YAML or JSON. Throws a `CommandFailure`. */
export function importSessions(file: string, text: string): Imported {
  const parsed = parseAllDocuments(measured(file, text));
  const documents = 'empty' in parsed ? [] : parsed;
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault) throw new CommandFailure(2, `${file} is not YAML: ${visible(fault.message.split('\n')[0] ?? '')}`);
  const values = documents.map((one) => valueOf(file, one)).filter((one) => one !== null);
  const sources = values.flatMap((one, index) => sessionsIn(one, values.length > 1 ? `${index}.` : ''));
  if (sources.length === 0) throw new CommandFailure(2, `${file} holds no scheduled session.`);
  const tasks = sources.map((source) => cronTaskOf(file, source));
  return {
    text: tasks.map(({ manifest }) => stringify(manifest, { lineWidth: 0 }).trimEnd()).join('\n---\n'),
    leftOut: tasks.flatMap((one) => one.leftOut),
  };
}

interface Source {
  /** What its paths begin with. */
  readonly at: string;
  readonly session: Fields;
  readonly leftOut: readonly string[];
}

function sessionsIn(value: unknown, at: string): readonly Source[] {
  if (!isFields(value)) return [];
  if (Array.isArray(value['items']))
    return (value['items'] as unknown[]).flatMap((one, index) => sessionsIn(one, `${at}items.${index}.`));
  if (value['kind'] === 'CronJob') return [ofCronJob(value, at)];
  return 'sessionTemplate' in value ? [{ at, session: value, leftOut: [] }] : [];
}

/** The platform keeps a scheduled session as a CronJob whose container `trigger` has it as SESSION_TEMPLATE. */
function ofCronJob(job: Fields, at: string): Source {
  const [metadata, spec] = [fieldsOf(job['metadata']), fieldsOf(job['spec'])];
  const containers = dig(spec, ['jobTemplate', 'spec', 'template', 'spec', 'containers']);
  const trigger = listOf(containers).find((one) => one['name'] === 'trigger');
  const template = listOf(trigger?.['env']).find((one) => one['name'] === 'SESSION_TEMPLATE')?.['value'];
  const { schedule, suspend, timeZone, startingDeadlineSeconds, concurrencyPolicy, jobTemplate: _kept, ...rest } = spec;
  const displayName = dig(metadata, ['annotations', 'ambient-code.io/display-name']);
  const given = { schedule, suspend, timeZone, startingDeadlineSeconds, concurrencyPolicy, displayName };
  const known = Object.fromEntries(Object.entries(given).filter(([, one]) => one !== undefined));
  return {
    at,
    session: { name: metadata['name'], ...known, sessionTemplate: parseJson(template) },
    leftOut: Object.keys(rest).map((key) => `${at}spec.${key}`),
  };
}

/** What the platform itself does where nothing else is said. */
const platformDefaults = { concurrencyPolicy: 'Forbid', startingDeadlineSeconds: 300 };
const shortestTimeoutSeconds = 10;

function cronTaskOf(file: string, { at, session, leftOut }: Source) {
  const { name, displayName, schedule, suspend, sessionTemplate, ...others } = session;
  const { timeZone, startingDeadlineSeconds, concurrencyPolicy, ...rest } = others;
  const { initialPrompt, timeout, displayName: title, ...unheeded } = fieldsOf(sessionTemplate);
  const called = slug(name) ?? slug(displayName) ?? slug(title);
  const where = `${file}: ${at}`;
  if (called === undefined) throw new CommandFailure(2, `${where}name is missing, and displayName makes none.`);
  if (typeof initialPrompt !== 'string' || initialPrompt.trim() === '')
    throw new CommandFailure(2, `${where}sessionTemplate.initialPrompt is missing: a run would have nothing to do.`);
  const isTimeout = typeof timeout === 'number' && timeout >= shortestTimeoutSeconds;
  const shownName = typeof displayName === 'string' ? displayName : title;
  const manifest = {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'CronTask',
    metadata: {
      name: called,
      ...(typeof shownName === 'string' ? { annotations: { 'outrigger/display-name': shownName } } : {}),
    },
    spec: {
      schedule,
      timeZone: timeZone ?? 'UTC',
      concurrencyPolicy: concurrencyPolicy ?? platformDefaults.concurrencyPolicy,
      startingDeadlineSeconds: startingDeadlineSeconds ?? platformDefaults.startingDeadlineSeconds,
      suspend: suspend ?? false,
      taskTemplate: {
        spec: { description: initialPrompt, ...(isTimeout ? { timeout: `${Math.round(timeout)}s` } : {}) },
      },
    },
  };
  try {
    readCronTask(manifest);
  } catch (error) {
    if (error instanceof ServiceError) throw new CommandFailure(2, `${where}${error.message}`);
    throw error;
  }
  const paths = [
    ...Object.keys(rest).map((key) => `${at}${key}`),
    ...Object.keys(unheeded).map((key) => `${at}sessionTemplate.${key}`),
    ...(timeout === undefined || isTimeout ? [] : [`${at}sessionTemplate.timeout`]),
  ];
  return { manifest, leftOut: [...leftOut, ...paths] };
}

const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {});
const listOf = (value: unknown): readonly Fields[] =>
  Array.isArray(value) ? (value as unknown[]).filter(isFields) : [];
const dig = (value: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((inner, key) => (isFields(inner) ? inner[key] : undefined), value);

/** Leaves room for the time that a run's name ends with. */
const longestName = 52;

/** A name as Kubernetes has them, or undefined where a text gives none. */
function slug(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const plain = text.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const cut = plain.replace(/^-+/, '').slice(0, longestName).replace(/-+$/, '');
  return cut === '' ? undefined : cut;
}

function parseJson(text: unknown): unknown {
  try {
    return typeof text === 'string' ? (JSON.parse(text) as unknown) : undefined;
  } catch {
    return undefined;
  }
}
