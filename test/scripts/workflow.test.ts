import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exitCodeOfWorkflow } from '../../scripts/workflow-text.ts';
import { runWorkflow } from '../../scripts/workflow-run.ts';
import { listWorkflows, showWorkflow } from '../../scripts/workflow.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { ran } from './template-harness.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let folder: string;
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
  folder = mkdtempSync(join(tmpdir(), 'outrigger-workflow-'));
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  rmSync(folder, { recursive: true, force: true });
});

const flags = () => ({ output: 'text', service: outrigger.url });
const asAda = (run: Parameters<typeof ran>[1]) =>
  ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, run);
const written = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const twoSteps = `
name: Add an endpoint
steps:
  - { id: api, agent: opencode, task: generate_api, retry: { max: 1 } }
  - { id: tests, agent: opencode, task: write_tests, depends_on: [api] }
`;
const serve = async (...evidence: ReturnType<typeof goodEvidence>[]): Promise<void> => {
  for (const one of evidence) await bridge.request('result', { ...(await takeLease(bridge)), evidence: one });
};
const failed = () =>
  goodEvidence({
    last_message: { finish: 'length', error: null, text: 'and so' },
    commit: null,
    diff: { files: 0, additions: 0, deletions: 0 },
  });

describe('outrigger workflow', () => {
  it('runs a YAML file, tells of each step, ends with 0, and shows it afterwards', async () => {
    const file = written('two.yaml', twoSteps);
    const [{ code, stdout, stderr }] = await Promise.all([
      asAda((around) => runWorkflow(file, { ...flags(), wait: true }, around)),
      serve(goodEvidence(), goodEvidence()),
    ]);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/succeeded.*Add an endpoint/) });
    expect(stderr).toMatch(/it goes on when you stop waiting[^]*api +succeeded[^]*tests +succeeded/);

    const id = stdout.split(' ')[0] ?? '';
    expect((await asAda((around) => listWorkflows(flags(), around))).stdout).toContain(id);
    expect((await asAda((around) => showWorkflow(id, flags(), around))).stdout).toBe(stdout);
  });

  it('ends with 1 when a step failed, and says which and why', async () => {
    const file = written(
      'two.json',
      JSON.stringify({ name: 'x', steps: [{ id: 'a', agent: 'opencode', task: 'fix_tests', retry: { max: 1 } }] }),
    );
    const [{ code, stdout }] = await Promise.all([
      asAda((around) => runWorkflow(file, { ...flags(), wait: true }, around)),
      serve(failed()),
    ]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/ a +failed +Truncated: /);
  });

  it.each([
    ['a file that is not there', () => join(folder, 'none.yaml'), 2, /no file/],
    ['a definition that is not there', () => 'none', 1, /'none' does not exist/],
    ['text that is no YAML', () => written('bad.yaml', 'a: [1'), 2, /bad\.yaml is not YAML: .*line 1/],
    ['text too deep to be parsed', () => written('deep.yaml', '['.repeat(200)), 2, /deep\.yaml is nested deeper than/],
    [
      'aliases that stand for too much',
      () => written('bomb.yaml', `a: &a [x]\nb: &b [${'*a,'.repeat(99)}]\nc: [${'*b,'.repeat(99)}]\n`),
      2,
      /bomb\.yaml has aliases that stand for too much/,
    ],
    ['a workflow that the service refuses', () => written('cycle.yaml', 'name: x\nsteps: []'), 1, /at least one step/],
  ])('refuses %s', async (_what, file, code, words) => {
    const answer = await asAda((around) => runWorkflow(file(), flags(), around));
    expect(answer).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(words) });
  });

  it('says so to somebody who ran none', async () => {
    const who = { coderUrl: outrigger.coder.url, token: outrigger.people.bob.token, home: folder };
    const { code, stdout } = await ran(who, (around) => listWorkflows(flags(), around));
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('workflow run FILE') });
  });
});

describe('the exit code of a workflow', () => {
  const step = (outcome: string, reason: string | null = null) =>
    ({ id: 'a', agent: 'b', task: 'c', state: 'finished', outcome, reason, message: null, branch: null }) as never;

  it.each([
    ['succeeded', [step('succeeded'), step('no_change')], 0],
    ['failed', [step('succeeded'), step('failed', 'AgentError'), step('timed_out')], 1],
    ['failed', [step('failed', 'DelegationMissing'), step('canceled')], 2],
    ['failed', [step('timed_out', 'TimedOut'), step('canceled')], 124],
    ['canceled', [step('stopped'), step('canceled')], 143],
  ] as const)('is, when it %s with %j, %i', (outcome, steps, code) => {
    expect(exitCodeOfWorkflow({ outcome, steps: [...steps] })).toBe(code);
  });
});
