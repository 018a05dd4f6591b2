import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService } from '../support/service.ts';

it('D1 runs tasks and workflows on a Coder without Coder Tasks, and never asks it for them', async () => {
  const outrigger = await startTestService();
  try {
    const { ada } = outrigger.people;
    const headers = { 'Coder-Session-Token': ada.token };
    expect((await fetch(`${outrigger.coder.url}/api/v2/tasks`, { headers })).status).toBe(404);
    const asked = outrigger.coder.calls.length;
    const bridge = await outrigger.bridge();
    const work = { action: 'generate_code', prompt: 'Do it', context: { workspace_id: outrigger.workspace.id } };
    const step = { agent: 'opencode', task: 'generate_code' };
    const steps = [
      { ...step, id: 'one' },
      { ...step, id: 'two', depends_on: ['one'] },
    ];
    const tasks = '/api/v2/agents/opencode/tasks';
    const workflows = '/api/v2/agents/agentzero/workflows';
    const { body: task } = await outrigger.call(ada, 'POST', tasks, { type: 'opencode', payload: work });
    const { body: workflow } = await outrigger.call(ada, 'POST', workflows, { name: 'Two steps', steps });
    for (let left = 3; left > 0; left -= 1) {
      const lease = await takeLease(bridge);
      await bridge.request('result', { ...lease, evidence: goodEvidence() });
    }

    for (const path of [`${tasks}/${task.id}`, `${workflows}/${workflow.id}`])
      await eventually('the end', async () => {
        const { body } = await outrigger.call(ada, 'GET', path);
        return body.outcome === 'succeeded';
      });
    bridge.close();
    const calls = outrigger.coder.calls.slice(asked);
    expect(calls.length).toBeGreaterThan(0);
    expect(calls.filter(({ path, route }) => route === null || path.includes('/tasks'))).toEqual([]);
  } finally {
    await outrigger.stop();
  }
});

it('D1 has no template with anything of Coder Tasks', () => {
  const root = join(import.meta.dirname, '..', '..', 'templates');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tf'));

  expect(files.length).toBeGreaterThan(1);
  expect(
    files.filter((name) => /coder_ai_task|coder_task|AI Prompt/.test(readFileSync(join(root, name), 'utf8'))),
  ).toEqual([]);
});
