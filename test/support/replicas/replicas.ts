import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lease } from '../../../modules/contract.ts';
import { deriveProof } from '../../../service/secrets/registration-proof.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../coder/simulated-coder.ts';
import { makeApi, type Api } from '../stage/api.ts';
import { makeStage, type Stage } from '../stage/stage.ts';
import { startBalancer, type Balancer } from './balancer.ts';
import { startCountingForge, type CountingForge } from './counting-forge.ts';
import { startWorker, type Worker } from './worker.ts';

/** Several service processes on one database, behind one address, with workspaces that work for them. */
export interface Replicas {
  readonly stages: readonly Stage[];
  readonly balancer: Balancer;
  readonly coder: SimulatedCoder;
  readonly forge: CountingForge;
  readonly ada: { readonly id: string; readonly token: string };
  /** As Ada, through the balancer. */
  readonly api: Api;
  /** As Ada, at one process. */
  apiOf(stage: Stage): Api;
  /** A running workspace of hers; its bridge goes to `url`, else through the balancer. No work of it ends before `gate`. */
  addWorker(
    name: string,
    options?: { url?: string; slots?: number; workMs?: number; gate?: Promise<unknown> },
  ): Promise<Worker & { readonly workspaceId: string }>;
  readonly keys: { readonly auditSigningKey: string };
  end(): Promise<void>;
}

export interface ReplicasOptions {
  /** Left out, a single process keeps its own. */
  readonly databaseUrl?: string;
  readonly count?: number;
  /** Another checkout that the processes are started from. */
  readonly codeDir?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export async function startReplicas({
  databaseUrl,
  count = 3,
  codeDir,
  environment = {},
}: ReplicasOptions): Promise<Replicas> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-replicas-'));
  const coder = await startSimulatedCoder({ requestsPerMinute: 1_000_000 });
  const forge = await startCountingForge();
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const auditSigningKey = randomBytes(32).toString('base64');
  const keys = {
    CREDENTIAL_ENCRYPTION_KEYRING: JSON.stringify({ '1': randomBytes(32).toString('base64') }),
    CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
    AUDIT_SIGNING_KEY: auditSigningKey,
  };
  const shared = { ...(databaseUrl === undefined ? {} : keys), ...environment };
  const stages = Array.from({ length: count }, (_none, index) => {
    const folder = join(directory, `replica-${index + 1}`);
    mkdirSync(folder);
    return makeStage({
      directory: folder,
      ...(databaseUrl === undefined ? {} : { databaseUrl }),
      coder: { url: coder.url, serviceToken: admin.token, workspaceId: '', ownerId: ada.id, workspaceAgentId: '' },
      model: { url: 'http://127.0.0.1:9/v1', name: 'scripted/none' },
      slots: 4,
      environment: shared,
    });
  });
  for (const stage of stages) await stage.startService(codeDir);
  const balancer = await startBalancer(() => stages.map((stage) => stage.serviceUrl));
  const { secret } = await makeApi(() => balancer.url, admin.token).post<{ secret: string }>(
    '/api/v2/agents/templates/docker/secrets',
    {},
  );
  const workers: Worker[] = [];
  return {
    stages,
    balancer,
    coder,
    forge,
    ada,
    api: makeApi(() => balancer.url, ada.token),
    apiOf: (stage) => makeApi(() => stage.serviceUrl, ada.token),
    keys: { auditSigningKey },
    addWorker(name, { url = balancer.url, slots = 2, workMs = 200, gate = Promise.resolve() } = {}) {
      const workspace = coder.addWorkspace({ owner: 'ada', name, running: true });
      const worker = startWorker({
        url,
        proof: deriveProof(secret, workspace.id, ada.id, workspace.agentId),
        workspaceId: workspace.id,
        agentId: workspace.agentId,
        slots,
        work: (lease) => gate.then(() => push(forge, lease, workMs)),
      });
      workers.push(worker);
      return Promise.resolve(Object.assign(worker, { workspaceId: workspace.id }));
    },
    async end() {
      await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.all(stages.map((stage) => stage.end()));
      await balancer.close();
      await forge.close();
      await coder.close();
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** The effect of an attempt, under the key that the prompt names: `workflow/step`, and the attempt. */
async function push(forge: CountingForge, lease: Lease, workMs: number): Promise<void> {
  const key = /push as (\S+)/.exec(lease.prompt)?.[1] ?? lease.task_id;
  await new Promise((resolve) => setTimeout(resolve, workMs));
  await fetch(`${forge.url}/${encodeURIComponent(`${key}/${lease.attempt}`)}`, { method: 'POST' });
}

/** A workflow of `steps` in a row, whose steps push under `name/<step>`. */
export const pushingWorkflow = (name: string, workspaceId: string, steps = 3) => ({
  name,
  workspace_id: workspaceId,
  steps: Array.from({ length: steps }, (_none, index) => ({
    id: `step-${index + 1}`,
    agent: 'opencode',
    task: 'generate_code',
    ...(index === 0 ? {} : { depends_on: [`step-${index}`] }),
    params: { prompt: `Do it, and push as ${name}/step-${index + 1} once.` },
  })),
});
