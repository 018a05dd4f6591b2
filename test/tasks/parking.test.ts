import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AttemptRef, Evidence, Lease, StopReceipt } from '../../modules/contract.ts';
import { policyOf, savePolicy, type ApprovalPolicy } from '../../service/approvals/policy.ts';
import { goOnAnswered } from '../../service/tasks/end-unanswered.ts';
import { stopTask } from '../../service/tasks/stop-task.ts';
import { readEvents } from '../../service/tasks/task-events.ts';
import { failedEvidence } from '../../service/tasks/task.ts';
import { goodEvidence } from '../support/fake-bridge.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
beforeEach(async () => {
  room = await makeTasksRoom();
});
afterEach(() => room.close());

const minutes = (count: number): number => count * 60_000;
const hours = (count: number): number => minutes(60) * count;
const receipt: StopReceipt = {
  stopped_at: '2026-01-01T00:00:00Z',
  method: 'abort',
  processes_left: 0,
  tokens_after_stop: 0,
};
const parked = (change: Partial<Evidence> = {}): Evidence => ({
  ...failedEvidence({ reason: 'AgentError', message: '', retryable: false }),
  failure: null,
  session_id: 'ses_1',
  stop: receipt,
  ...change,
});
const call = (command: string, id = 'call_1') => ({
  permission: 'bash',
  command,
  patterns: [command],
  session_id: 'ses_1',
  call_id: id,
});

const ask = (ref: AttemptRef, askId: string, detail: Record<string, unknown>) =>
  room.handlers.ask(room.bridge, { ...ref, ask_id: askId, kind: 'permission', title: `bash: ${askId}`, detail });
const beat = (ref: AttemptRef) => room.handlers.heartbeat(room.bridge, [ref]);
const commands = async (): Promise<{ type: string; payload: Record<string, unknown> }[]> =>
  (
    await room.data.database.pool.query<{ type: string; payload: Record<string, unknown> }>(
      `select type, payload from bridge_frame where type <> 'wake' order by id`,
    )
  ).rows;
const policy = async (change: Partial<ApprovalPolicy>): Promise<void> => {
  const { organizationId } = room.bridge;
  const usual = await policyOf(room.data.database, organizationId);
  await room.data.database.transaction((tx) =>
    savePolicy(tx, organizationId, { ...usual, ...change }, { actor: 'user:x', now: room.clock.now() }),
  );
};
const eventTypes = async (taskId: string) => (await readEvents(room.data.database, taskId, 0)).map(({ type }) => type);

/** Time passes, the bridge lives, and the attempt takes a turn. */
async function pass(ref: AttemptRef, milliseconds: number): Promise<void> {
  room.clock.advance(milliseconds);
  await beat(ref);
  await room.turn(ref.task_id, ref.attempt);
}

/** A task whose question held its attempt for ten minutes, and whose bridge has ended it. */
async function parkedTask(detail = call('npm test'), change: Record<string, unknown> = {}): Promise<Lease> {
  const lease = await room.leased(change);
  await ask(lease, 'per_1', detail);
  await pass(lease, minutes(10) + 1);
  await room.handlers.result(room.bridge, { ...lease, evidence: parked() });
  await room.turn(lease.task_id, lease.attempt);
  return lease;
}

async function nextLease(taskId: string, attempt: number): Promise<Lease> {
  await room.admission.admitNow();
  await room.turn(taskId, attempt);
  const lease = await room.handlers.claim(room.bridge, { slots: 1, holding: [] });
  if (lease?.task_id !== taskId || lease.attempt !== attempt) throw new Error('nothing to lease');
  return lease;
}

