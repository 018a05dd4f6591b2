import { startScriptedModel, type Play, type ScriptedModel } from '../model/scripted-model.ts';
import {
  makeWorkspace,
  processesOf,
  startBridgeProcess,
  type BridgeProcess,
  type TestWorkspace,
  type Tools,
} from './bridge-process.ts';
import { startFakeService, type FakeService, type FakeServiceOptions } from './fake-service.ts';

/** A model, a service, a workspace and a bridge that knows them. */
export interface World {
  readonly model: ScriptedModel;
  readonly service: FakeService;
  readonly workspace: TestWorkspace;
  readonly bridge: BridgeProcess;
  /** Starts another bridge in the same workspace, as a restarted container would. */
  restart(): BridgeProcess;
  /** Ends all of it and answers the processes that the bridge left behind: none. */
  end(): Promise<readonly unknown[]>;
}

export interface WorldOptions {
  readonly tools: Tools;
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: (workspace: TestWorkspace) => Readonly<Record<string, string>>;
  readonly service?: Partial<FakeServiceOptions>;
  readonly plays?: readonly Play[];
  /** Runs before the bridge starts. */
  readonly prepare?: (world: Pick<World, 'service' | 'workspace'>) => void;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const { tools } = options;
  const model = await startScriptedModel({ plays: options.plays ?? [] });
  const service = await startFakeService({ modelUrl: model.url, ...options.service });
  const workspace = makeWorkspace(options.files);
  options.prepare?.({ service, workspace });
  const start = (): BridgeProcess =>
    startBridgeProcess({ service, tools, workspace, environment: options.environment?.(workspace) ?? {} });
  let bridge = start();
  return {
    model,
    service,
    workspace,
    get bridge() {
      return bridge;
    },
    restart: () => (bridge = start()),
    async end() {
      bridge.kill('SIGTERM');
      await bridge.exited;
      const left = processesOf(tools.directory, workspace.directory);
      await service.close();
      await model.close();
      workspace.remove();
      return left;
    },
  };
}
