import type { ServiceCall } from '../service-client.ts';
import type { Manifest } from './manifests.ts';

export type Change = 'created' | 'changed' | 'unchanged';

/** One thing that the service is asked to write. */
export interface Step {
  readonly path: string;
  readonly body: unknown;
  /** What writing it would do; asks the service, which checks it. */
  readonly foresee: () => Promise<Change>;
  /** What writing it did, from the answer. @default the answer's `change`, else what was foreseen */
  readonly after?: (answer: unknown) => Change;
}

/** What one manifest asks for. */
export interface Plan {
  readonly manifest: Manifest;
  /** Paths of fields that nothing here heeds. */
  readonly leftOut: readonly string[];
  readonly steps: readonly Step[];
}

/** What the kinds need to make their plans. */
export interface Ground {
  readonly call: ServiceCall;
  /** Names the organization, where the person chose one. */
  readonly query: Readonly<Record<string, string>>;
  /** Everything that is applied together: one may refer to another. */
  readonly manifests: readonly Manifest[];
}

export type Planner = (manifest: Manifest, ground: Ground) => Promise<Plan>;

export const servicePath = (path: string, query: Readonly<Record<string, string>>): string => {
  const text = new URLSearchParams(query).toString();
  return `/api/v2/agents${path}${text === '' ? '' : `?${text}`}`;
};

/** A step at a route that says with `dry_run` what it would do. */
export function stepWithDryRun({ call, query }: Ground, path: string, body: unknown): Step {
  return {
    path: servicePath(path, query),
    body,
    foresee: async () =>
      changeIn(await call('PUT', servicePath(path, { ...query, dry_run: 'true' }), body)) ?? 'changed',
  };
}

export function changeIn(answer: unknown): Change | undefined {
  const change = typeof answer === 'object' && answer !== null && 'change' in answer ? answer.change : undefined;
  return change === 'created' || change === 'changed' || change === 'unchanged' ? change : undefined;
}

/** What several changes are together. */
export function together(changes: readonly Change[]): Change {
  const kinds = new Set(changes);
  if (kinds.size === 1) return changes[0] ?? 'unchanged';
  return kinds.size === 0 ? 'unchanged' : 'changed';
}
