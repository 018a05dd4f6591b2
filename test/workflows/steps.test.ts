import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const workflows = '/api/v2/agents/agentzero/workflows';

let outrigger: TestService;
let bridge: FakeBridge;
beforeAll(async () => {
  outrigger = await startTestService({
    OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4',
    OUTRIGGER_MODELS: 'scripted/test,scripted/other',
  });
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const call = (method: string, path: string, body?: unknown) => outrigger.call(outrigger.people.ada, method, path, body);
const submit = async (body: object): Promise<string> => {
  const answer = await call('POST', workflows, { name: 'w', workspace_id: 'ws-123', ...body });
  expect(answer.status).toBe(201);
  return answer.body.id as string;
};
const read = async (id: string) => (await call('GET', `${workflows}/${id}`)).body;
const finished = (id: string) =>
  eventually(
    'the workflow to end',
    async () => {
      const workflow = await read(id);
      return workflow.state === 'finished' ? workflow : undefined;
    },
    60_000,
  );
const step = (id: string, depends_on: string[] = [], more = {}) => ({
  id,
  agent: 'opencode',
  task: 'generate_code',
  depends_on,
  params: { prompt: id },
  ...more,
});
const stepOf = (lease: Lease): string => lease.branch.split('/').at(-1) ?? '';
const begin = (lease: Lease) => bridge.event(lease, 1, 'session.opened', { session_id: `ses_${stepOf(lease)}` });
const succeed = (lease: Lease) => bridge.request('result', { ...lease, evidence: goodEvidence() });

interface Times {
  readonly id: string;
  readonly started_at: string;
  readonly finished_at: string;
}

describe('S-13 S-42 dependencies and parallel steps', () => {
  it('run steps that do not need each other at once, up to max_parallel, and a step after all it depends on', async () => {
    const id = await submit({
      max_parallel: 2,
      steps: [step('last', ['a', 'b', 'c']), step('a'), step('b'), step('c')],
    });
    const first = await takeLease(bridge);
    const second = await takeLease(bridge, [first]);
    await begin(first);
    await begin(second);
    const states = (await read(id)).steps.map(({ state }: { state: string }) => state);
    expect(states.filter((state: string) => state === 'running')).toHaveLength(2);
    expect(states.filter((state: string) => state === 'blocked')).toHaveLength(2);

    await succeed(first);
    const third = await takeLease(bridge, [second]);
    await begin(third);
    expect(new Set([first, second, third].map(stepOf))).toEqual(new Set(['a', 'b', 'c']));
    await succeed(second);
    await succeed(third);
    const last = await takeLease(bridge);
    expect(stepOf(last)).toBe('last');
    await begin(last);
    await succeed(last);

    const workflow = await finished(id);
    const times = new Map((workflow.steps as Times[]).map((one) => [one.id, one]));
    const at = (lease: Lease, end: 'started_at' | 'finished_at') => Date.parse(times.get(stepOf(lease))?.[end] ?? '');
    expect(at(second, 'started_at')).toBeLessThan(at(first, 'finished_at'));
    expect(at(third, 'started_at')).toBeGreaterThanOrEqual(at(first, 'finished_at'));
    expect(at(third, 'started_at')).toBeLessThan(at(second, 'finished_at'));
    for (const needed of [first, second, third])
      expect(at(last, 'started_at')).toBeGreaterThanOrEqual(at(needed, 'finished_at'));
  });
});

describe('S-13 S-44 retry and fallback of a step', () => {
  it('make another attempt, then give the step to the other model, and every attempt can be seen', async () => {
    const id = await submit({
      steps: [step('only', [], { retry: { max: 2, backoff_seconds: 0 }, fallback: { model: 'scripted/other' } })],
    });
    const error = { name: 'APIError', message: 'no', status_code: 503 };
    const broken = goodEvidence({
      last_message: { finish: null, error, text: '' },
      commit: null,
      diff: { files: 0, additions: 0, deletions: 0 },
    });
    const models: string[] = [];
    for (const evidence of [broken, broken, goodEvidence()]) {
      const lease = await takeLease(bridge);
      models.push(lease.model);
      await bridge.request('result', { ...lease, evidence });
    }
    const workflow = await finished(id);
    const [only] = workflow.steps;
    const { body: task } = await call('GET', `/api/v2/agents/tasks/${only.task_id}`);

    expect(models).toEqual(['scripted/test', 'scripted/test', 'scripted/other']);
    expect([workflow.outcome, only.attempts]).toEqual(['succeeded', 3]);
    expect(task.attempts).toMatchObject([
      { number: 1, model: 'scripted/test', outcome: 'failed', reason: 'UpstreamError' },
      { number: 2, model: 'scripted/test', outcome: 'failed', reason: 'UpstreamError' },
      { number: 3, model: 'scripted/other', outcome: 'succeeded', reason: null },
    ]);
  });

  it.each([
    ['a model that is not allowed', { fallback: { model: 'acme/none' } }, 'model_not_allowed'],
    ['an agent that lacks the action', { fallback: { agent: 'kubernetes' } }, 'action_unknown'],
    ['an agent that does not exist', { fallback: { agent: 'robot' } }, 'agent_unknown'],
  ])('refuse %s as fallback', async (_title, more, code) => {
    const answer = await call('POST', workflows, {
      name: 'w',
      workspace_id: 'ws-123',
      steps: [step('only', [], more)],
    });

    expect([answer.status, answer.body.code]).toEqual([422, code]);
  });
});
