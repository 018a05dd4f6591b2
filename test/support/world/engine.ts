import type { DurableContext, Engine, EngineStatus, EnqueueRequest } from '../../../service/platform/engine.ts';
import type { Database } from '../../../service/platform/database.ts';

/** A call of a durable function that waits for the world to let it happen. */
interface Call {
  readonly what: string;
  readonly isReady: () => boolean;
  /** When it is ready by itself. */
  readonly dueAt: number | null;
  /** Does it, and answers what is recorded. */
  readonly perform: () => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
}

interface Running {
  readonly id: string;
  readonly workflow: string;
  readonly input: unknown;
  /** What its calls answered so far: all that outlives a crash, with its letters. */
  readonly records: { readonly what: string; readonly value: unknown }[];
  readonly letters: { readonly topic: string; readonly message: unknown }[];
  /** Deadlines of the waits that were begun, by the place of the call. */
  readonly deadlines: Map<number, number>;
  life: number;
  call: Call | null;
  status: EngineStatus;
  error: unknown;
}

/** Something a durable function would do next. */
export interface Move {
  readonly id: string;
  readonly what: string;
  /** Does it; `dies`: the process dies at that point. */
  take(dies: 'no' | 'before' | 'unrecorded'): Promise<void>;
}

/** The engine port in memory: nothing happens but what the world chooses, and every process can die at any call. */
export interface WorldEngine extends Pick<Engine, 'register' | 'enqueue' | 'signal' | 'status'> {
  /** Hears of what was enqueued in transactions that have committed. */
  poll(): Promise<void>;
  moves(): readonly Move[];
  /** When the next wait is over; null where nobody waits. */
  nextDueAt(): number | null;
  /** All processes die, and what they ran begins again from its first line. */
  crash(): void;
  readonly open: number;
}

export interface WorldEngineOptions {
  readonly database: () => Database;
  readonly now: () => number;
}

export function makeWorldEngine({ database, now }: WorldEngineOptions): WorldEngine {
  const functions = new Map<string, (context: DurableContext, input: unknown) => Promise<void>>();
  const all = new Map<string, Running>();
  const keys = new Set<string>();
  let isTableThere = false;

  function start(one: Running): void {
    one.life += 1;
    one.call = null;
    const life = one.life;
    const isAlive = (): boolean => one.life === life;
    void functions
      .get(one.workflow)?.(contextOf(one, isAlive), one.input)
      .then(() => isAlive() && (one.status = 'succeeded'))
      .catch((error: unknown) => {
        if (!isAlive()) return;
        one.status = 'failed';
        one.error = error;
      });
  }

  function contextOf(one: Running, isAlive: () => boolean): DurableContext {
    let place = 0;
    const ask = (call: Omit<Call, 'resolve'>): Promise<unknown> => {
      const at = place;
      place += 1;
      const record = one.records[at];
      if (record && record.what !== call.what)
        throw new Error(`replay of ${one.id} found ${record.what}, not ${call.what}`);
      if (record) return Promise.resolve(record.value);
      return new Promise((resolve) => {
        // Who died asks for nothing more.
        if (isAlive()) one.call = { ...call, resolve };
      });
    };
    return {
      workflowId: one.id,
      step: (name, work) =>
        ask({
          what: `step ${name}`,
          isReady: () => true,
          dueAt: null,
          perform: async () => asJson(await work()),
        }) as never,
      receive(topic, timeoutMs) {
        const at = place;
        const dueAt = one.deadlines.get(at) ?? now() + timeoutMs;
        one.deadlines.set(at, dueAt);
        const found = (): number => one.letters.findIndex((letter) => letter.topic === topic);
        return ask({
          what: `receive ${topic}`,
          isReady: () => found() >= 0 || now() >= dueAt,
          dueAt,
          perform: () => Promise.resolve(found() < 0 ? null : (one.letters.splice(found(), 1)[0]?.message ?? null)),
        }) as never;
      },
      signal: (workflowId, topic, message) =>
        ask({
          what: `signal ${topic}`,
          isReady: () => true,
          dueAt: null,
          perform: () => Promise.resolve(post(workflowId, topic, message)),
        }).then(() => undefined),
    };
  }

  function post(workflowId: string, topic: string, message: unknown): null {
    all.get(workflowId)?.letters.push({ topic, message });
    return null;
  }

  const running = (): Running[] => [...all.values()].filter(({ status }) => status === 'running');

  async function take(one: Running, call: Call, dies: 'no' | 'before' | 'unrecorded'): Promise<void> {
    // Only the work of a step is another transaction than its record.
    if (dies === 'before' || (dies === 'unrecorded' && !call.what.startsWith('step'))) return crash();
    const value = await call.perform();
    if (dies === 'unrecorded') return crash();
    one.records.push({ what: call.what, value });
    one.call = null;
    call.resolve(value);
    await settled();
  }

  function crash(): void {
    for (const one of running()) start(one);
  }

  return {
    register: (name, run) =>
      void functions.set(name, run as (context: DurableContext, input: unknown) => Promise<void>),
    async enqueue(tx, request: EnqueueRequest) {
      if (!isTableThere) {
        await database().pool.query(
          'create table if not exists world_enqueued (id text primary key, request jsonb, at serial)',
        );
        isTableThere = true;
      }
      await tx.client.query('insert into world_enqueued (id, request) values ($1, $2) on conflict do nothing', [
        request.id,
        JSON.stringify(request),
      ]);
    },
    signal(workflowId, topic, message, key) {
      const once = `${workflowId}:${key}`;
      if (!keys.has(once)) post(workflowId, topic, message);
      keys.add(once);
      return Promise.resolve();
    },
    status: (id) => Promise.resolve(all.get(id)?.status ?? null),
    async poll() {
      if (!isTableThere) return;
      const { rows } = await database().pool.query<{ request: EnqueueRequest }>(
        'select request from world_enqueued order by at',
      );
      for (const { request } of rows) {
        if (all.has(request.id)) continue;
        const one: Running = {
          ...{ id: request.id, workflow: request.workflow, input: request.input },
          ...{ records: [], letters: [], deadlines: new Map(), life: 0, call: null, status: 'running', error: null },
        };
        all.set(request.id, one);
        start(one);
      }
      await settled();
      for (const one of all.values()) if (one.status === 'failed') throw one.error;
    },
    moves: () =>
      running().flatMap((one) => {
        const { call } = one;
        return call?.isReady() ? [{ id: one.id, what: call.what, take: (dies) => take(one, call, dies) }] : [];
      }),
    nextDueAt: () => {
      const dues = running().flatMap(({ call }) => (call?.dueAt == null ? [] : [call.dueAt]));
      return dues.length === 0 ? null : Math.min(...dues);
    },
    crash,
    get open() {
      return running().length;
    },
  };
}

const asJson = (value: unknown): unknown =>
  value === undefined ? null : (JSON.parse(JSON.stringify(value)) as unknown);
/** Until every function has come to its next call: between two calls there is nothing but their own code. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
