import { z } from 'zod';
import { profiles, reasons, taskOutcomes, taskStates } from '../../modules/contract.ts';
import { evidence } from '../bridge/frames.ts';
import { taskResult } from './result-shape.ts';
import { appStatuses, phases } from './words.ts';

const time = z.iso.datetime();
const count = z.number().int();

/** What model calls used and cost. */
export const usageShape = z
  .strictObject({
    input_tokens: count,
    cached_tokens: count,
    output_tokens: count,
    reasoning_tokens: count,
    calls: count,
    cost_micro_usd: count,
    unpriced_calls: count.optional().meta({ description: 'Calls whose cost nobody knows; it is missing in the sum.' }),
    estimated_calls: count.optional().meta({ description: 'Calls that count as the most they can have used.' }),
    tool_calls: count.optional(),
  })
  .meta({ id: 'Usage' });

const summaryFields = {
  id: z.uuid(),
  status: z.enum(taskStates),
  agent: z.string(),
  type: z.string(),
  action: z.string(),
  title: z.string(),
  state: z.enum(taskStates),
  outcome: z.enum(taskOutcomes).nullable(),
  phase: z.enum(phases),
  app_status: z.enum(appStatuses),
  exit_code: count.nullable(),
  reason: z.enum(reasons).nullable(),
  message: z.string().nullable(),
  attempt: count,
  max_attempts: count,
  owner_id: z.string(),
  owner_name: z.string(),
  organization_id: z.string(),
  workspace_id: z.string(),
  workspace_name: z.string(),
  workflow_id: z.string().nullable(),
  step_id: z.string().nullable(),
  retry_of: z.string().nullable(),
  profile: z.enum(profiles),
  model: z.string(),
  branch: z.string(),
  priority: count,
  timeout_seconds: z.number(),
  session_id: z.string().nullable(),
  last_event_seq: count,
  submitted_at: time,
  run_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  duration_seconds: z.number().nullable(),
  usage: usageShape.nullable(),
};

/** What was accepted under an id. */
export const accepted = z.strictObject({ id: z.uuid(), status: z.literal('queued') });

/** Something said to a task. */
export const messageAnswer = z
  .strictObject({
    id: z.uuid(),
    task_id: z.uuid(),
    author_id: z.string(),
    text: z.string(),
    created_at: time,
    delivered_at: time.nullable(),
    attempt: count.nullable(),
  })
  .meta({ id: 'Message' });

/** A task that used up its attempts. */
export const deadLetterAnswer = z
  .strictObject({
    id: z.uuid(),
    task_id: z.uuid(),
    workspace_id: z.string(),
    agent: z.string(),
    action: z.string(),
    attempts: count,
    reason: z.enum(reasons).nullable(),
    message: z.string().nullable(),
    created_at: time,
    requeued_at: time.nullable(),
    requeued_as: z.string().nullable(),
  })
  .meta({ id: 'DeadLetter' });

const health = z.enum(['available', 'unavailable']);

/** An agent of the registry, or the entry that an organization wrote under a name of its own. */
export const registryItem = z
  .strictObject({
    name: z.string(),
    organization_id: z.string().nullable(),
    health: health.optional(),
    actions: z.array(z.strictObject({ name: z.string(), summary: z.string() })).optional(),
  })
  .meta({ id: 'RegisteredAgent' });

/** How an agent fares. */
export const agentStatus = z
  .strictObject({
    name: z.string(),
    health,
    last_seen_at: time.nullable(),
    queue_length: count,
    running: count,
    last_error: z
      .strictObject({ task_id: z.uuid(), at: time, reason: z.enum(reasons).nullable(), message: z.string().nullable() })
      .nullable(),
  })
  .meta({ id: 'AgentStatus' });

/** A task in a list. */
export const taskSummary = z.strictObject(summaryFields).meta({ id: 'TaskSummary' });

const attempt = z.strictObject({
  number: count,
  agent: z.string(),
  model: z.string(),
  outcome: z.string().nullable(),
  reason: z.enum(reasons).nullable(),
  created_at: time,
  leased_at: time.nullable(),
  running_at: time.nullable(),
  settled_at: time.nullable(),
});

/** A task with all that is known of it. */
export const taskAnswer = z
  .strictObject({
    ...summaryFields,
    prompt: z.string(),
    payload: z.unknown(),
    verify: z.strictObject({ argv: z.array(z.string()), timeout_seconds: z.number() }).nullable(),
    result: taskResult.nullable(),
    evidence: z.looseObject(evidence.shape).nullable(),
    outcome_evidence: z.array(
      z.strictObject({ kind: z.string(), says: z.enum(['supports', 'contradicts', 'neither']), text: z.string() }),
    ),
    retry: z.strictObject({ max: count, backoff_seconds: z.number() }),
    budget_micro_usd: count.nullable(),
    budget_tokens: count.nullable(),
    budget_tool_calls: count.nullable(),
    fallback_models: z.array(z.string()),
    fallback: z.strictObject({ agent: z.string(), model: z.string() }).nullable(),
    attempts: z.array(attempt),
  })
  .meta({ id: 'Task' });