describe('a question that outlives its attempt (part of D5)', () => {
  it('holds its attempt ten minutes; then the attempt is ended with proof and gives its place to another task', async () => {
    const lease = await room.leased();
    const waiting = await room.submit();
    await ask(lease, 'per_1', call('npm test'));
    await pass(lease, minutes(9));
    expect(await commands()).toEqual([]);

    await pass(lease, minutes(1));

    expect(await commands()).toMatchObject([{ type: 'stop', payload: { attempt: 1, reason: 'PermissionRequired' } }]);
    expect((await room.task(lease.task_id)).state).toBe('waiting');
    await room.admission.admitNow();
    expect((await room.task(waiting)).state).toBe('queued');

    await room.handlers.result(room.bridge, { ...lease, evidence: parked() });
    expect(await room.turn(lease.task_id, 1)).toMatchObject({ done: true });

    expect(await room.task(lease.task_id)).toMatchObject({
      state: 'parked',
      outcome: null,
      reason: 'PermissionRequired',
      sessionId: 'ses_1',
    });
    expect(await room.question(lease.task_id)).toMatchObject({ state: 'pending', parkedAt: expect.any(Date) });
    await room.admission.admitNow();
    expect((await room.task(waiting)).state).toBe('starting');
    expect(await eventTypes(lease.task_id)).toContain('task.parked');
  });

  it('goes on with the same session when a person answers, and lets exactly that call pass, once', async () => {
    const { task_id: id } = await parkedTask(call('npm test'), { retry: { max: 1, backoff_seconds: 0 } });
    room.clock.advance(hours(20));

    await room.decide(id, 'once', 'Go ahead.');
    const second = await nextLease(id, 2);

    expect(second).toMatchObject({
      session_id: 'ses_1',
      message_id: `msg_${id.replaceAll('-', '')}`,
      answers: [{ title: 'bash: per_1', decision: 'once', message: 'Go ahead.' }],
    });
    await ask(second, 'per_2', call('npm test; rm -rf x', 'call_2'));
    expect(await room.question(id)).toMatchObject({ state: 'pending' });
    await room.decide(id, 'reject');
    await ask(second, 'per_3', call('npm test', 'call_3'));
    expect(await room.question(id)).toMatchObject({ state: 'decided', decision: 'once', decidedVia: 'earlier_answer' });
    await ask(second, 'per_3', call('npm test', 'call_3'));
    await ask(second, 'per_4', call('npm test', 'call_4'));
    expect(await room.question(id)).toMatchObject({ askId: 'per_4', state: 'pending' });
    const decisions = (await commands()).filter(({ type }) => type === 'decision').map(({ payload }) => payload);
    expect(decisions.map(({ ask_id: asked, decision }) => [asked, decision])).toEqual([
      ['per_2', 'reject'],
      ['per_3', 'once'],
      ['per_3', 'once'],
    ]);
  });

  it('counts no retry: an attempt that fails after it may still be tried again', async () => {
    const { task_id: id } = await parkedTask(call('x'), { retry: { max: 2, backoff_seconds: 0 } });
    await room.decide(id, 'once');
    const second = await nextLease(id, 2);
    const evidence = failedEvidence({ reason: 'AgentError', message: 'x', retryable: true });
    await room.handlers.result(room.bridge, { ...second, evidence });
    await room.turn(id, 2);

    expect(await room.task(id)).toMatchObject({ state: 'queued', reason: 'AgentError' });
    const third = await nextLease(id, 3);
    await room.handlers.result(room.bridge, { ...third, evidence });
    await room.turn(id, 3);
    expect(await room.task(id)).toMatchObject({ state: 'finished', outcome: 'failed' });
  });

  it('tells a rejection to the session, too', async () => {
    const { task_id: id } = await parkedTask();

    await room.decide(id, 'reject', 'Not today.');
    const second = await nextLease(id, 2);
    await ask(second, 'per_2', call('npm test', 'call_2'));

    expect(second.answers).toMatchObject([{ decision: 'reject', message: 'Not today.' }]);
    expect(await room.question(id)).toMatchObject({ state: 'decided', decision: 'reject' });
  });

  it('takes an answer that comes while the attempt is being ended for the next one', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('npm test'));
    await pass(lease, minutes(10) + 1);

    await room.decide(lease.task_id, 'once');
    await room.handlers.result(room.bridge, { ...lease, evidence: parked() });
    await room.turn(lease.task_id, 1);

    expect((await commands()).map(({ type }) => type)).toEqual(['stop']);
    expect(await room.task(lease.task_id)).toMatchObject({ state: 'queued', parks: 1 });
    expect((await nextLease(lease.task_id, 2)).answers).toHaveLength(1);
  });

  it('waits for all that was asked, before it goes on', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('one'));
    room.clock.advance(minutes(5));
    await ask(lease, 'per_2', call('two'));
    await pass(lease, minutes(5) + 1);
    await room.handlers.result(room.bridge, { ...lease, evidence: parked() });
    await room.turn(lease.task_id, 1);

    await room.decide(lease.task_id, 'once');
    expect((await room.task(lease.task_id)).state).toBe('parked');
    const { rows } = await room.data.database.pool.query<{ id: string }>(
      `select id from approval where state = 'pending'`,
    );
    expect(rows).toHaveLength(1);
  });

  it('fails after a day that nobody used, and takes no answer any more', async () => {
    const { task_id: id } = await parkedTask();
    room.clock.advance(hours(23));
    await room.endUnanswered();
    expect((await room.task(id)).state).toBe('parked');
    room.clock.advance(hours(1));
    await expect(room.decide(id, 'once')).rejects.toMatchObject({ code: 'approval_expired' });

    await room.endUnanswered();

    expect(await room.task(id)).toMatchObject({ outcome: 'failed', reason: 'PermissionRequired' });
    expect(await room.question(id)).toMatchObject({ state: 'expired', decision: 'reject' });
  });

  it('is `stopped` with the receipt of its attempt when somebody stops it', async () => {
    const { task_id: id } = await parkedTask();

    await stopTask(room.stopParts, id, room.bridge.ownerId, 'request-1');

    expect(await room.task(id)).toMatchObject({ outcome: 'stopped', evidence: { stop: receipt } });
    expect(await room.question(id)).toMatchObject({ state: 'withdrawn' });
  });

  it('is `stopped`, too, when somebody stops it just after its bridge has reported', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));
    await pass(lease, minutes(10) + 1);
    await room.handlers.result(room.bridge, { ...lease, evidence: parked() });

    await stopTask(room.stopParts, lease.task_id, room.bridge.ownerId, 'request-1');
    await room.turn(lease.task_id, 1);

    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'stopped', reason: 'UserStopped' });
  });

  it('goes on, too, where an earlier version of the service took the answer and left it parked', async () => {
    const { task_id: id } = await parkedTask();
    const { database } = room.data;
    await goOnAnswered({ database, clock: room.clock });
    expect((await room.task(id)).state).toBe('parked');
    await database.pool.query(`update approval set state = 'decided', decision = 'once' where task_id = $1`, [id]);

    await goOnAnswered({ database, clock: room.clock });

    expect((await room.task(id)).state).toBe('queued');
    expect((await nextLease(id, 2)).answers).toMatchObject([{ decision: 'once' }]);
  });

  it('is a failure where the end of its attempt is not proven', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));
    await pass(lease, minutes(10) + 1);

    await room.handlers.result(room.bridge, {
      ...lease,
      evidence: parked({ stop: { ...receipt, processes_left: 1 } }),
    });
    await room.turn(lease.task_id, 1);
    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'failed', reason: 'StopUnproven' });

    const silent = await room.leased();
    await ask(silent, 'per_1', call('x'));
    await pass(silent, minutes(10) + 1);
    await pass(silent, 30_001);
    expect(await room.task(silent.task_id)).toMatchObject({ outcome: 'failed', reason: 'StopUnproven' });
  });

  it('is the failure that ended its attempt where that came first: nobody goes on after an approval was passed by', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));
    await pass(lease, minutes(10) + 1);

    const failure = { reason: 'ApprovalBypassed' as const, message: 'x', retryable: false };
    await room.handlers.result(room.bridge, { ...lease, evidence: parked({ failure }) });
    await room.turn(lease.task_id, 1);

    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'failed', reason: 'ApprovalBypassed' });
    expect(await room.question(lease.task_id)).toMatchObject({ state: 'withdrawn' });
  });

  it('parks also where the bridge was lost while it ended the attempt', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));
    await pass(lease, minutes(10) + 1);
    room.clock.advance(46_000);
    await room.turn(lease.task_id, 1);

    expect(await room.task(lease.task_id)).toMatchObject({ state: 'parked' });
  });
});

