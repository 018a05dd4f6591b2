/** What one attempt of a step comes to. */
export type AttemptEnd = 'ok' | 'same' | 'busy' | 'cut' | 'lost';

export interface ModelStep {
  readonly id: string;
  readonly dependsOn: readonly string[];
  readonly onFailureOf: readonly string[];
  readonly maxAttempts: number;
  readonly hasFallback: boolean;
  /** Ends of its attempts in their order; whatever comes after them is `ok`. */
  readonly attempts: readonly AttemptEnd[];
}

/** Tried again by the same agent; else given to the fallback, where there is one. */
const isRetryable: readonly AttemptEnd[] = ['busy'];
const goesToFallback: readonly AttemptEnd[] = ['busy', 'cut'];

/** How many attempts a step makes and what it comes to when nobody stops it: the rules of tasks, said once more. */
export function modelTask(step: ModelStep): { attempts: number; outcome: string } {
  let made = 0;
  for (const turn of step.hasFallback ? ['first', 'fallback'] : ['only']) {
    for (let inTurn = 1; ; inTurn += 1) {
      const end = step.attempts[made] ?? 'ok';
      made += 1;
      if (end === 'ok') return { attempts: made, outcome: 'succeeded' };
      if (end === 'same') return { attempts: made, outcome: 'no_change' };
      if (isRetryable.includes(end) && inTurn < step.maxAttempts) continue;
      if (turn === 'first' && goesToFallback.includes(end)) break;
      return { attempts: made, outcome: 'failed' };
    }
  }
  throw new Error('the last turn always ends');
}

const isGood = (outcome: string): boolean => outcome === 'succeeded' || outcome === 'no_change';
const isBad = (outcome: string): boolean => outcome === 'failed' || outcome === 'stopped' || outcome === 'timed_out';

/** How each step ends when nobody cancels: from the graph alone, by recursion. `taskOutcome`: what it comes to if it begins. */
export function modelOutcomes(
  steps: readonly ModelStep[],
  taskOutcome: (step: ModelStep) => string,
): ReadonlyMap<string, string> {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const known = new Map<string, string>();
  const of = (id: string): string => {
    const found = known.get(id) ?? judge(byId.get(id) as ModelStep);
    known.set(id, found);
    return found;
  };
  const judge = (step: ModelStep): string => {
    if (step.onFailureOf.length > 0 && !step.onFailureOf.map(of).some(isBad)) return 'skipped';
    const needed = step.dependsOn.map(of);
    if (needed.some((one) => !isGood(one) && one !== 'skipped')) return 'canceled';
    return needed.includes('skipped') ? 'skipped' : taskOutcome(step);
  };
  return new Map(steps.map(({ id }) => [id, of(id)]));
}

/** Whether a step may have begun, seen from how the steps before it ended. */
export const modelMayBegin = (step: ModelStep, ended: ReadonlyMap<string, string>): boolean =>
  step.dependsOn.every((id) => isGood(ended.get(id) ?? 'open')) &&
  (step.onFailureOf.length === 0 ||
    (step.onFailureOf.every((id) => ended.has(id)) && step.onFailureOf.some((id) => isBad(ended.get(id) ?? ''))));

/** What the ended steps add up to. */
export function modelSum(outcomes: readonly string[]): string {
  const counted = outcomes.filter((outcome) => outcome !== 'skipped');
  if (counted.every(isGood)) return 'succeeded';
  return counted.some((outcome) => outcome === 'failed' || outcome === 'timed_out') ? 'failed' : 'canceled';
}
