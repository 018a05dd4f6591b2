import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { eventually } from '../support/clock.ts';
import { script } from '../support/model/scripted-model.ts';
import { makeApi } from '../support/stage/api.ts';
import { openScene, type Scene } from './scene.ts';

/** The documented workflow, as it stands in the fixture. */
export const fullStackFixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/agentzero/workflow.request.json'), 'utf8'),
) as { readonly name: string; readonly steps: readonly { readonly id: string }[] };

const manifest = stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'users' }, data: { pages: '1' } });

/** What the model does where the fixture's steps say nothing: the first writes the manifest that the third applies. */
const plays = script([
  {
    match: /API endpoint/,
    steps: [
      { tool: 'write', arguments: { filePath: 'deploy/users.yaml', content: manifest } },
      { text: 'The endpoint is there, with its manifest.' },
    ],
  },
  {
    match: /user interface/,
    steps: [
      { tool: 'write', arguments: { filePath: 'public/index.html', content: '<!doctype html>\n' } },
      { text: 'The page is there.' },
    ],
  },
]);

export interface EndedStep {
  readonly id: string;
  readonly agent: string;
  readonly outcome: string;
  readonly message: string | null;
  readonly task_id: string;
}

export interface EndedWorkflow {
  readonly outcome: string;
  readonly steps: readonly EndedStep[];
}

/** A workspace that may do everything, and an organization that gave agent `kubernetes` this cluster. */
export async function openFullStack(cluster: {
  readonly kubeconfig: string;
  readonly namespace: string;
}): Promise<Scene> {
  const scene = await openScene({
    plays,
    parameters: { permission_profile: 'trusted' },
    variables: { max_profile: 'trusted' },
    environment: { OUTRIGGER_KUBERNETES_NAMESPACES: cluster.namespace, OUTRIGGER_MAX_PROFILE: 'trusted' },
  });
  const admin = (path: string, body: object): Promise<Response> =>
    fetch(scene.stage.serviceUrl + path, {
      method: 'PUT',
      headers: { 'Coder-Session-Token': scene.adminToken, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  await admin('/api/v2/agents/secrets/lab', { config: cluster.kubeconfig });
  const entry = await admin('/api/v2/agents/registry/kubernetes', {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'Agent',
    metadata: { name: 'kubernetes' },
    spec: { credentials: [{ name: 'lab', secretRef: { name: 'lab', key: 'config' }, env: 'KUBECONFIG' }] },
  });
  if (entry.status !== 200) throw new Error(`the entry of kubernetes: ${entry.status} ${await entry.text()}`);
  return scene;
}

/** Submits the fixture unchanged, and answers it at its end. */
export async function runFixture(scene: Scene): Promise<EndedWorkflow> {
  const api = makeApi(() => scene.stage.serviceUrl, scene.ownerToken);
  const { id } = await api.post<{ id: string }>('/api/v2/agents/agentzero/workflows', fullStackFixture);
  return eventually(
    'the workflow to end',
    async () => {
      const workflow = await api.get<EndedWorkflow & { state: string }>(`/api/v2/agents/agentzero/workflows/${id}`);
      return workflow.state === 'finished' ? workflow : undefined;
    },
    150_000,
  );
}