describe('what an organization says of questions (part of D5)', () => {
  it('rejects, and the task goes on', async () => {
    await policy({ unanswered: 'reject', holdMs: minutes(1) });
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));

    await pass(lease, minutes(1) + 1);

    expect((await room.task(lease.task_id)).state).toBe('running');
    expect(await commands()).toMatchObject([{ type: 'decision', payload: { ask_id: 'per_1', decision: 'reject' } }]);
    expect(await eventTypes(lease.task_id)).toContain('approval.expired');
  });

  it('stops the task, with proof', async () => {
    await policy({ unanswered: 'stop', holdMs: minutes(1) });
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));

    await pass(lease, minutes(1) + 1);
    await room.handlers.result(room.bridge, { ...lease, evidence: parked() });
    await room.turn(lease.task_id, 1);

    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'stopped', reason: 'PermissionRequired' });
  });

  it('lets listed commands pass, to the letter, and says so', async () => {
    await policy({ allowCommands: ['npm test'] });
    const lease = await room.leased();

    await ask(lease, 'per_1', call('npm test'));
    expect(await room.question(lease.task_id)).toMatchObject({
      decision: 'once',
      decidedVia: 'policy',
      decidedBy: null,
    });
    expect((await room.task(lease.task_id)).state).toBe('running');
    for (const [index, command] of ['npm test ', 'npm test; x', 'npm  test', 'npm test\n'].entries()) {
      await ask(lease, `per_${index + 2}`, call(command));
      expect(await room.question(lease.task_id)).toMatchObject({ state: 'pending' });
    }
    await ask(lease, 'per_9', { ...call('npm test'), permission: 'edit' });
    expect(await room.question(lease.task_id)).toMatchObject({ askId: 'per_9', state: 'pending' });
  });
});

