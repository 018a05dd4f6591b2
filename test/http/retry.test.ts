import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { failedEvidence } from '../../service/tasks/task.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_FLAGS: JSON.stringify({ agent_kubernetes: false }) });
});
afterAll(async () => {
  await outrigger.stop();
});

it('POST …/tasks/{id}/retry does the work of a failed task again, as a new task that names it', async () => {
  const { ada, bob, admin } = outrigger.people;
  const call = (method: string, path: string, body?: unknown, headers = {}) =>
    outrigger.call(ada, method, path, body, headers);
  const task = async (id: string) => (await call('GET', `/api/v2/agents/tasks/${id}`)).body;
  const bridge = await outrigger.bridge();
  const { body: submitted } = await call('POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
    retry: { max: 1 },
    priority: 7,
  });
  const path = `/api/v2/agents/tasks/${submitted.id}/retry`;
  const early = await call('POST', path);
  const evidence = failedEvidence({ reason: 'AgentError', message: 'It broke.', retryable: true });
  await bridge.request('result', { ...(await takeLease(bridge)), evidence });
  await eventually('the end', async () => (await task(submitted.id)).state === 'finished');

  const strangers = [await outrigger.call(bob, 'POST', path), await outrigger.call(admin, 'POST', path)];
  const key = { 'Idempotency-Key': randomUUID() };
  const [first, second] = await Promise.all([call('POST', path, {}, key), call('POST', path, {}, key)]);
  const lease = await takeLease(bridge);
  await bridge.request('result', { ...lease, evidence: goodEvidence() });
  await eventually('the end of the new task', async () => (await task(first.body.id)).state === 'finished');
  const late = await call('POST', `/api/v2/agents/tasks/${first.body.id}/retry`);
  const letters = (await call('GET', '/api/v2/agents/dead-letters')).body.items;
  bridge.close();

  expect(early).toMatchObject({ status: 409, body: { code: 'task_not_finished' } });
  expect(strangers.map(({ status }) => status)).toEqual([404, 403]);
  expect([first.status, second.body]).toEqual([202, first.body]);
  expect(lease).toMatchObject({ task_id: first.body.id, attempt: 1, session_id: null });
  expect(lease.prompt).toContain('Do it');
  expect(await task(first.body.id)).toMatchObject({ retry_of: submitted.id, priority: 7, outcome: 'succeeded' });
  expect(late).toMatchObject({ status: 409, body: { code: 'task_succeeded' } });
  expect(letters).toMatchObject([{ task_id: submitted.id, requeued_as: first.body.id }]);
});

/** A task that was stopped before anybody worked on it. */
async function stopped(): Promise<string> {
  const { ada } = outrigger.people;
  const { body } = await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', context: { workspace_id: 'ws-123' } },
  });
  const path = `/api/v2/agents/tasks/${body.id}`;
  await outrigger.call(ada, 'POST', `${path}/stop`);
  await eventually('the end', async () => (await outrigger.call(ada, 'GET', path)).body.state === 'finished');
  return body.id as string;
}

it('needs no body, also with an Idempotency-Key', async () => {
  const path = `/api/v2/agents/tasks/${await stopped()}/retry`;
  const key = { 'Idempotency-Key': randomUUID() };

  const first = await outrigger.call(outrigger.people.ada, 'POST', path, undefined, key);
  const second = await outrigger.call(outrigger.people.ada, 'POST', path, undefined, key);

  expect([first.status, second.body]).toEqual([202, first.body]);
});

it('does nothing again by an agent that was turned off since', async () => {
  const id = await stopped();
  await outrigger.database.pool.query(`update task set agent = 'kubernetes' where id = $1`, [id]);

  const { status, body } = await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/retry`);

  expect([status, body.code]).toEqual([403, 'feature_off']);
});
