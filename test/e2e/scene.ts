import { runAuditVerify } from '../../scripts/audit.ts';
import { buildBridge } from '../../scripts/build-bridge.ts';
import { join } from 'node:path';
import { startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';
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
  verifyAudit(): Promise<{ ok: boolean; events: number; faults: readonly unknown[] }>;
  end(): Promise<void>;
}

export async function openScene(options: {
  plays: readonly Play[];
  slots?: number;
  chunkDelayMs?: number;
}): Promise<Scene> {
  const root = join(import.meta.dirname, '..', '..');
  await buildBridge(join(root, 'dist', 'bridge.js'));
  const coder = await startSimulatedCoder();
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const workspace = coder.addWorkspace({ owner: 'ada', name: 'canoe', running: true });
  const model = await startScriptedModel({
    plays: options.plays,
    ...(options.chunkDelayMs === undefined ? {} : { chunkDelayMs: options.chunkDelayMs }),
  });
  const stage = makeStage({
    coder: {
      url: coder.url,
      serviceToken: admin.token,
      workspaceId: workspace.id,
      ownerId: ada.id,
      workspaceAgentId: workspace.agentId,
    },
    model: { url: model.url, name: 'scripted/test' },
    slots: options.slots ?? 2,
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
    workspaceId: workspace.id,
    api: makeApi(() => stage.serviceUrl, ada.token),
    verifyAudit: () => runAuditVerify({ dataDir: stage.dataDir }),
    async end() {
      await stage.end();
      await model.close();
      await coder.close();
    },
  };
}
