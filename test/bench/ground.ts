import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../service/platform/embedded-postgres.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { clusterAt } from '../../service/platform/postgres-cluster.ts';
import { adoptPostmaster, stopPostmaster } from '../../service/platform/postgres-supervisor.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';
import { withDatabase } from '../support/database-server.ts';
import { startFakeBridge, type FakeBridge } from '../support/fake-bridge.ts';
import { makeApi, type Api } from '../support/stage/api.ts';
import { makeStage, type Stage } from '../support/stage/stage.ts';

/** What every measurement stands on; all of it is gone after `clear`. */
export interface Ground {
  /** An embedded Postgres with the settings of the product: it waits for the disk. */
  readonly postgres: { readonly pid: number; readonly version: string };
  readonly coder: SimulatedCoder;
  readonly ada: { readonly id: string; readonly token: string };
  /** A new, empty database on it. */
  newDatabase(name: string): Promise<string>;
  /** A service that is not started yet; without `databaseUrl` it keeps a Postgres of its own. */
  stage(databaseUrl?: string, more?: Readonly<Record<string, string>>): Stage;
  /** Starts the service of a stage; throws once the ground is being cleared, or it would outlive us. */
  start(stage: Stage): Promise<void>;
  addWorkspace(name: string): Workspace;
  /** What the bridge of a workspace shows to a started service. */
  proof(stage: Stage, workspace: Workspace): Promise<string>;
  /** A bridge of a workspace, registered with a started service. */
  bridge(stage: Stage, workspace: Workspace): Promise<FakeBridge>;
  /** The service as Ada. */
  api(stage: Stage): Api;
  /** Runs when the measurement is over, the newest first. */
  afterwards(undo: () => Promise<unknown>): void;
  /** Ends what the measurement started, so that the next one has the machine to itself. */
  clearMeasurement(): Promise<void>;
  clear(): Promise<void>;
}

export interface Workspace {
  readonly id: string;
  readonly agentId: string;
}

/** Nobody asks a model here. */
const noModel = { url: 'http://127.0.0.1:9/v1', name: 'bench/none' };

export async function makeGround(): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
  const undo: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, maxRetries: 5 })];
  let clearing: Promise<void> = Promise.resolve();
  const undoTo = async (depth: number): Promise<void> => {
    while (undo.length > depth)
      await undo
        .pop()?.()
        .catch((error: unknown) => console.error('cannot clear up:', error));
  };
  // One after the other: a signal may come while a measurement is being cleared.
  const clearTo = (depth: number): Promise<void> => (clearing = clearing.then(() => undoTo(depth)));
  // Coder's own limit would be met long before ours.
  const coder = await startSimulatedCoder({ requestsPerMinute: 1_000_000 });
  undo.push(() => coder.close());
  const server = await startEmbeddedPostgres({ dataDir: join(directory, 'postgres') });
  undo.push(() => server.stop());
  const { rows } = await execute(server.url, 'show server_version');
  const ownDepth = undo.length;
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const environment = {
    CREDENTIAL_ENCRYPTION_KEYRING: JSON.stringify({ '1': randomBytes(32).toString('base64') }),
    CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
    AUDIT_SIGNING_KEY: randomBytes(32).toString('base64'),
  };
  const secrets = new Map<Stage, Promise<string>>();
  let stages = 0;
  let isEnding = false;

  async function mintSecret(stage: Stage): Promise<string> {
    const path = '/api/v2/agents/templates/docker/secrets';
    return (await makeApi(() => stage.serviceUrl, admin.token).post<{ secret: string }>(path, {})).secret;
  }

  async function proof(stage: Stage, workspace: Workspace): Promise<string> {
    const secret = secrets.get(stage) ?? mintSecret(stage);
    secrets.set(stage, secret);
    return deriveProof(await secret, workspace.id, ada.id, workspace.agentId);
  }

  return {
    coder,
    ada,
    postgres: { pid: server.pid, version: String(rows[0]?.['server_version']) },
    async newDatabase(name) {
      await execute(server.url, `create database ${name}`);
      return withDatabase(server.url, name);
    },
    stage(databaseUrl, more = {}) {
      const folder = join(directory, `stage-${(stages += 1)}`);
      mkdirSync(folder);
      const stage = makeStage({
        directory: folder,
        coder: { url: coder.url, serviceToken: admin.token, workspaceId: '', ownerId: ada.id, workspaceAgentId: '' },
        model: noModel,
        ...(databaseUrl === undefined ? {} : { databaseUrl, environment: { ...environment, ...more } }),
      });
      if (databaseUrl === undefined) undo.push(() => stopPostgresIn(stage.dataDir));
      undo.push(() => stage.end());
      return stage;
    },
    async start(stage) {
      if (isEnding) throw new Error('The bench is ending.');
      await stage.startService();
    },
    addWorkspace: (name) => coder.addWorkspace({ owner: 'ada', name, running: true }),
    proof,
    async bridge(stage, workspace) {
      const bridge = await startFakeBridge({
        url: stage.serviceUrl,
        proof: await proof(stage, workspace),
        workspaceId: workspace.id,
        agentId: workspace.agentId,
      });
      undo.push(() => Promise.resolve(bridge.close()));
      return bridge;
    },
    api: (stage) => makeApi(() => stage.serviceUrl, ada.token),
    afterwards: (step) => void undo.push(step),
    clearMeasurement: () => clearTo(ownDepth),
    clear() {
      isEnding = true;
      return clearTo(0);
    },
  };
}

/** A service that is ended while it starts leaves its Postgres for the next start; here there is none. */
async function stopPostgresIn(dataDir: string): Promise<void> {
  const cluster = clusterAt(join(dataDir, 'postgres'));
  const postmaster = existsSync(cluster.folder) ? await adoptPostmaster(cluster) : undefined;
  if (postmaster !== undefined) await stopPostmaster(postmaster, silentLogger);
}

async function execute(url: string, statement: string): Promise<pg.QueryResult<Record<string, unknown>>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query<Record<string, unknown>>(statement);
  } finally {
    await client.end();
  }
}
