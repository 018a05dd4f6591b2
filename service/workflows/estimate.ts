import { promptlessAgents } from '../agents/actions.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { historyOf, type KindHistory, type Range } from '../tasks/task-history.ts';
import type { NewStep } from './workflow-store.ts';

/** What work may use, from what such work used before; null, with the reason, where nobody can say. */
export interface Estimate {
  readonly tokens: Range | null;
  /** Integer micro-USD. */
  readonly cost_micro_usd: Range | null;
  readonly reason: string | null;
}

export interface StepEstimate extends Estimate {
  readonly step_id: string;
  /** How many finished tasks it is made from. */
  readonly tasks: number;
}

type Step = Pick<NewStep, 'stepId' | 'work'>;

const nothing: Range = { low: 0, likely: 0, high: 0 };

/** Steps of one organization, each as its own kind of work went before. A fallback is not counted in. */
export async function estimateSteps(
  database: Pick<Database, 'as'>,
  organizationId: string,
  steps: readonly Step[],
): Promise<readonly StepEstimate[]> {
  const kinds = new Map(steps.filter(callsModel).map(({ work }) => [nameOf(work), kindOf(work)]));
  const history = await historyOf(database, organizationId, [...kinds.values()]);
  const known = new Map(history.map((one) => [nameOf(one), one]));
  return steps.map((step) => estimateStep(step, known.get(nameOf(step.work))));
}

/** Runs steps of its own, whose use is theirs and not its task's. */
const nesting = 'agentzero';
const callsModel = ({ work }: Step): boolean => !promptlessAgents.includes(work.agent);
const kindOf = ({ agent, action, model }: Step['work']) => ({ agent, action, model });
const nameOf = ({ agent, action, model }: Pick<KindHistory, 'agent' | 'action' | 'model'>): string =>
  JSON.stringify([agent, action, model]);

function estimateStep(step: Step, history: KindHistory | undefined): StepEstimate {
  const { agent, action, model } = step.work;
  const kind = `${agent}/${action} with model ${model}`;
  if (agent === nesting) return unknown(step, 'It runs a workflow of its own, which has a plan of its own.');
  if (!callsModel(step))
    return { step_id: step.stepId, tasks: 0, tokens: nothing, cost_micro_usd: nothing, reason: null };
  if (!history) return unknown(step, `No task of ${kind} has finished here yet.`);
  return {
    step_id: step.stepId,
    tasks: history.tasks,
    tokens: history.tokens,
    cost_micro_usd: history.costMicroUsd,
    reason: history.costMicroUsd ? null : `No finished task of ${kind} has a cost that is known in full.`,
  };
}

const unknown = ({ stepId }: Step, reason: string): StepEstimate => ({
  ...{ step_id: stepId, tasks: 0, tokens: null, cost_micro_usd: null, reason },
});

/** The sum, where each part is known; what is not known is not counted as nothing. */
export function sumEstimates(steps: readonly StepEstimate[]): Estimate {
  const missing = steps.filter(({ reason }) => reason !== null);
  return {
    tokens: sum(steps.map(({ tokens }) => tokens)),
    cost_micro_usd: sum(steps.map((step) => step.cost_micro_usd)),
    reason: missing.length === 0 ? null : missing.map((step) => `${step.step_id}: ${step.reason}`).join(' '),
  };
}

function sum(ranges: readonly (Range | null)[]): Range | null {
  let total: Range = nothing;
  for (const one of ranges) {
    if (one === null) return null;
    total = { low: total.low + one.low, likely: total.likely + one.likely, high: total.high + one.high };
  }
  return total;
}

export type CheckCost = (steps: readonly NewStep[], approvedMicroUsd: number | undefined) => Promise<void>;

/**
 * Refuses steps whose estimate ends above `aboveMicroUsd`, unless their owner approved that much. Null asks nobody.
 *
 * What nobody can estimate passes: a first run has no history, and budgets bound what is spent while it runs.
 */
export const makeCheckCost =
  (parts: { readonly database: Pick<Database, 'as'>; readonly aboveMicroUsd: number | null }): CheckCost =>
  async (steps, approvedMicroUsd) => {
    const organizationId = steps[0]?.workspace.organizationId;
    if (parts.aboveMicroUsd === null || organizationId === undefined) return;
    const { cost_micro_usd: cost } = sumEstimates(await estimateSteps(parts.database, organizationId, steps));
    if (cost === null || cost.high <= parts.aboveMicroUsd || cost.high <= (approvedMicroUsd ?? -1)) return;
    throw costNotApproved(cost.high, parts.aboveMicroUsd);
  };

const costNotApproved = (high: number, above: number): ServiceError =>
  new ServiceError(
    'unprocessable',
    'cost_not_approved',
    `This may cost up to ${high} micro-USD, and above ${above} its owner must agree. Look at it with ?dry_run=true, then send approved_cost_micro_usd: ${high} or more.`,
  );
