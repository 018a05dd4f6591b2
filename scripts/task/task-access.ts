import { z } from 'zod';
import { makeServiceCall, notOurs, type ServiceAccess, type ServiceCall } from '../service-client.ts';
import { connectCoder, serviceUrl, type ServiceFlags, type Surroundings } from '../template-context.ts';

export const tasksPath = '/api/v2/agents/tasks';

/** A task as a list shows it; the rest of the answer stays as it came. */
export const taskSummary = z.looseObject({
  id: z.string(),
  agent: z.string(),
  action: z.string(),
  title: z.string(),
  state: z.string(),
  outcome: z.string().nullable(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  exit_code: z.number().nullable(),
  attempt: z.number(),
  max_attempts: z.number(),
  workspace_name: z.string(),
  branch: z.string(),
  model: z.string(),
  last_event_seq: z.number(),
  submitted_at: z.string(),
  duration_seconds: z.number().nullable(),
});
export type TaskSummary = z.infer<typeof taskSummary>;

/** A task with what is known of its work. */
export const taskShape = taskSummary.extend({
  usage: z.object({ cost_micro_usd: z.number(), calls: z.number() }).nullish(),
  attempts: z.array(
    z.looseObject({ number: z.number(), outcome: z.string().nullable(), reason: z.string().nullable() }),
  ),
});
export type ShownTask = z.infer<typeof taskShape>;

/** The service, as the person. */
export interface Reach extends ServiceAccess {
  readonly call: ServiceCall;
}

export function reachService(flags: ServiceFlags, { config }: Surroundings): Reach {
  const access = { url: serviceUrl(flags, config), token: connectCoder(config).token };
  return { ...access, call: makeServiceCall(access) };
}

/** What an answer holds. Throws a `CommandFailure` where another program answered. */
export function expected<Shape extends z.ZodType>({ url }: Reach, shape: Shape, answer: unknown): z.output<Shape> {
  const read = shape.safeParse(answer);
  if (!read.success) throw notOurs(url);
  return read.data;
}

export const taskPath = (id: string, rest = ''): string => `${tasksPath}/${encodeURIComponent(id)}${rest}`;

export const readTask = async (reach: Reach, id: string): Promise<ShownTask> =>
  expected(reach, taskShape, await reach.call('GET', taskPath(id)));
