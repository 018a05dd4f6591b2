import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { step, stepOf, workflowsOf } from '../support/workflows-room.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let room: ReturnType<typeof workflowsOf>;
beforeAll(async () => {
  outrigger = await startTestService({
    OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4',
    OUTRIGGER_MODEL: 'openai/gpt-4o',
  });
  bridge = await outrigger.bridge();
  room = workflowsOf(outrigger, bridge);
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

interface Waiting {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly task_id: string;
}
const asked = (): Promise<Waiting> =>
  eventually('the step to ask', async () => {
    const { body } = await room.call('GET', '/api/v2/agents/approvals?state=pending');
    return (body as { items: Waiting[] }).items[0];
  });
const decide = (id: string, decision: string) =>
  room.call('POST', `/api/v2/agents/approvals/${id}/decision`, { decision });
const outcomes = (workflow: { outcome: string; steps: { outcome: string }[] }) => [
  workflow.outcome,
  ...workflow.steps.map(({ outcome }) => outcome),
];

describe('the budget of a step (part of D9)', () => {
  const ask = (lease: Lease) =>
    fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${lease.task_token}` },
      body: JSON.stringify({
        model: lease.model,
        stream: true,
        messages: [{ role: 'user', content: 'SCENARIO:text' }],
      }),
    });

  it('ends its model calls once it is spent, over all its attempts, and not those of other steps', async () => {
    const retry = { max: 2, backoff_seconds: 0 };
    const id = await room.submit({ steps: [step('cheap', [], { budget_micro_usd: 1, retry }), step('free')] });
    const leases = [await room.take()];
    leases.push(await room.take(leases));
    const of = (name: string): Lease => leases.find((lease) => stepOf(lease) === name) as Lease;
    const statusOf = async (lease: Lease): Promise<number> => {
      const answer = await ask(lease);
      await answer.text();
      return answer.status;
    };

    expect(await statusOf(of('cheap'))).toBe(200);
    const error = { name: 'APIError', message: 'no', status_code: 503 };
    await room.succeed(of('cheap'), { last_message: { finish: null, error, text: '' } });
    const again = await room.take([of('free')]);
    expect(again.attempt).toBe(2);
    expect(await statusOf(again)).toBe(402);
    expect([await statusOf(of('free')), await statusOf(of('free'))]).toEqual([200, 200]);
    const stop = {
      stopped_at: new Date().toISOString(),
      method: 'abort' as const,
      processes_left: 0,
      tokens_after_stop: 0,
    };
    await room.succeed(again, { stop, last_message: { finish: null, error, text: '' } });
    await room.succeed(of('free'));

    const workflow = await room.finished(id);
    expect(workflow.steps).toMatchObject([
      { outcome: 'stopped', reason: 'BudgetExceeded', usage: { calls: 1 } },
      { outcome: 'succeeded', usage: { calls: 2 } },
    ]);
  });
});

describe('a step that needs an approval', () => {
  const submit = () => room.submit({ steps: [step('deploy', [], { approval: true }), step('after', ['deploy'])] });

  it('waits until a person lets it, and then runs', async () => {
    const id = await submit();
    const approval = await asked();
    expect(approval).toMatchObject({
      kind: 'step',
      title: "May step 'deploy' of workflow 'w' begin?",
      detail: { prompt: 'deploy' },
    });
    const before = await room.read(id);
    expect([before.state, before.steps[0].state, before.steps[0].reason]).toEqual([
      'waiting',
      'blocked',
      'PermissionRequired',
    ]);

    expect((await decide(approval.id, 'once')).status).toBe(200);
    for (const name of ['deploy', 'after']) {
      const lease = await room.take();
      expect(stepOf(lease)).toBe(name);
      await room.succeed(lease);
    }
    expect(outcomes(await room.finished(id))).toEqual(['succeeded', 'succeeded', 'succeeded']);
  });

  it('never begins where a person refuses, nor what depends on it', async () => {
    const id = await submit();
    await decide((await asked()).id, 'reject');

    const workflow = await room.finished(id);
    expect(outcomes(workflow)).toEqual(['canceled', 'canceled', 'canceled']);
    expect(workflow.steps[0]).toMatchObject({ reason: 'ApprovalRejected', attempts: 0 });
  });

  it('asks no more once its workflow is canceled', async () => {
    const id = await submit();
    const { id: approvalId } = await asked();
    await room.post(id, 'cancel');

    expect(outcomes(await room.finished(id))).toEqual(['canceled', 'canceled', 'canceled']);
    expect(await decide(approvalId, 'once')).toMatchObject({ status: 409, body: { code: 'approval_settled' } });
  });

  // Last: the clock ends the bridge's token too.
  it('never begins where nobody decides within a day', async () => {
    const id = await submit();
    const { id: approvalId } = await asked();
    outrigger.clock.advance(24 * 3_600_000 + 1_000);
    expect((await decide(approvalId, 'once')).status).toBe(409);
    await room.post(id, 'cancel');

    const workflow = await room.finished(id);
    expect(workflow.steps[0]).toMatchObject({ outcome: 'canceled', message: 'Nobody let this step begin in time.' });
  });
});
