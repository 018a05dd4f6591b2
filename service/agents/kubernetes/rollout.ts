import { AgentFailure } from '../agent-failure.ts';

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** Kinds that are rolled out. */
export const rolloutKinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const;

interface Counts {
  readonly wanted: number;
  readonly updated: number;
  readonly available: number;
  readonly all: number;
}

/**
 * Whether a workload runs as it should. Throws `AgentFailure` where its controller gave up.
 *
 * Source: `kubectl rollout status`
 */
export function isRolledOut(kind: string, body: Fields): boolean {
  const status = fieldsOf(body['status']);
  const generation = numberIn(fieldsOf(body['metadata']), 'generation');
  // Until then the status speaks of what was there before.
  if (numberIn(status, 'observedGeneration') < generation) return false;
  mustProgress(status);
  const { wanted, updated, available, all } = kind === 'DaemonSet' ? onNodes(status) : inReplicas(body, status);
  return updated >= wanted && available >= wanted && all <= wanted;
}

const onNodes = (status: Fields): Counts => ({
  wanted: numberIn(status, 'desiredNumberScheduled'),
  updated: numberIn(status, 'updatedNumberScheduled'),
  available: numberIn(status, 'numberAvailable'),
  all: 0,
});

const inReplicas = (body: Fields, status: Fields): Counts => ({
  wanted: numberIn(fieldsOf(body['spec']), 'replicas', 1),
  updated: numberIn(status, 'updatedReplicas'),
  available: numberIn(status, 'availableReplicas'),
  all: numberIn(status, 'replicas'),
});

function mustProgress(status: Fields): void {
  const conditions = Array.isArray(status['conditions']) ? status['conditions'].map(fieldsOf) : [];
  const stuck = conditions.find((one) => one['type'] === 'Progressing' && one['status'] === 'False');
  if (!stuck) return;
  const words = typeof stuck['message'] === 'string' ? stuck['message'] : '';
  throw new AgentFailure('ContextError', `The rollout does not go on: ${words.slice(0, 500) || 'no reason is given'}`);
}

const numberIn = (fields: Fields, key: string, otherwise = 0): number => {
  const value = fields[key];
  return typeof value === 'number' ? value : otherwise;
};
