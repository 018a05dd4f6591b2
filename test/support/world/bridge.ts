import type { AttemptRef, Evidence, Lease } from '../../../modules/contract.ts';
import type { TasksRoom } from '../tasks-room.ts';
import { goodEvidence } from '../fake-bridge.ts';
import { failedEvidence } from '../../../service/tasks/task.ts';
import type { AttemptEnd } from '../workflow-model.ts';

export const evidenceFor: Readonly<Record<AttemptEnd, () => Evidence>> = {
  ok: () => goodEvidence(),
  same: () => goodEvidence({ commit: null, changed_files: [], diff: { files: 0, additions: 0, deletions: 0 } }),
  busy: () =>
    goodEvidence({
      last_message: { finish: null, error: { name: 'APIError', message: 'no', status_code: 503 }, text: '' },
    }),
  cut: () => goodEvidence({ last_message: { finish: 'length', error: null, text: '' } }),
  lost: () => failedEvidence({ reason: 'ContextError', message: 'no repository', retryable: false }),
};

/** What a network does to one request. */
export type Network = 'whole' | 'request lost' | 'answer lost';

interface Held {
  readonly lease: Lease;
  hasBegun: boolean;
  evidence: Evidence | null;
}

/** A bridge that speaks to the tasks room over a network that the world controls. */
export interface WorldBridge {
  readonly held: ReadonlyMap<string, Held>;
  /** Evidence that the service said it took, by attempt, with how often it newly did. */
  readonly accepted: ReadonlyMap<string, Evidence>;
  ask(network: Network, slots: number): Promise<void>;
  begin(key: string, network: Network): Promise<void>;
  end(key: string, evidence: Evidence, network: Network): Promise<void>;
  beat(network: Network): Promise<void>;
  /** The container is gone, and another registers. */
  restart(): Promise<void>;
}

export const keyOf = ({ task_id, attempt }: AttemptRef): string => `${task_id}:${attempt}`;

export function makeWorldBridge(room: TasksRoom): WorldBridge {
  const held = new Map<string, Held>();
  const accepted = new Map<string, Evidence>();
  let generation = room.bridge.generation;
  const identity = () => ({ ...room.bridge, generation });
  const refs = (): AttemptRef[] =>
    [...held.values()].map(({ lease }) => ({ task_id: lease.task_id, attempt: lease.attempt }));

  /** Undefined where nobody heard the answer. */
  async function over<Answer>(network: Network, call: () => Promise<Answer>): Promise<Answer | undefined> {
    if (network === 'request lost') return undefined;
    const answer = await call();
    return network === 'answer lost' ? undefined : answer;
  }

  return {
    held,
    accepted,
    async ask(network, slots) {
      const free = slots - held.size;
      const lease = await over(network, () => room.handlers.claim(identity(), { slots: free, holding: refs() }));
      if (lease) held.set(keyOf(lease), { lease, hasBegun: false, evidence: null });
    },
    async begin(key, network) {
      const one = held.get(key);
      if (!one) return;
      const { task_id, attempt } = one.lease;
      const event = { source_seq: 1, type: 'session.opened' as const, at: new Date(0).toISOString(), data: {} };
      const answer = await over(network, () =>
        room.handlers.event(identity(), { task_id, attempt, ...event }).catch(() => 'fenced' as const),
      );
      if (answer === 'fenced') held.delete(key);
      else if (answer !== undefined) one.hasBegun = true;
    },
    async end(key, evidence, network) {
      const one = held.get(key);
      if (!one) return;
      one.evidence ??= evidence;
      const { task_id, attempt } = one.lease;
      const said = one.evidence;
      const answer = await over(network, () => room.handlers.result(identity(), { task_id, attempt, evidence: said }));
      if (answer === undefined) return;
      if (answer.accepted) accepted.set(key, said);
      held.delete(key);
    },
    async beat(network) {
      const fenced = await over(network, () => room.handlers.heartbeat(identity(), refs()));
      for (const ref of fenced ?? []) held.delete(keyOf(ref));
    },
    async restart() {
      held.clear();
      await room.registerAgain();
      generation += 1;
    },
  };
}
