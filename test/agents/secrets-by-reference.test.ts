import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import type { Lease } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts';
import { startGitForge, type GitForge } from '../support/git-forge.ts';
import { script, startScriptedModel, type ScriptedModel } from '../support/model/scripted-model.ts';
import { everyRow } from '../support/every-row.ts';
import type { Person } from '../support/service.ts';
import { startTrustedService, type TrustedService } from './trusted-service.ts';

/** One given to opencode, one to agentzero; the third, of kubernetes, is the cluster's own. */
const canary = {
  git: `canary-git-${randomBytes(12).toString('hex')}`,
  key: `canary-key-${randomBytes(12).toString('hex')}`,
};
const repository = 'acme/app';
const proposal = {
  name: 'Build, then deploy',
  explanation: 'What is built is deployed.',
  steps: [
    { id: 'build', agent: 'opencode', task: 'generate_code', depends_on: [], prompt: 'Build it' },
    { id: 'deploy', agent: 'kubernetes', task: 'apply_manifest', depends_on: ['build'], prompt: 'Apply it' },
  ],
};
const plays = script([{ match: /a page for visitors/, steps: [{ text: JSON.stringify(proposal) }] }]);

let forge: GitForge;
let cluster: FakeCluster;
let model: ScriptedModel;
let trusted: TrustedService;
let bridge: FakeBridge;
beforeAll(async () => {
  forge = await startGitForge({ username: 'x-access-token', password: canary.git });
  forge.addRepository(repository);
  cluster = await startFakeCluster('team');
  model = await startScriptedModel({ plays });
  trusted = await startTrustedService(
    {
      ALLOW_INSECURE_HTTP: 'true',
      MODEL_UPSTREAM_URL: model.url,
      OUTRIGGER_KUBERNETES_NAMESPACES: 'team',
    },
    { permission_profile: 'trusted', git_repository: `http://${forge.host}/${repository}` },
  );
  bridge = await trusted.bridge();
});
afterAll(async () => {
  bridge?.close();
  await trusted?.outrigger.stop();
  await model.close();
  await cluster.close();
  await forge.close();
});

/** Everything that was answered to a person. */
const answered: string[] = [];
async function ask(who: Person, method: string, path: string, body?: unknown) {
  const answer = await trusted.outrigger.call(who, method, path, body);
  answer.headers.forEach((value) => answered.push(value));
  answered.push(JSON.stringify([path, answer.status, answer.body]));
  return answer;
}

async function give(agent: string, env: string, value: string, more: object = {}): Promise<void> {
  const { admin } = trusted.outrigger.people;
  await ask(admin, 'PUT', `/api/v2/agents/secrets/of-${agent}`, { value });
  const { status } = await ask(admin, 'PUT', `/api/v2/agents/registry/${agent}`, {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'Agent',
    metadata: { name: agent },
    spec: { credentials: [{ name: 'mine', secretRef: { name: `of-${agent}`, key: 'value' }, env, ...more }] },
  });
  expect(status).toBe(200);
}

/** What the workspace does with the token of its attempt: asks the model, reads the repository. */
async function work({ task_token: token }: Lease): Promise<void> {
  const { url } = trusted.outrigger;
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Build it' }] });
  const model = await fetch(`${url}/llm/v1/chat/completions`, { method: 'POST', headers, body });
  const refs = await fetch(`${url}/git/${forge.host}/${repository}/info/refs?service=git-upload-pack`, { headers });
  answered.push(await model.text(), await refs.text());
  expect([model.status, refs.status]).toEqual([200, 200]);
}

/** Reads whatever a person can read, of these things. */
async function readEverything(ids: Readonly<Record<string, string>>): Promise<void> {
  const { service, people } = trusted.outrigger;
  for (const { method, path, guard } of service.routes) {
    if (method !== 'get' || guard !== 'user') continue;
    const filled = path.replace(/:(\w+)/g, (_all, name: string) => encodeURIComponent(ids[name] ?? 'opencode'));
    for (const who of [people.ada, people.admin]) await ask(who, 'GET', filled);
  }
}

/** The ways in which a value could stand in a row, an answer or a line. */
const formsOf = (value: string): string[] => [
  value,
  Buffer.from(value).toString('hex'),
  Buffer.from(value).toString('base64').replace(/.?=*$/, ''),
];

it('S-10 both agents get their secrets by reference: they are used at broker and gateway, and stand in no input, output, row, answer or log', async () => {
  const { outrigger } = trusted;
  const { people, log } = outrigger;
  await give('opencode', 'GITHUB_TOKEN', canary.git, { host: forge.host });
  await give('agentzero', 'OPENROUTER_API_KEY', canary.key);
  await give('kubernetes', 'KUBECONFIG', cluster.kubeconfig);
  const manifest = stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } });
  bridge.answers.set('listCommitted', () => ({ files: [{ path: 'deploy/page.yaml', bytes: manifest.length }] }));
  bridge.answers.set('readCommitted', () => ({ text: manifest }));

  const goal = { goal: 'Build a page for visitors and deploy it.', execute: true };
  const { body: draft } = await ask(people.ada, 'POST', '/api/v2/agents/agentzero/compose', goal);
  await ask(people.ada, 'POST', `/api/v2/agents/approvals/${draft.approval_id}/decision`, { decision: 'once' });
  const lease = await takeLease(bridge);
  await work(lease);
  await bridge.request('result', { ...lease, evidence: goodEvidence() });
  const workflow = await eventually(
    'the workflow to end',
    async () => {
      const path = `/api/v2/agents/agentzero/workflows/${draft.workflow_id}`;
      const { body } = await outrigger.call(people.ada, 'GET', path);
      return body.state === 'finished' ? body : undefined;
    },
    30_000,
  );
  await readEverything({
    taskId: lease.task_id,
    workflowId: workflow.id,
    approvalId: draft.approval_id,
    workspaceId: outrigger.workspace.id,
  });
  const rows = await everyRow(outrigger.database);

  // They were really used, each by the one it was given to.
  expect(workflow.outcome).toBe('succeeded');
  expect(cluster.objects.has('ConfigMap/page')).toBe(true);
  const basic = Buffer.from(`x-access-token:${canary.git}`).toString('base64');
  expect(forge.requests.map(({ authorization }) => authorization)).toContain(`Basic ${basic}`);
  expect(model.requests).toHaveLength(2);
  expect(new Set(model.requests.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${canary.key}`]));
  // What is searched is there: inputs and outputs of the steps, the approval, audit, events, the references.
  const tables = [
    'task',
    'task_event',
    'attempt',
    'workflow',
    'workflow_step',
    'workflow_event',
    'approval',
    'audit_event',
  ];
  expect(tables.filter((name) => !rows.includes(`outrigger.${name} `))).toEqual([]);
  expect(rows.includes('of-agentzero')).toBe(true);
  expect(answered.join('\n').includes('ConfigMap team/page: created')).toBe(true);
  const inputs = JSON.stringify([lease, bridge.commands, workflow]);
  const secrets = [...Object.values(canary), cluster.token, cluster.kubeconfig, basic].flatMap(formsOf);
  for (const [place, text] of Object.entries({ inputs, rows, answers: answered.join('\n'), log: log() }))
    expect([place, secrets.filter((form) => text.includes(form))]).toEqual([place, []]);
});
