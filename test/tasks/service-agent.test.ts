import { afterEach, describe, expect, it } from '@jest/globals';
import type { Agent, TaskResult } from '../../modules/contract.ts';
import { describeAgent } from '../../service/agents/agent.ts';
import { AgentFailure } from '../../service/agents/agent-failure.ts';
import { catalogue } from '../../service/agents/actions.ts';
import { stopTask } from '../../service/tasks/stop-task.ts';
import { eventually } from '../support/clock.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

const applied = (result: 'created' | 'unchanged' | 'read'): TaskResult => ({
  output: `ConfigMap team/x: ${result}`,
  objects: [{ kind: 'ConfigMap', namespace: 'team', name: 'x', result }],
});
const task = {
  type: 'kubernetes',
  payload: { action: 'apply_manifest', params: { manifest: 'kind: ConfigMap' } },
  profile: 'trusted',
  retry: { max: 2, backoff_seconds: 0 },
};

let room: TasksRoom;
afterEach(() => room.close());

const auditOf = async (action: string) =>
  (await room.data.database.pool.query('select actor, data from audit_event where action = $1', [action])).rows as {
    readonly actor: string;
    readonly data: Readonly<Record<string, unknown>>;
  }[];

async function roomWith(execute: Agent['execute'], change = {}) {
  room = await makeTasksRoom({
    serviceAgents: [{ ...describeAgent('kubernetes', catalogue['kubernetes'] ?? []), execute }],
    maxProfile: 'trusted',
  });
  const id = await room.submit({ ...task, ...change });
  await room.admission.admitNow();
  return id;
}

const isRunning = (id: string) =>
  eventually('the work to begin', async () => (await room.task(id)).state === 'running');

describe('an agent of the service', () => {
  it('does its work without any bridge, with the params it was given, and its output is what later steps get', async () => {
    const seen: unknown[] = [];
    const id = await roomWith((work) => {
      seen.push(work);
      return Promise.resolve(applied('created'));
    });
    await room.turn(id, 1);

    expect(seen).toMatchObject([
      {
        id,
        type: 'kubernetes',
        organizationId: room.bridge.organizationId,
        action: 'apply_manifest',
        params: { manifest: 'kind: ConfigMap' },
      },
    ]);
    const { evidence, ...rest } = await room.task(id);
    expect(rest).toMatchObject({ outcome: 'succeeded', attempt: 1 });
    expect(evidence).toMatchObject({
      last_message: { text: 'ConfigMap team/x: created' },
      objects: [{ result: 'created' }],
    });
    expect(await room.handlers.claim(room.bridge, { slots: 1, holding: [] })).toBeNull();
  });

  it.each([
    ['unchanged', 'no_change'],
    ['read', 'succeeded'],
  ] as const)('that reports %s has %s', async (result, outcome) => {
    const id = await roomWith(() => Promise.resolve(applied(result)));
    await room.turn(id, 1);

    expect(await room.task(id)).toMatchObject({ state: 'finished', outcome });
  });

  it('is asked again after a failure that may pass, and not after one that may not', async () => {
    const failures = [
      new AgentFailure('UpstreamError', 'The cluster answered 503.', true),
      new AgentFailure('ContextError', 'The cluster refused x.'),
    ];
    const id = await roomWith(() => Promise.reject(failures.shift() ?? new Error('asked too often')));
    await room.turn(id, 1);
    expect(await room.task(id)).toMatchObject({ state: 'queued', reason: 'UpstreamError' });
    await room.admission.admitNow();
    await room.turn(id, 2);

    expect(await room.task(id)).toMatchObject({ outcome: 'failed', reason: 'ContextError', attempt: 2 });
  });

  /** Work that ends only when it is told to. */
  const endless: Agent['execute'] = (_work, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));

  it('is stopped while it works, with a receipt and without a command to any bridge', async () => {
    const id = await roomWith(endless);
    const turn = room.turn(id, 1);
    await isRunning(id);
    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request');

    expect(await turn).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'stopped', evidence: { stop: { processes_left: 0 } } });
    expect((await room.data.database.pool.query('select 1 from bridge_frame')).rowCount).toBe(0);
  });

  it('runs out of time, and the audit says who asked it to stop and who settled it', async () => {
    const id = await roomWith(endless, { timeout_seconds: 20 });
    const turn = room.turn(id, 1);
    await isRunning(id);
    room.clock.advance(21_000);

    expect(await turn).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'timed_out', reason: 'Timeout' });
    expect(await auditOf('task.stop_requested')).toMatchObject([{ actor: 'service', data: { reason: 'Timeout' } }]);
    expect(await auditOf('task.finished')).toMatchObject([{ actor: 'service' }]);
  });

  it('is never at work twice, and does the work again when the process that did it is gone', async () => {
    let begun = 0;
    const id = await roomWith((work, context) => {
      begun += 1;
      return begun === 1 ? endless(work, context) : Promise.resolve(applied('created'));
    });
    const first = room.turn(id, 1);
    await isRunning(id);

    expect(await room.turn(id, 1)).toMatchObject({ done: false });
    expect(begun).toBe(1);
    room.clock.advance(46_000);
    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(begun).toBe(2);
    // The first process wakes up late, and has nothing more to say.
    expect(await first).toMatchObject({ done: false });
    expect(await room.turn(id, 1)).toEqual({ done: true, wakes: [] });
    expect(await room.task(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
  });

  /** As if the process could not reach the database: its attempt is still its own, but not for long. */
  async function silenced(id: string) {
    const turn = room.turn(id, 1);
    await isRunning(id);
    room.clock.advance(31_000);
    expect(await turn).toMatchObject({ done: false });
  }

  it('ends by itself before its lease does when it cannot hold it, and its time goes on counting', async () => {
    let begun = 0;
    const id = await roomWith((work, context) => ((begun += 1), endless(work, context)), { timeout_seconds: 60 });
    await silenced(id);
    expect(await room.turn(id, 1)).toMatchObject({ done: false });
    expect([begun, (await room.task(id)).state]).toEqual([1, 'running']);

    room.clock.advance(30_000);
    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(begun).toBe(2);
    expect(await room.task(id)).toMatchObject({ outcome: 'timed_out' });
  });

  it('is not said to have stopped where nobody saw its work end', async () => {
    const id = await roomWith(endless);
    await silenced(id);
    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request');
    room.clock.advance(15_000);

    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'failed', reason: 'StopUnproven' });
  });

  it('keeps its result while the database is away, instead of doing the work again', async () => {
    let begun = 0;
    const id = await roomWith(() => ((begun += 1), Promise.resolve(applied('created'))));
    await room.data.database.pool.query(`
      create sequence times_away;
      create function be_away() returns trigger language plpgsql as $$
        begin
          if new.state = 'settled' and nextval('times_away') <= 2 then raise exception 'away'; end if;
          return new;
        end $$;
      create trigger be_away before update on attempt for each row execute function be_away()`);

    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(begun).toBe(1);
    expect(await room.task(id)).toMatchObject({ outcome: 'succeeded' });
  });

  it('that fails half-way leaves what it did in the evidence and in the audit', async () => {
    const { objects } = applied('created');
    const id = await roomWith(() => Promise.reject(new AgentFailure('ContextError', 'Refused.', false, objects)));
    await room.turn(id, 1);

    expect(await room.task(id)).toMatchObject({ outcome: 'failed', evidence: { objects } });
    expect(await auditOf('task.finished')).toMatchObject([
      { actor: 'service', data: { objects: 'ConfigMap team/x: created' } },
    ]);
  });
});

