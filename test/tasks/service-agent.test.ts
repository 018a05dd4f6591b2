import { afterEach, describe, expect, it } from '@jest/globals';
import { AgentFailure, type ServiceAgent, type ServiceResult } from '../../service/agents/service-agent.ts';
import { stopTask } from '../../service/tasks/stop-task.ts';
import { eventually } from '../support/clock.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

const applied = (result: 'created' | 'unchanged' | 'read'): ServiceResult => ({
  output: `ConfigMap team/x: ${result}`,
  objects: [{ kind: 'ConfigMap', namespace: 'team', name: 'x', result }],
});
const task = {
  type: 'kubernetes',
  payload: { action: 'apply_manifest', params: { manifest: 'kind: ConfigMap' } },
  retry: { max: 2, backoff_seconds: 0 },
};

let room: TasksRoom;
afterEach(() => room.close());

async function roomWith(execute: ServiceAgent['execute']) {
  room = await makeTasksRoom({ serviceAgents: [{ name: 'kubernetes', execute }] });
  const id = await room.submit(task);
  await room.admission.admitNow();
  return id;
}

describe('an agent of the service', () => {
  it('does its work without any bridge, with the params it was given, and its output is what later steps get', async () => {
    const seen: unknown[] = [];
    const id = await roomWith((work) => {
      seen.push(work);
      return Promise.resolve(applied('created'));
    });
    await room.turn(id, 1);

    expect(seen).toEqual([
      {
        taskId: id,
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
  const endless: ServiceAgent['execute'] = (_work, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  const isRunning = (id: string) =>
    eventually('the work to begin', async () => (await room.task(id)).state === 'running');

  it('is stopped while it works, with a receipt and without a command to any bridge', async () => {
    const id = await roomWith(endless);
    const turn = room.turn(id, 1);
    await isRunning(id);
    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request');

    expect(await turn).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'stopped', evidence: { stop: { processes_left: 0 } } });
    expect((await room.data.database.pool.query('select 1 from bridge_frame')).rowCount).toBe(0);
  });

  it('runs out of time', async () => {
    const id = await roomWith(endless);
    const turn = room.turn(id, 1);
    await isRunning(id);
    room.clock.advance(7_200_000);

    expect(await turn).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ outcome: 'timed_out', reason: 'Timeout' });
  });

  it('is never at work twice, and does the work again when the process that did it is gone', async () => {
    let begun = 0;
    const id = await roomWith((work, signal) => {
      begun += 1;
      return begun === 1 ? endless(work, signal) : Promise.resolve(applied('created'));
    });
    const first = room.turn(id, 1);
    await isRunning(id);

    expect(await room.turn(id, 1)).toMatchObject({ done: false });
    expect(begun).toBe(1);
    room.clock.advance(46_000);
    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(begun).toBe(2);
    // The first process wakes up late, and has nothing more to say.
    expect(await first).toEqual({ done: true, wakes: [] });
    expect(await room.task(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
  });
});
