import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readWorkflowFile } from '../../scripts/workflow-run.ts';
import type { Lease } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import { goodEvidence, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { stepOf, workflowsOf } from '../support/workflows-room.ts';

const folder = join(import.meta.dirname, '..', '..', 'docs', 'workflows');
const approvals = '/api/v2/agents/approvals';

/** What each example asks for, and the order its steps end in where they run one after the other. */
const examples: Readonly<Record<string, { readonly parameters: Record<string, string>; readonly steps: string[] }>> = {
  'api-with-tests-and-review': { parameters: { endpoint: 'GET /health' }, steps: ['api', 'tests', 'review', 'mend'] },
  'fan-out-merge': { parameters: { feature: 'a list' }, steps: ['backend', 'frontend', 'manual', 'merge'] },
  'deploy-with-approval': { parameters: { environment: 'staging' }, steps: ['prepare', 'deploy'] },
  'nightly-dependency-update': { parameters: {}, steps: ['update', 'report'] },
};

let outrigger: TestService;
let bridge: FakeBridge;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_PROFILE: 'trusted', OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4' });
  const versionId = outrigger.coder.addVersion('docker', { max_profile: 'trusted' });
  const { agentId } = outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', { versionId, timing: finished });
  const { body } = await outrigger.call(outrigger.people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const { workspace, people, url } = outrigger;
  const proof = deriveProof((body as { secret: string }).secret, workspace.id, people.ada.id, agentId);
  bridge = await startFakeBridge({ url, proof, workspaceId: workspace.id, agentId });
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const ada = (method: string, path: string, body?: unknown) => outrigger.call(outrigger.people.ada, method, path, body);

/** Stores an example, runs it as somebody would, and answers its id. */
async function start(name: string): Promise<string> {
  const manifest = readWorkflowFile(join(folder, `${name}.yaml`));
  const stored = await ada('PUT', `/api/v2/agents/definitions/${name}`, manifest);
  expect([stored.status, stored.body.detail]).toEqual([201, undefined]);
  const { parameters = {} } = examples[name] ?? {};
  const { status, body } = await ada('POST', `/api/v2/agents/definitions/${name}/run`, { parameters });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body.id as string;
}

const end = (lease: Lease, text = `${stepOf(lease)} is done.`) =>
  bridge.request('result', {
    ...lease,
    evidence: goodEvidence({ last_message: { finish: 'stop', error: null, text } }),
  });

/** Takes leases of these steps, one after the other, and ends each well. */
async function work(steps: readonly string[]): Promise<Lease[]> {
  const leases: Lease[] = [];
  for (const expected of steps) {
    const lease = await takeLease(bridge);
    expect(stepOf(lease)).toBe(expected);
    expect(lease.prompt).not.toMatch(/\{\{/);
    await end(lease);
    leases.push(lease);
  }
  return leases;
}

const outcomesOf = ({ steps }: { steps: { id: string; outcome: string }[] }): string[] =>
  steps.map(({ outcome }) => outcome);

describe('S-82 the workflows of docs/workflows', () => {
  it('are these, at least three', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
    expect(files.sort()).toEqual(
      Object.keys(examples)
        .sort()
        .map((name) => `${name}.yaml`),
    );
    expect(files.length).toBeGreaterThanOrEqual(3);
  });

  it('S-82 api-with-tests-and-review hands what was found to the step that mends it', async () => {
    const id = await start('api-with-tests-and-review');
    const leases = await work(examples['api-with-tests-and-review']?.steps ?? []);
    expect(leases[0]?.prompt).toContain('Add the endpoint GET /health');
    expect(leases[2]?.profile).toBe('read-only');
    expect(leases[3]?.prompt).toContain('review is done.');
    expect((await workflowsOf(outrigger, bridge).finished(id)).outcome).toBe('succeeded');
  });

  it('S-82 fan-out-merge has its three parts under way at once, and merges after the last of them', async () => {
    const id = await start('fan-out-merge');
    const held: Lease[] = [];
    while (held.length < 3) held.push(await takeLease(bridge, held));
    expect(held.map(stepOf).sort()).toEqual(['backend', 'frontend', 'manual']);
    for (const lease of held) await end(lease);
    const [merge] = await work(['merge']);
    for (const part of ['backend', 'frontend', 'manual']) expect(merge?.prompt).toContain(`${part} is done.`);
    expect((await workflowsOf(outrigger, bridge).finished(id)).outcome).toBe('succeeded');
  });

  it('S-82 deploy-with-approval waits for a person, and takes nothing back when it went well', async () => {
    const id = await start('deploy-with-approval');
    await work(['prepare']);
    const lease = await takeLease(bridge);
    expect([stepOf(lease), lease.profile]).toEqual(['deploy', 'ask']);
    expect(lease.prompt).toContain('sh scripts/deploy.sh staging\n');
    const detail = { command: 'sh scripts/deploy.sh staging' };
    await bridge.request('ask', { ...lease, ask_id: 'q', kind: 'permission', title: 'bash', detail });
    const read = async () => (await ada('GET', `/api/v2/agents/agentzero/workflows/${id}`)).body;
    await eventually('the workflow to wait', async () => ((await read()).state === 'waiting' ? true : undefined));
    const [asked] = (await ada('GET', `${approvals}?state=pending`)).body.items;
    expect((await ada('POST', `${approvals}/${asked.id}/decision`, { decision: 'once' })).status).toBe(200);
    await end(lease);
    const workflow = await workflowsOf(outrigger, bridge).finished(id);
    expect([workflow.outcome, outcomesOf(workflow)]).toEqual(['succeeded', ['succeeded', 'succeeded', 'skipped']]);
  });

  it('S-82 nightly-dependency-update updates unasked, and says what it did', async () => {
    const id = await start('nightly-dependency-update');
    const [update, report] = await work(examples['nightly-dependency-update']?.steps ?? []);
    expect([update?.profile, report?.profile]).toEqual(['trusted', 'read-only']);
    expect(update?.prompt).toContain('`npm test`');
    expect(report?.prompt).toContain('update is done.');
    expect((await workflowsOf(outrigger, bridge).finished(id)).outcome).toBe('succeeded');
  });
});
