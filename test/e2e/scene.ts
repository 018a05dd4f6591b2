import { runAuditVerify } from '../../scripts/audit.ts';
import { buildBridge } from '../../scripts/build-bridge.ts';
import { join } from 'node:path';
import { finished, startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';
import { startScriptedModel, type Play, type ScriptedModel } from '../support/model/scripted-model.ts';
import { makeApi, type Api } from '../support/stage/api.ts';
import { inLog } from '../support/stage/processes.ts';
import { makeRepository } from '../support/stage/repository.ts';
import { makeStage, type Stage } from '../support/stage/stage.ts';

/** A whole Outrigger with one workspace: service, bridge and OpenCode are processes that a test may kill. */
export interface Scene {
  readonly stage: Stage;
  readonly coder: SimulatedCoder;
  readonly model: ScriptedModel;
  readonly api: Api;
  readonly workspaceId: string;
  /** The template secret of the workspace. */
  readonly secret: string;
  readonly ownerToken: string;
  readonly adminToken: string;
  /** Starts the bridge of a later build, with that build's workspace agent. */
  startBridgeOf(workspaceAgentId: string): void;
  verifyAudit(): Promise<{ ok: boolean; events: number; faults: readonly unknown[] }>;
  end(): Promise<void>;
}

export async function openScene(options: {
  plays: readonly Play[];
  slots?: number;
  chunkDelayMs?: number;
  databaseUrl?: string;
  /** What bridge and worker share. */
  runDir?: string;
  /** What the owner chose in the form. */
  parameters?: Readonly<Record<string, string>>;
  /** What the template's admin chose; the workspace is built with it. */
  variables?: Readonly<Record<string, string>>;
  /** Further settings of the service. */
  environment?: Readonly<Record<string, string>>;
}): Promise<Scene> {
  const root = join(import.meta.dirname, '..', '..');
  const { databaseUrl, runDir, parameters = {}, variables, environment = {} } = options;
  await buildBridge(join(root, 'dist', 'bridge.js'));
  const coder = await startSimulatedCoder();
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const workspace = coder.addWorkspace({ owner: 'ada', name: 'canoe', running: true, parameters });
  const build =
    variables === undefined
      ? workspace
      : coder.buildWorkspace(workspace.id, 'start', {
          versionId: coder.addVersion('docker', variables),
          timing: finished,
          parameters,
        });
  const model = await startScriptedModel({
    plays: options.plays,
    ...(options.chunkDelayMs === undefined ? {} : { chunkDelayMs: options.chunkDelayMs }),
  });
  const side = {
    url: coder.url,
    serviceToken: admin.token,
    workspaceId: workspace.id,
    ownerId: ada.id,
    workspaceAgentId: build.agentId,
  };
  const stage = makeStage({
    coder: side,
    model: { url: model.url, name: 'scripted/test' },
    slots: options.slots ?? 2,
    environment,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(runDir === undefined ? {} : { runDir }),
  });
  makeRepository(stage.repositoryDir);
  await stage.startService();
  const { secret } = await makeApi(() => stage.serviceUrl, admin.token).post<{ secret: string }>(
    '/api/v2/agents/templates/docker/secrets',
    {},
  );
  stage.startBridge(secret);
  await stage.bridge()?.line(inLog('registered', 'protocol_version'));
  return {
    stage,
    coder,
    model,
    secret,
    ownerToken: ada.token,
    adminToken: admin.token,
    workspaceId: workspace.id,
    startBridgeOf(workspaceAgentId) {
      side.workspaceAgentId = workspaceAgentId;
      stage.startBridge(secret);
    },
    api: makeApi(() => stage.serviceUrl, ada.token),
    verifyAudit: () => runAuditVerify({ dataDir: stage.dataDir }),
    async end() {
      await stage.end();
      await model.close();
      await coder.close();
    },
  };
}
