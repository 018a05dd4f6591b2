import { z } from 'zod';
import { catalogue } from '../../service/agents/actions.ts';
import { canonicalJson } from '../../service/platform/canonical.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { parse } from '../../service/platform/http.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';
import { readWork } from '../../service/schedules/work.ts';
import { CommandFailure } from '../command-failure.ts';
import { ServiceRefusal } from '../service-client.ts';
import { withoutUnknown, type Known } from './left-out.ts';
import { isFields, type Fields } from './manifests.ts';
import { servicePath, stepWithDryRun, type Change, type Ground, type Planner } from './plan.ts';

const task = z.strictObject({
  apiVersion: z.string(),
  kind: z.literal('Task'),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.record(z.string(), z.unknown()),
});

/** Submitted once under its name: applied again it names the same task. */
export const planTask: Planner = (manifest, ground) => {
  const ours = inOurWords(manifest.value, ['spec']);
  const { value, leftOut } = withoutUnknown(ours.value, taskBodyOf);
  const step = stepWithDryRun(ground, `/named-tasks/${manifest.name}`, taskBodyOf(value));
  return Promise.resolve({ manifest, leftOut: [...ours.leftOut, ...leftOut], steps: [step] });
};

/** What a Task submits, read like the template of a CronTask. */
function taskBodyOf(value: Fields): unknown {
  const { spec } = parse(task, value, 'The task');
  try {
    return readWork({ taskTemplate: { spec } }, 'spec').body;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const errors = error.errors.map((one) => ({ ...one, path: one.path.replace('spec.taskTemplate.spec', 'spec') }));
    throw new ServiceError(error.kind, error.code, error.message, { cause: error, errors });
  }
}

export const planCronTask: Planner = (manifest, ground) => {
  const ours = inOurWords(manifest.value, ['spec', 'taskTemplate', 'spec']);
  const { value, leftOut } = withoutUnknown(ours.value, readCronTask);
  const path = servicePath(`/schedules/${manifest.name}`, {});
  let before: unknown = null;
  const foresee = async (): Promise<Change> => {
    before = await findSchedule(path, ground);
    if (before === null) return 'created';
    return saysTheSame(value, before) ? 'unchanged' : 'changed';
  };
  // A workspace that is named, and not given by its id, is known only from the answer.
  const after = (answer: unknown): Change =>
    before === null ? 'created' : written(answer) === written(before) ? 'unchanged' : 'changed';
  const step = { path, body: value, foresee, after };
  return Promise.resolve({ manifest, leftOut: [...ours.leftOut, ...leftOut], steps: [step] });
};

/** Null where there is none of that name. */
async function findSchedule(path: string, { call }: Ground): Promise<unknown> {
  const missing = (error: unknown): null => {
    if (error instanceof ServiceRefusal && error.status === 404) return null;
    throw error;
  };
  const found = await call('GET', path).catch(missing);
  if (found !== null) return found;
  const all = await call('GET', servicePath('/schedules', { limit: '1' })).catch(missing);
  if (all === null) throw new CommandFailure(1, 'this service has no schedules; it is older than this command.');
  return null;
}

const written = (answer: unknown): string => {
  const { metadata, spec } = isFields(answer) ? answer : {};
  return canonicalJson({ metadata, spec });
};

function saysTheSame(wanted: Fields, answer: unknown): boolean {
  if (!isFields(answer)) return false;
  const { apiVersion, kind, metadata, spec } = answer;
  try {
    const [one, other] = [readCronTask(wanted), readCronTask({ apiVersion, kind, metadata, spec })];
    const found = { ...other, work: unpinned(other.work, one.work) };
    return meaning(one) === meaning(found as typeof one);
  } catch (error) {
    if (error instanceof ServiceError) return false;
    throw error;
  }
}

const meaning = ({ metadata, spec, suspend, work }: ReturnType<typeof readCronTask>): string =>
  canonicalJson({ metadata, spec, suspend, work });

/** Stored work without the workspaces that the service chose because the wanted work names none. */
function unpinned(stored: unknown, wanted: unknown): unknown {
  if (Array.isArray(stored)) {
    const others: readonly unknown[] = Array.isArray(wanted) ? wanted : [];
    return stored.map((one, index) => unpinned(one, others[index]));
  }
  if (!isFields(stored)) return stored;
  const other = isFields(wanted) ? wanted : {};
  const kept = Object.entries(stored).filter(([key]) => key !== 'workspace_id' || key in other);
  return Object.fromEntries(kept.map(([key, one]) => [key, unpinned(one, other[key])]));
}

/**
 * Puts a task of kubeopencode, at this path of a manifest, into words that are heeded here.
 *
 * A text among its contexts goes to the end of the prompt, as it does there; an agent that does no tasks here is left
 * out, and the usual one does it. Both, and contexts of other types, are named.
 */
function inOurWords(value: Fields, path: readonly string[]): Known {
  const copy = structuredClone(value) as Record<string, unknown>;
  const spec = path.reduce<unknown>((inner, key) => (isFields(inner) ? inner[key] : undefined), copy);
  if (!isFields(spec) || 'payload' in spec) return { value: copy, leftOut: [] };
  const [task, leftOut] = [spec as Record<string, unknown>, [] as string[]];
  const at = path.join('.');
  const agent = isFields(task['agentRef']) ? task['agentRef']['name'] : undefined;
  if (typeof agent === 'string' && !(agent in catalogue)) {
    leftOut.push(`${at}.agentRef (no agent here is called ${agent}, so opencode does it)`);
    delete task['agentRef'];
  }
  if (Array.isArray(task['contexts'])) {
    const texts: string[] = [];
    for (const [index, one] of (task['contexts'] as unknown[]).entries())
      if (isFields(one) && one['type'] === 'Text' && typeof one['text'] === 'string' && !('mountPath' in one))
        texts.push(one['text']);
      else leftOut.push(`${at}.contexts.${index}`);
    delete task['contexts'];
    if (typeof task['description'] === 'string') task['description'] = [task['description'], ...texts].join('\n\n');
  }
  return { value: copy, leftOut };
}
