import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestService, type TestService } from '../support/service.ts';

const body = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'opencode/task.request.json'), 'utf8'),
) as Record<string, unknown>;

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

it('C-10 a task works on the branch agent/<task>, another one for each, which git takes as a name', async () => {
  const { ada } = outrigger.people;
  const branches: string[] = [];
  for (const _ of [1, 2]) {
    const { body: given } = await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', body);
    const { id } = given as { id: string };
    const { body: task } = await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${id}`);
    branches.push((task as { branch: string }).branch);
    expect(branches.at(-1)?.endsWith(id.slice(-8))).toBe(true);
    await outrigger.call(ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
  }

  for (const branch of branches) expect(branch).toMatch(/^agent\/[a-z0-9_-]+$/);
  expect(new Set(branches).size).toBe(2);
});
