import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { composeWorkflow, type ComposeFlags } from '../../scripts/workflow-compose.ts';
import { makeRegistry } from '../../service/agents/registry.ts';
import { readApproval } from '../../service/approvals/approval-store.ts';
import { makeApprovals } from '../../service/approvals/approvals.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { offerOf } from '../../service/workflows/compose/offer.ts';
import { proposeByRules } from '../../service/workflows/compose/rules.ts';
import { ran } from '../scripts/template-harness.ts';
import { startTestService, type TestService } from '../support/service.ts';

const bounds = {
  registry: makeRegistry(),
  defaultModel: 'scripted/test',
  allowedModels: null,
  maxProfile: 'ask',
} as const;
const offer = offerOf(bounds, undefined);

describe('a proposal by rules', () => {
  it.each([
    ['Add a greeting', ['generate_code', 'write_tests', 'review_code']],
    ['Add an endpoint for greetings', ['generate_api', 'write_tests', 'review_code']],
    ['A page and its API', ['generate_api', 'generate_ui', 'write_tests', 'review_code']],
    ['Please mend the failing tests', ['fix_tests', 'write_tests', 'review_code']],
  ])('of "%s" is %j', (goal, tasks) => {
    const { steps } = proposeByRules(goal, offer, { max_steps: 10 });

    expect(steps.map(({ task }) => task)).toEqual(tasks);
    expect(steps.map(({ depends_on }) => depends_on)).toEqual([[], ...tasks.slice(0, -1).map((task) => [task])]);
    for (const step of steps) expect(step.prompt).toContain(goal);
    expect(steps[1]?.prompt).toContain(`{{steps.${tasks[0]}.output}}`);
  });

  it('uses no output that the goal only names, and cuts a goal that is too long for a prompt', () => {
    const [step] = proposeByRules(`{{steps.x.output}} ${'é'.repeat(8_000)}`, offer, { max_steps: 1 }).steps;

    expect(step?.prompt).not.toContain('{{');
    expect(Buffer.byteLength(step?.prompt ?? '')).toBeLessThan(4_096);
    expect(step?.prompt).toMatch(/… \[cut\]/);
  });

  it('keeps to what is offered: what changes a cluster only where that is allowed', () => {
    const trusted = offerOf({ ...bounds, maxProfile: 'trusted' }, ['kubernetes']);

    expect(offer.map(({ agent }) => agent)).not.toContain('kubernetes');
    expect(trusted.map(({ task }) => task)).toContain('apply_manifest');
    expect(offerOf({ ...bounds, agentsOff: ['opencode', 'nix'], maxProfile: 'trusted' }, undefined)).toEqual(trusted);
    expect(() => offerOf(bounds, ['agentzero'])).toThrow(/None of agentzero has an action/);
  });
});

describe('composing without a model', () => {
  let outrigger: TestService;
  let folder: string;
  beforeAll(async () => {
    outrigger = await startTestService({ MODEL_UPSTREAM_URL: 'https://openrouter.ai/api/v1' });
    folder = mkdtempSync(join(tmpdir(), 'outrigger-compose-'));
  });
  afterAll(async () => {
    await outrigger.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const run = (goal: string, flags: Partial<ComposeFlags> = {}) =>
    ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, (around) =>
      composeWorkflow(goal, { output: 'text', service: outrigger.url, ...flags }, around),
    );

  it('goes by rules, says so, and asks nobody', async () => {
    const { code, stdout, stderr } = await run('Add an endpoint for greetings');

    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({ steps: [{ task: 'generate_api' }, { task: 'write_tests' }, {}] });
    expect(stderr).toContain('Note: The draft was made by rules: No model is configured.');
    expect(stderr).toContain('unknown: generate_api: No task of opencode/generate_api');
    const { rows } = await outrigger.database.pool.query('select 1 from model_call');
    expect(rows).toEqual([]);
  });

  it('writes the draft into a file, never over one that is there, and names the approval that starts it', async () => {
    const out = join(folder, 'greeting.yaml');
    const first = await run('Add a greeting', { out, execute: true, maxSteps: '1' });
    const text = readFileSync(out, 'utf8');
    const second = await run('Add another', { out });

    expect(first.code).toBe(0);
    expect(parse(text)).toMatchObject({ name: 'Add a greeting', steps: [{ task: 'generate_code' }] });
    expect(first.stderr).toMatch(/Workflow \S+ begins with: outrigger approval decide \S+ once/);
    expect([second.code, readFileSync(out, 'utf8')]).toEqual([2, text]);
    expect(second.stderr).toContain('is there already');
  });

  it('refuses what is no number, before anything is asked', async () => {
    const { code, stderr } = await run('x', { maxSteps: 'many', out: join(folder, 'none.yaml') });

    expect([code, existsSync(join(folder, 'none.yaml'))]).toEqual([2, false]);
    expect(stderr).toContain('--max-steps');
  });

  it('leaves no draft waiting for ever', async () => {
    const { database, clock } = outrigger;
    const settled: string[] = [];
    const approvals = makeApprovals({
      audit: makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger }),
      clock,
      lockTask: () => Promise.resolve(),
      onSettled: (_tx, { id }) => Promise.resolve(void settled.push(id)),
    });
    const ids = { workspaceId: randomUUID(), ownerId: randomUUID(), organizationId: randomUUID() };
    const ask = { ask_id: 'start', kind: 'workflow', title: 'x', detail: {} } as const;
    const { approval } = await database.transaction((tx) =>
      approvals.request(tx, { ...ids, task_id: randomUUID(), attempt: 1, ask, forMs: 60_000 }),
    );
    const look = async () => {
      await database.transaction((tx) => approvals.expireWithoutTask(tx));
      return (await readApproval(database, approval.id))?.state;
    };

    expect(await look()).toBe('pending');
    clock.advance(61_000);
    expect(await look()).toBe('expired');
    expect(settled).toEqual([]);
  });
});