describe('`always` (part of D5)', () => {
  it('is remembered for this call of this task, and tells the bridge `once`', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('make'));
    await room.decide(lease.task_id, 'always');

    await ask(lease, 'per_2', call('make', 'call_2'));
    await ask(lease, 'per_3', call('make install', 'call_3'));

    expect(await room.question(lease.task_id)).toMatchObject({ askId: 'per_3', state: 'pending' });
    const decisions = (await commands()).map(({ payload }) => [payload['ask_id'], payload['decision']]);
    expect(decisions).toEqual([
      ['per_1', 'once'],
      ['per_2', 'once'],
    ]);
    await room.handlers.result(room.bridge, { ...lease, evidence: goodEvidence() });
    await room.turn(lease.task_id, 1);
    const other = await room.leased();
    await ask(other, 'per_1', call('make'));
    expect(await room.question(other.task_id)).toMatchObject({ state: 'pending' });
  });
});

describe('a question that the harness took back', () => {
  it('waits for nobody any more, and the task runs on', async () => {
    const lease = await room.leased();
    await ask(lease, 'per_1', call('x'));

    await room.handlers.event(room.bridge, {
      ...lease,
      source_seq: 1,
      type: 'approval.withdrawn',
      at: new Date().toISOString(),
      data: { ask_id: 'per_1' },
    });

    expect((await room.task(lease.task_id)).state).toBe('running');
    expect(await room.question(lease.task_id)).toMatchObject({ state: 'withdrawn' });
    expect(await eventTypes(lease.task_id)).toContain('approval.withdrawn');
  });
});
