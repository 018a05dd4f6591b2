import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../modules/contract.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { step, stepOf, workflowsOf, workflowsPath } from '../support/workflows-room.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let room: ReturnType<typeof workflowsOf>;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4', OUTRIGGER_MODEL: 'openai/gpt-4o' });
  bridge = await outrigger.bridge();
  room = workflowsOf(outrigger, bridge);
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const says = (text: string) => ({ last_message: { finish: 'stop', error: null, text } });
const askModel = async (lease: Lease): Promise<void> => {
  const answer = await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${lease.task_token}` },
    body: JSON.stringify({
      model: lease.model,
      stream: true,
      messages: [{ role: 'user', content: 'SCENARIO:text' }],
    }),
  });
  await answer.text();
};

describe('S-13 S-45 S-48 the result of a workflow', () => {
  it('has status, outputs, cost and evidence of all steps, and is there only at the end', async () => {
    const id = await room.submit({
      steps: [step('build', [], { verify: { argv: ['true'] } }), step('test', ['build']), step('ship', ['test'])],
    });
    const build = await room.take();
    await room.begin(build);
    await askModel(build);
    expect((await room.read(id)).result).toBeNull();
    await room.succeed(build, {
      ...says('built'),
      verify: { exit: 0, timed_out: false, output: 'all good' },
      tool_exits: [{ tool: 'bash', call_id: 'c1', status: 'completed', exit: 0, title: 'make' }],
    });
    const test = await room.take();
    await askModel(test);
    await askModel(test);
    await room.succeed(test, { ...says('tested'), last_message: { finish: 'length', error: null, text: 'tested' } });

    const { result, usage } = await room.finished(id);
    expect(result).toMatchObject({
      outcome: 'failed',
      outputs: { build: 'built', test: 'tested', ship: null },
      usage: { calls: 3 },
      usage_by_step: { build: { calls: 1 }, test: { calls: 2 }, ship: null },
      evidence: {
        build: {
          outcome: 'succeeded',
          commit: 'a'.repeat(40),
          changed_files: ['a.txt'],
          verify: { exit: 0, output: 'all good' },
          tool_exits: [{ tool: 'bash', exit: 0 }],
        },
        test: { outcome: 'failed', reason: 'Truncated', last_message: { finish: 'length' } },
        ship: { outcome: 'canceled', task_id: null, message: 'A step it depends on did not succeed.' },
      },
    });
    expect(result.cost_micro_usd).toBeGreaterThan(0);
    expect(result.cost_micro_usd).toBe(usage.cost_micro_usd);
    expect(result.duration_seconds).toBeGreaterThan(0);
  });
});

describe('S-47 params of a step', () => {
  const refusal = async (agent: string, task: string, params: object) => {
    const answer = await room.call('POST', workflowsPath, {
      name: 'w',
      workspace_id: 'ws-123',
      steps: [{ id: 'a', agent, task, params }],
    });
    return [answer.status, answer.body.code, answer.body.errors?.[0]?.path];
  };

  it('are checked by the schema of the step’s agent when the workflow is submitted', async () => {
    expect(await refusal('opencode', 'generate_code', { langauge: 'go' })).toEqual([
      422,
      'params_invalid',
      'params.langauge',
    ]);
    expect(await refusal('opencode', 'generate_code', { language: 7 })).toEqual([
      422,
      'params_invalid',
      'params.language',
    ]);
    expect(await refusal('kubernetes', 'apply_manifest', { manifest: 7 })).toEqual([
      422,
      'params_invalid',
      'params.manifest',
    ]);
  });

  it('reach the agent', async () => {
    const id = await room.submit({ steps: [step('a', [], { params: { language: 'go', file_path: 'main.go' } })] });
    const lease = await room.take();
    expect(lease.prompt).toContain('Write the go code');
    expect(lease.prompt).toContain('file path: main.go');
    await room.succeed(lease);
    expect((await room.finished(id)).outcome).toBe('succeeded');
  });
});

describe('a step that makes others good (part of D9)', () => {
  const run = async (fails: readonly string[]) => {
    const id = await room.submit({
      steps: [
        step('a'),
        step('b', ['a']),
        step('undo', [], { on_failure_of: ['a', 'b'], params: { prompt: 'b said: {{steps.b.message}}' } }),
        step('after', ['undo']),
      ],
    });
    const prompts: Record<string, string> = {};
    const next = async (): Promise<void> => {
      const lease = await room.take();
      prompts[stepOf(lease)] = lease.prompt;
      const isBad = fails.includes(stepOf(lease));
      await room.succeed(lease, isBad ? { last_message: { finish: 'length', error: null, text: '' } } : {});
    };
    await next();
    await next();
    if (fails.length > 0) {
      if (!prompts['undo']) await next();
      await next();
    }
    const workflow = await room.finished(id);
    const outcomes = workflow.steps.map((one: { outcome: string }) => one.outcome);
    return { outcome: workflow.outcome, outcomes, prompts };
  };

  it('runs after a failure, is told of it, and the workflow is still failed', async () => {
    const { outcome, outcomes, prompts } = await run(['b']);

    expect([outcome, ...outcomes]).toEqual(['failed', 'succeeded', 'failed', 'succeeded', 'succeeded']);
    expect(prompts['undo']).toMatch(/^b said: The model ran into its output limit/);
  });

  it('is skipped with what depends on it where nothing failed, and the workflow is succeeded', async () => {
    const { outcome, outcomes } = await run([]);

    expect([outcome, ...outcomes]).toEqual(['succeeded', 'succeeded', 'succeeded', 'skipped', 'skipped']);
  });

  it('is refused in a cycle with what it makes good', async () => {
    const answer = await room.call('POST', workflowsPath, {
      name: 'w',
      workspace_id: 'ws-123',
      steps: [step('a', ['undo']), step('undo', [], { on_failure_of: ['a'] })],
    });
    expect([answer.status, answer.body.code]).toEqual([400, 'workflow_has_cycle']);
  });
});

describe('the list of workflows', () => {
  it('shows each with its steps, newest first, by three reads however many there are', async () => {
    const ids = [];
    for (const name of ['one', 'two', 'three']) ids.push(await room.submit({ name, steps: [step('a')] }));
    const { body } = await room.call('GET', `${workflowsPath}?limit=2`);

    expect(body.items.map((one: { name: string }) => one.name)).toEqual(['three', 'two']);
    expect(body.items[0].steps).toMatchObject([{ id: 'a', agent: 'opencode', task: 'generate_code' }]);
    expect(body.items[0].steps[0]).not.toHaveProperty('output');
    const rest = await room.call('GET', `${workflowsPath}?limit=200&cursor=${body.next_cursor}`);
    expect(rest.body.items[0]).toMatchObject({ id: ids[0], name: 'one' });
    for (const id of ids) await room.post(id, 'cancel');
  });
});
