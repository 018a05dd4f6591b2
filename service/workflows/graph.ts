import { ServiceError } from '../platform/errors.ts';

/** What the graph needs to know of a step. */
export interface GraphStep {
  readonly id: string;
  /** Everything it waits for: what it builds on and what it makes good. */
  readonly dependsOn: readonly string[];
}

/**
 * Checks that steps form a graph that can run. Throws `invalid` (400) for a duplicate id, an unknown dependency,
 * a step that depends on itself, or a cycle, which is named as a path.
 */
export function checkGraph(steps: readonly GraphStep[]): void {
  const byId = new Map<string, GraphStep>();
  for (const step of steps) {
    if (byId.has(step.id)) throw duplicateStep(step.id);
    byId.set(step.id, step);
  }
  for (const step of steps)
    for (const needed of step.dependsOn)
      if (!byId.has(needed)) throw unknownDependency(step.id, needed, [...byId.keys()]);
  const cycle = findCycle(steps, byId);
  if (cycle) throw workflowHasCycle(cycle);
}

/** A path that ends where it began, or null. Depth-first with an explicit stack, so deep graphs are fine. */
function findCycle(steps: readonly GraphStep[], byId: ReadonlyMap<string, GraphStep>): readonly string[] | null {
  const finished = new Set<string>();
  for (const start of steps) {
    const path: string[] = [];
    const onPath = new Set<string>();
    const stack: { id: string; next: number }[] = [{ id: start.id, next: 0 }];
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (!top) break;
      if (top.next === 0) {
        if (finished.has(top.id)) {
          stack.pop();
          continue;
        }
        path.push(top.id);
        onPath.add(top.id);
      }
      const needed = byId.get(top.id)?.dependsOn[top.next];
      top.next += 1;
      if (needed === undefined) {
        finished.add(top.id);
        onPath.delete(top.id);
        path.pop();
        stack.pop();
      } else if (onPath.has(needed)) {
        return [...path.slice(path.indexOf(needed)), needed];
      } else if (!finished.has(needed)) {
        stack.push({ id: needed, next: 0 });
      }
    }
  }
  return null;
}

/** Everything a step depends on, directly or through others. */
export function ancestors(steps: readonly GraphStep[], id: string): ReadonlySet<string> {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const found = new Set<string>();
  const open = [...(byId.get(id)?.dependsOn ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    open.push(...(byId.get(next)?.dependsOn ?? []));
  }
  return found;
}

/** What a prompt can say of an earlier step: `{{steps.<id>.output}}` and so on. */
export const stepFacts = ['output', 'branch', 'commit', 'message'] as const;
export type StepFacts = Readonly<Record<(typeof stepFacts)[number], string>>;

const factMark = new RegExp(`\\{\\{\\s*steps\\.([A-Za-z0-9_-]+)\\.(${stepFacts.join('|')})\\s*\\}\\}`, 'g');

/** Ids of the steps that a prompt speaks of. */
export const stepsUsed = (prompt: string): readonly string[] => [
  ...new Set([...prompt.matchAll(factMark)].flatMap((match) => (match[1] === undefined ? [] : [match[1]]))),
];

const cutMark = '… [cut]';

/** Puts what earlier steps made into a prompt. Each is cut to its share of what fits into `maxBytes`. */
export function fillOutputs(prompt: string, facts: ReadonlyMap<string, StepFacts>, maxBytes: number): string {
  const marks = [...prompt.matchAll(factMark)].length;
  const share = Math.floor(Math.max(0, maxBytes - Buffer.byteLength(prompt)) / Math.max(1, marks));
  return prompt.replace(factMark, (_whole, id: string, fact: keyof StepFacts) =>
    cutTo(facts.get(id)?.[fact] ?? '', share),
  );
}

function cutTo(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  const kept = bytes.subarray(0, Math.max(0, maxBytes - Buffer.byteLength(cutMark))).toString('utf8');
  return kept === '' ? '' : kept.replace(/\uFFFD$/, '') + cutMark;
}

const duplicateStep = (id: string): ServiceError =>
  new ServiceError('invalid', 'step_duplicate', `Two steps are called '${id}'. Give each step its own id.`);

const unknownDependency = (step: string, needed: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'invalid',
    'dependency_unknown',
    `Step '${step}' depends on '${needed}', which is not a step of this workflow. There are: ${known.join(', ')}.`,
  );

export const workflowHasCycle = (path: readonly string[]): ServiceError =>
  new ServiceError(
    'invalid',
    'workflow_has_cycle',
    `Steps ${path.join(' → ')} depend on each other, so none can start. Remove one of these dependencies.`,
  );

export const outputNotReady = (step: string, used: string): ServiceError =>
  new ServiceError(
    'invalid',
    'output_not_ready',
    `Step '${step}' uses the output of '${used}' but does not depend on it. Add '${used}' to its depends_on.`,
  );

/** Text that an agent wrote is no parameter: it could be any manifest. */
export const outputInParams = (step: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'output_in_params',
    `Step '${step}' uses the output of a step in its params, where none is filled in. Write the value itself.`,
  );
