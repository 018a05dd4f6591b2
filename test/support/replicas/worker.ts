import { setTimeout as sleep } from 'node:timers/promises';
import type { AttemptRef, Evidence, Lease, RegisterResponse } from '../../../modules/contract.ts';
import {
  connectFakeBridge,
  goodEvidence,
  registerBridge,
  type FakeBridge,
  type RegisterOptions,
} from '../fake-bridge.ts';

/** A workspace that outlives every process of the service: it connects again, and reports again what was not heard. */
export interface Worker {
  /** Attempts it began, in order. */
  readonly begun: readonly AttemptRef[];
  /** How often it connected. */
  readonly connections: number;
  stop(): Promise<void>;
}

export interface WorkerOptions extends RegisterOptions {
  /** Attempts at once. */
  readonly slots: number;
  /** Does the work, once per attempt; it never fails. */
  readonly work: (lease: Lease) => Promise<unknown>;
}

const againMs = 200;
const beatMs = 5_000;

export function startWorker(options: WorkerOptions): Worker {
  const held = new Map<string, AttemptRef>();
  const reports = new Map<string, { ref: AttemptRef; evidence: Evidence }>();
  const begun: AttemptRef[] = [];
  let connections = 0;
  let isStopped = false;
  let current: FakeBridge | undefined;
  let wake: () => void = () => undefined;

  const keyOf = ({ task_id, attempt }: AttemptRef): string => `${task_id}:${attempt}`;
  const holding = (): AttemptRef[] => [...held.values()];

  function take(lease: Lease): void {
    const ref = { task_id: lease.task_id, attempt: lease.attempt };
    held.set(keyOf(ref), ref);
    begun.push(ref);
    void options.work(lease).then(() => {
      reports.set(keyOf(ref), { ref, evidence: goodEvidence() });
      wake();
    });
  }

  async function report(bridge: FakeBridge): Promise<void> {
    for (const [key, { ref, evidence }] of [...reports]) {
      await bridge.request('result', { ...ref, evidence });
      reports.delete(key);
      held.delete(key);
    }
  }

  /** Speaks over one connection until it breaks. */
  async function serve(bridge: FakeBridge): Promise<void> {
    const ended = bridge.closed.then(() => Promise.reject(new Error('the connection ended')));
    ended.catch(() => undefined);
    const beat = setInterval(
      () =>
        void Promise.race([ended, bridge.request('heartbeat', { holding: holding(), status: 'idle' })]).catch(
          () => undefined,
        ),
      beatMs,
    );
    let asked: Promise<void> | undefined;
    try {
      await Promise.race([ended, bridge.request('heartbeat', { holding: holding(), status: 'idle' })]);
      while (!isStopped) {
        await Promise.race([ended, report(bridge)]);
        const free = options.slots - held.size;
        if (free > 0)
          asked ??= bridge.request('lease', { slots: free, holding: holding() }).then(({ lease }) => {
            asked = undefined;
            if (lease) take(lease);
            wake();
          });
        const woken = new Promise<void>((resolve) => (wake = resolve));
        if (reports.size === 0 && (asked !== undefined || held.size >= options.slots))
          await Promise.race([ended, woken, ...(asked ? [asked] : [])]);
      }
    } finally {
      clearInterval(beat);
      bridge.close();
    }
  }

  async function run(): Promise<void> {
    let token: string | undefined;
    while (!isStopped) {
      try {
        token ??= await register();
        current = await connectFakeBridge(options.url, token);
        connections += 1;
        await serve(current);
      } catch (error) {
        // The token may have ended, or a newer registration is wanted.
        if (String(error).includes('401')) token = undefined;
        await sleep(againMs);
      }
    }
  }

  async function register(): Promise<string> {
    const response = await registerBridge(options);
    if (response.status !== 201) throw new Error(`registration: ${response.status}`);
    return ((await response.json()) as RegisterResponse).bridge_token;
  }

  const running = run();
  return {
    begun,
    get connections() {
      return connections;
    },
    async stop() {
      isStopped = true;
      wake();
      current?.close();
      await running;
    },
  };
}
