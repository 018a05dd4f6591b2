import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { estimateLines, planWorkflow } from '../../scripts/workflow-plan.ts';
import type { RunFlags } from '../../scripts/workflow-run.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { ran } from './template-harness.ts';

const fixture = join(import.meta.dirname, '..', 'fixtures', 'agentzero', 'workflow.request.json');

let outrigger: TestService;
let folder: string;
beforeAll(async () => {
  outrigger = await startTestService();
  folder = mkdtempSync(join(tmpdir(), 'outrigger-plan-'));
});
afterAll(async () => {
  await outrigger.stop();
  rmSync(folder, { recursive: true, force: true });
});

const plan = (file: string, output = 'text', more: Partial<RunFlags> = {}) =>
  ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, (around) =>
    planWorkflow(file, { output, service: outrigger.url, ...more }, around),
  );

describe('outrigger workflow plan', () => {
  it('D19 shows the plan of the workflow of the fixture, the same twice', async () => {
    const first = await plan(fixture);
    const second = await plan(fixture);

    expect(first.code).toBe(0);
    expect(second).toEqual(first);
    expect(first.stdout.trimEnd().split('\n')).toEqual([
      'Full Stack Feature',
      '   1. backend',
      '   2. frontend',
      '   3. deploy',
      '  longest chain: backend → frontend → deploy',
      'agents:',
      '  opencode (in the workspace): generate_api, generate_ui',
      '  kubernetes (in the service): apply_manifest',
      'workspaces:',
      '  ws-123 runs already',
      'from what such work used before:',
      expect.stringMatching(/^ {2}unknown: backend: No task of opencode\/generate_api with model scripted\/test has/),
    ]);
    expect(JSON.parse((await plan(fixture, 'json')).stdout)).toMatchObject({ violations: [] });
  });

  it('takes what run takes: a manifest, with what it asks for', async () => {
    const manifest = join(import.meta.dirname, '../../docs/workflows/api-with-tests-and-review.yaml');

    const given = await plan(manifest, 'text', { parameter: ['endpoint=GET /health'], workspace: 'ws-123' });
    expect(given).toMatchObject({ code: 0, stdout: expect.stringMatching(/^api-with-tests-and-review\n/) });
    expect(await plan(manifest)).toMatchObject({ code: 2, stderr: expect.stringContaining('endpoint') });
  });

  it('ends with 1 where something is not allowed, and says all of it; with 1 for a cycle', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(
      file,
      'name: x\nsteps:\n  - { id: a, agent: robot, task: x }\n  - { id: b, agent: opencode, task: y }\n',
    );
    const bad = await plan(file);
    writeFileSync(file, 'name: x\nsteps:\n  - { id: a, agent: opencode, task: fix_tests, depends_on: [a] }\n');
    const cycle = await plan(file);

    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(
      /would be refused:\n {2}a: No agent is called 'robot'.*\n {2}b: Agent 'opencode' has no action/,
    );
    expect([cycle.code, cycle.stdout]).toEqual([1, '']);
    expect(cycle.stderr).toContain('a → a');
  });

  it('shows money in dollars, from low to high', () => {
    const cost_micro_usd = { low: 12_300, likely: 20_000, high: 1_500_000 };

    expect(estimateLines({ tokens: { low: 1, likely: 2, high: 3 }, cost_micro_usd, reason: null })).toEqual([
      'from what such work used before:',
      '  tokens 1 to 3, likely 2',
      '  cost 0.0123 USD to 1.5000 USD, likely 0.0200 USD',
    ]);
  });
});
