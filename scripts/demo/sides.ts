import { createClient } from 'coder-sdk-ts';
import { startSimulatedCoder } from '../../test/support/coder/simulated-coder.ts';
import { startScriptedModel } from '../../test/support/model/scripted-model.ts';
import { fullStackPlays } from '../../test/support/stage/plays.ts';
import type { CoderSide } from '../../test/support/stage/stage.ts';

/** Coder as the demo meets it, with the tokens of the person and of a template admin. */
export interface DemoCoder {
  readonly isReal: boolean;
  readonly side: CoderSide;
  readonly personToken: string;
  readonly adminToken: string;
  close(): Promise<void>;
}

/** What is missing before a demo can run; shown without a stack. */
export class DemoPrerequisite extends Error {}

export async function openCoder(environment: NodeJS.ProcessEnv): Promise<DemoCoder> {
  const { CODER_URL: url, CODER_SESSION_TOKEN: token } = environment;
  if (url !== undefined && token !== undefined)
    return realCoder(url, token, environment['OUTRIGGER_CODER_TOKEN'] ?? token);
  const coder = await startSimulatedCoder();
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const person = coder.addUser({ username: 'ada' });
  const workspace = coder.addWorkspace({ owner: 'ada', name: 'canoe', running: true });
  return {
    isReal: false,
    personToken: person.token,
    adminToken: admin.token,
    side: {
      url: coder.url,
      serviceToken: admin.token,
      workspaceId: workspace.id,
      ownerId: person.id,
      workspaceAgentId: workspace.agentId,
    },
    close: () => coder.close(),
  };
}

async function realCoder(url: string, token: string, serviceToken: string): Promise<DemoCoder> {
  const client = createClient({ url, token, timeoutMs: 30_000 });
  const [workspace] = await client.listWorkspaces('owner:me status:running');
  if (!workspace)
    throw new DemoPrerequisite(`No workspace of yours is running at ${url}. Start one in Coder and try again.`);
  const resources = workspace.latest_build.resources ?? [];
  const agent = resources.flatMap((resource) => resource.agents ?? []).find((one) => one.name === 'main');
  if (!agent)
    throw new DemoPrerequisite(
      `Workspace ${workspace.name} has no workspace agent called 'main'. Start one made from a template of Outrigger.`,
    );
  return {
    isReal: true,
    personToken: token,
    adminToken: token,
    side: { url, serviceToken, workspaceId: workspace.id, ownerId: workspace.owner_id, workspaceAgentId: agent.id },
    close: () => Promise.resolve(),
  };
}

export interface DemoModel {
  readonly isReal: boolean;
  readonly url: string;
  readonly name: string;
  readonly apiKey?: string;
  close(): Promise<void>;
}

export async function openModel(environment: NodeJS.ProcessEnv): Promise<DemoModel> {
  const apiKey = environment['OPENROUTER_API_KEY'];
  if (apiKey !== undefined && apiKey !== '')
    return {
      isReal: true,
      url: environment['MODEL_UPSTREAM_URL'] ?? 'https://openrouter.ai/api/v1',
      name: environment['OUTRIGGER_MODEL'] ?? 'anthropic/claude-sonnet-4.5',
      apiKey,
      close: () => Promise.resolve(),
    };
  const model = await startScriptedModel({ plays: fullStackPlays, usage: { cost: 0.0021 } });
  return { isReal: false, url: model.url, name: 'scripted/canoe', close: () => model.close() };
}
