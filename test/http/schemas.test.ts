import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Task, TaskResult } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const fixture = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', name), 'utf8')) as Record<string, unknown>;
const get = async (path: string) => (await outrigger.call(outrigger.people.ada, 'GET', path)).body;

it('S-70 S-03 publishes JSON schemas of tasks and their results, which the fixtures and a real result satisfy', async () => {
  // Formats say nothing here that the schemas' patterns do not.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const hrefs = (await get('/api/v2/agents/schemas')) as Record<string, string>;
  const compiled = new Map<string, ReturnType<typeof ajv.compile>>();
  for (const [name, href] of Object.entries(hrefs)) {
    const text = await get(href);
    compiled.set(name, ajv.compile(typeof text === 'string' ? (JSON.parse(text) as object) : (text as object)));
  }
  const task = fixture('opencode/task.request.json');
  const workflow = fixture('agentzero/workflow.request.json');
  const bridge = await outrigger.bridge();
  const { body: submitted } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', task);
  await bridge.request('result', { ...(await takeLease(bridge)), evidence: goodEvidence() });
  const { result } = await eventually('the end', async () => {
    const now = await get(`/api/v2/agents/tasks/${submitted.id}`);
    return now.state === 'finished' ? now : undefined;
  });
  bridge.close();
  const fits = (name: string, value: unknown): boolean | undefined =>
    compiled.get(name)?.(value) as boolean | undefined;
  // Both are types of the seam, too: this does not compile without them.
  const typed: TaskResult = result as TaskResult;
  const agent: Task['agent'] = 'opencode';

  expect([...compiled.keys()].sort()).toEqual(['execute', 'task', 'task-result', 'workflow']);
  expect({ ...typed, agent }).toEqual({ output: 'Done.', objects: [], agent: 'opencode' });
  expect([fits('task', task), fits('execute', task), fits('workflow', workflow), fits('task-result', result)]).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect([
    fits('task', { ...task, payload: {} }),
    fits('task', { ...task, unknown: true }),
    fits('workflow', { ...workflow, steps: 'none' }),
    fits('task-result', { objects: [] }),
  ]).toEqual([false, false, false, false]);
  expect((await outrigger.call(outrigger.people.ada, 'GET', '/api/v2/agents/schemas/toString')).status).toBe(404);
});
