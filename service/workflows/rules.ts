import type { StepOutcome, TaskOutcome, TaskState, WorkflowOutcome } from '../../modules/contract.ts';

/** What the rules need to know of a step. */
export interface StepStand {
  readonly stepId: string;
  readonly dependsOn: readonly string[];
  /** Compensates these: begins once all of them have ended and one of them had begun and not succeeded. */
  readonly onFailureOf: readonly string[];
  /** Where its task stands; null before there is one. */
  readonly task: { readonly state: TaskState; readonly outcome: TaskOutcome | null } | null;
  /** Set when the rules said that it never begins. */
  readonly never: 'canceled' | 'skipped' | null;
}

/** What is to be done about a workflow. */
export interface Decision {
  /** Steps that may begin now, in the order they were written; no more than there are places. */
  readonly start: readonly string[];
  /** Steps that can never begin: what they need ended badly, or the workflow was canceled. */
  readonly cancel: readonly string[];
  /** Steps that are not needed: nothing failed that they would make good. */
  readonly skip: readonly string[];
  /** What it came to; null while a step is still open. */
  readonly outcome: WorkflowOutcome | null;
}

/** Outcomes after which dependents run. */
export const letsDependentsRun = (outcome: StepOutcome | null): boolean =>
  outcome === 'succeeded' || outcome === 'no_change';

/** Began and did not succeed: what a compensating step waits for. `canceled` never began, so left nothing behind. */
const needsCompensation = (outcome: StepOutcome): boolean =>
  outcome === 'failed' || outcome === 'timed_out' || outcome === 'stopped';

const holdsPlace: readonly TaskState[] = ['queued', 'starting', 'running', 'waiting', 'stopping'];

type Fate = 'wait' | 'start' | 'cancel' | 'skip';

/**
 * The rules of a workflow, from its rows alone.
 *
 * canceled workflow   nothing begins; the outcome is `canceled`
 * on_failure_of       waits until all of them ended; `skipped` unless one began and did not succeed
 * depends_on          canceled as soon as one ended badly; begins when all succeeded; `skipped` when all ended and
 *                     the only ones that did not succeed were skipped
 *
 * Each fate follows from how other steps end and never from when, so every order of events comes to the same end.
 */
export function decide(
  steps: readonly StepStand[],
  workflow: { readonly maxParallel: number; readonly isCanceled: boolean },
): Decision {
  const outcomes = new Map(steps.map((step) => [step.stepId, outcomeOf(step)]));
  const fates: Record<Exclude<Fate, 'wait'>, string[]> = { start: [], cancel: [], skip: [] };
  for (const step of needsFirst(steps)) {
    if (step.task || step.never) continue;
    const fate = workflow.isCanceled ? 'cancel' : fateOf(step, outcomes);
    if (fate === 'wait') continue;
    fates[fate].push(step.stepId);
    if (fate !== 'start') outcomes.set(step.stepId, fate === 'cancel' ? 'canceled' : 'skipped');
  }
  const underWay = steps.filter(({ task }) => task && holdsPlace.includes(task.state)).length;
  const mayStart = new Set(fates.start);
  const inOrder = steps.map(({ stepId }) => stepId).filter((id) => mayStart.has(id));
  return {
    ...fates,
    start: inOrder.slice(0, Math.max(0, workflow.maxParallel - underWay)),
    outcome: sumOf([...outcomes.values()], workflow.isCanceled),
  };
}

const outcomeOf = ({ task, never }: StepStand): StepOutcome | null => (task ? task.outcome : never);

function fateOf(step: StepStand, outcomes: ReadonlyMap<string, StepOutcome | null>): Fate {
  const compensated = step.onFailureOf.map((id) => outcomes.get(id) ?? null);
  if (compensated.includes(null)) return 'wait';
  if (compensated.length > 0 && !compensated.some((one) => one && needsCompensation(one))) return 'skip';
  const needed = step.dependsOn.map((id) => outcomes.get(id) ?? null);
  if (needed.some((one) => one !== null && one !== 'skipped' && !letsDependentsRun(one))) return 'cancel';
  if (needed.includes(null)) return 'wait';
  return needed.includes('skipped') ? 'skip' : 'start';
}

/** What the ended steps add up to; those that were not needed count for nothing. */
function sumOf(outcomes: readonly (StepOutcome | null)[], isCanceled: boolean): WorkflowOutcome | null {
  if (outcomes.includes(null)) return null;
  if (isCanceled) return 'canceled';
  if (outcomes.every((outcome) => outcome === 'skipped' || letsDependentsRun(outcome))) return 'succeeded';
  return outcomes.some((outcome) => outcome === 'failed' || outcome === 'timed_out') ? 'failed' : 'canceled';
}

/** Steps in an order in which each comes after all it waits for. */
export function needsFirst<Step extends Pick<StepStand, 'stepId' | 'dependsOn' | 'onFailureOf'>>(
  steps: readonly Step[],
): readonly Step[] {
  const open = new Map<string, number>();
  const waiting = new Map<string, Step[]>();
  const free: Step[] = [];
  for (const step of steps) {
    const needed = new Set([...step.dependsOn, ...step.onFailureOf]);
    open.set(step.stepId, needed.size);
    if (needed.size === 0) free.push(step);
    for (const id of needed) {
      const those = waiting.get(id);
      if (those) those.push(step);
      else waiting.set(id, [step]);
    }
  }
  const ordered: Step[] = [];
  for (let at = 0; at < free.length; at += 1) {
    const step = free[at];
    if (!step) break;
    ordered.push(step);
    for (const next of waiting.get(step.stepId) ?? []) {
      const left = (open.get(next.stepId) ?? 0) - 1;
      open.set(next.stepId, left);
      if (left === 0) free.push(next);
    }
  }
  return ordered;
}