describe('places of a workspace', () => {
  it('are not taken by work in the service, which has as many of its own', async () => {
    room = await makeTasksRoom({ maxProfile: 'trusted' });
    const own = await room.submit();
    const here = [await room.submit(task), await room.submit(task)];
    await room.admission.admitNow();

    const states = await Promise.all([own, ...here].map(async (id) => (await room.task(id)).state));
    expect(states).toEqual(['starting', 'starting', 'queued']);
  });
});

describe('work that changes things outside the workspace', () => {
  const rejected = (change: object) => room.submit({ ...task, ...change }).catch((error: unknown) => error);

  it('is refused with a profile that asks, and with a verify command', async () => {
    await roomWith(() => Promise.resolve(applied('created')));

    for (const profile of ['ask', 'read-only'])
      expect(await rejected({ profile })).toMatchObject({ kind: 'unprocessable', code: 'profile_not_enough' });
    expect(await rejected({ verify: { argv: ['true'] } })).toMatchObject({ code: 'verify_not_here' });
  });

  it('does not begin where nobody named a profile, and says which it needs', async () => {
    let begun = 0;
    const id = await roomWith(() => ((begun += 1), Promise.resolve(applied('created'))), { profile: undefined });
    await room.turn(id, 1);

    expect(begun).toBe(0);
    const { message, ...rest } = await room.task(id);
    expect(rest).toMatchObject({ outcome: 'failed', reason: 'ContextError', profile: 'ask' });
    expect(message).toMatch(/profile 'trusted'/);
  });

  it('leaves work that only reads to every profile', async () => {
    const read = { action: 'get', params: { kind: 'ConfigMap', name: 'x' } };
    const id = await roomWith(() => Promise.resolve(applied('read')), { payload: read, profile: 'read-only' });
    await room.turn(id, 1);

    expect(await room.task(id)).toMatchObject({ outcome: 'succeeded' });
  });

  it.each(['Job', 'ConfigMap', 'Secret'])('cannot wait for a rollout of a %s', async (kind) => {
    await roomWith(() => Promise.resolve(applied('read')));
    const payload = { action: 'rollout_status', params: { kind, name: 'x' } };

    expect(await rejected({ payload })).toMatchObject({ code: 'params_invalid' });
  });

  it('is stopped in good order where its end takes as long as that of the workflow it runs', async () => {
    let end: () => void = () => undefined;
    const id = await roomWith(
      () =>
        new Promise((_resolve, reject) => (end = () => reject(new AgentFailure('UserStopped', 'It was canceled.')))),
    );
    const turn = room.turn(id, 1);
    await isRunning(id);
    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request');
    const heldUntil = async (): Promise<number> =>
      (await room.data.database.pool.query('select lease_until from attempt')).rows[0].lease_until.getTime();
    for (let seconds = 0; seconds < 50; seconds += 25) {
      room.clock.advance(25_000);
      const now = room.clock.now().getTime();
      await eventually('the attempt to be held on', async () => (await heldUntil()) > now + 40_000);
    }
    end();

    expect(await turn).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'stopped', evidence: { stop: { processes_left: 0 } } });
  });

  it('is not said to have stopped where its agent never ends', async () => {
    const id = await roomWith(() => new Promise(() => undefined));
    const turn = room.turn(id, 1);
    await isRunning(id);
    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request');
    const heldSince = room.clock.now().getTime();
    let isOver = false;
    void turn.then(() => (isOver = true));
    while (!isOver) {
      room.clock.advance(25_000);
      await new Promise((resolve) => setTimeout(resolve, 2_100));
    }

    expect(room.clock.now().getTime() - heldSince).toBeGreaterThan(70_000);
    expect(await room.task(id)).toMatchObject({ outcome: 'failed', reason: 'StopUnproven' });
  }, 120_000);
});
