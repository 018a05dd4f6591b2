import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listDefinitions, listVersions, rollBack } from '../../scripts/workflow-definition.ts';
import { runWorkflow } from '../../scripts/workflow-run.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { ran } from './template-harness.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let folder: string;
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
  folder = mkdtempSync(join(tmpdir(), 'outrigger-definition-'));
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  rmSync(folder, { recursive: true, force: true });
});

const manifest = (prompt: string) => ({
  apiVersion: 'outrigger/v1',
  kind: 'Workflow',
  metadata: { name: 'greet' },
  spec: {
    description: 'Greets.',
    parameters: [{ name: 'who' }, { name: 'how', default: 'warmly' }],
    steps: [{ id: 'greet', agent: 'opencode', task: 'generate_code', params: { prompt } }],
  },
});
const store = (prompt: string) =>
  outrigger.call(outrigger.people.ada, 'PUT', '/api/v2/agents/definitions/greet', manifest(prompt));
const flags = () => ({ output: 'text', service: outrigger.url });
const asAda = (run: Parameters<typeof ran>[1]) =>
  ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, run);
const promptOf = async (): Promise<string> => {
  const lease = await takeLease(bridge);
  await bridge.request('result', { ...lease, evidence: goodEvidence() });
  return lease.prompt;
};

describe('outrigger workflow, of stored definitions', () => {
  it('S-122 rolls a definition back to the version that is named, and runs what that says', async () => {
    await store('Greet {{parameters.who}} first.');
    await store('Greet {{parameters.who}} second.');

    const back = await asAda((around) => rollBack('greet', { ...flags(), to: '1' }, around));
    expect(back).toEqual({ code: 0, stdout: 'greet is v3 now, as v1 was.', stderr: '' });
    const again = await asAda((around) => rollBack('greet', { ...flags(), to: '1' }, around));
    expect(again.stdout).toBe('greet already says what v1 said; it is v3.');

    const [, prompt] = await Promise.all([
      asAda((around) => runWorkflow('greet', { ...flags(), parameter: ['who=Ada=x'] }, around)),
      promptOf(),
    ]);
    expect(prompt).toContain('Greet Ada=x first.');

    const { stdout } = await asAda((around) => listVersions('greet', flags(), around));
    expect(stdout.split('\n').map((line) => line.replace(/ .*?(  as v1)?$/, '$1'))).toEqual(['v3  as v1', 'v2', 'v1']);
  });

  it('lists what there is with what each asks for, and says so where there is nothing', async () => {
    await store('Greet {{parameters.who}}.');
    const { stdout } = await asAda((around) => listDefinitions(flags(), around));
    expect(stdout).toMatch(/^greet +v\d+ +who \[how\] {2}Greets\.$/);
    await outrigger.call(outrigger.people.ada, 'DELETE', '/api/v2/agents/definitions/greet');
    expect((await asAda((around) => listDefinitions(flags(), around))).stdout).toContain('outrigger apply -f');
  });

  it('runs a manifest from its file with what it asks for, without storing it', async () => {
    const file = join(folder, 'greet.yaml');
    writeFileSync(file, JSON.stringify(manifest('Greet {{parameters.who}} {{parameters.how}}.')));

    const missing = await asAda((around) => runWorkflow(file, flags(), around));
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringMatching(/needs parameter 'who'/)]);
    const [run, prompt] = await Promise.all([
      asAda((around) => runWorkflow(file, { ...flags(), parameter: ['who=Bob'], workspace: 'ws-123' }, around)),
      promptOf(),
    ]);
    expect(run.code).toBe(0);
    expect(prompt).toContain('Greet Bob warmly.');
    expect((await asAda((around) => listDefinitions(flags(), around))).stdout).toContain('Nothing is stored');
  });

  it.each([
    ['a version that is no number', { to: 'x' }, 2, /number of a version/],
    ['a version there is none of', { to: '7' }, 1, /does not exist/],
  ])('refuses %s', async (_what, more, code, words) => {
    const answer = await asAda((around) => rollBack('nothing', { ...flags(), ...more }, around));
    expect([answer.code, answer.stderr]).toEqual([code, expect.stringMatching(words)]);
  });
});
