import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bridgeEnvironment } from '../../modules/contract.ts';
import {
  installTools,
  makeWorkspace,
  startBridgeProcess,
  type BridgeProcess,
  type TestWorkspace,
  type Tools,
} from '../support/bridge/bridge-process.ts';
import { eventually } from '../support/clock.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** The harness and its first tool, on a busy machine. */
const startMs = 150_000;

let outrigger: TestService;
let tools: Tools;
let workspace: TestWorkspace;
let bridge: BridgeProcess;

beforeAll(async () => {
  outrigger = await startTestService();
  tools = await installTools();
  workspace = makeWorkspace();
  const { id, agentId } = outrigger.workspace;
  bridge = startBridgeProcess({
    service: { url: outrigger.url, proof: await outrigger.proof() },
    tools,
    workspace,
    environment: {
      [bridgeEnvironment.workspaceId]: id,
      [bridgeEnvironment.ownerId]: outrigger.people.ada.id,
      [bridgeEnvironment.workspaceAgentId]: agentId,
      TASK_NAMESPACE: 'not-this',
    },
  });
});
afterAll(async () => {
  bridge.kill('SIGTERM');
  await bridge.exited;
  await outrigger.stop();
  workspace.remove();
  tools.remove();
});

/** What Coder itself calls the organization of a workspace. */
async function organizationOf(workspaceId: string): Promise<string> {
  const headers = { 'Coder-Session-Token': outrigger.people.ada.token };
  const response = await fetch(`${outrigger.coder.url}/api/v2/workspaces/${workspaceId}`, { headers });
  return ((await response.json()) as { organization_name: string }).organization_name;
}

describe('O-44 O-45 C-07 a task knows itself by TASK_ID, TASK_NAME and TASK_NAMESPACE', () => {
  it(
    'from the submission to the shell of OpenCode, with the name of the workspace’s Coder organization',
    async () => {
      const { ada } = outrigger.people;
      const answer = await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', {
        type: 'opencode',
        payload: {
          action: 'generate_code',
          prompt: 'SCENARIO:bash ARG:printf "%s\\n" "$TASK_ID" "$TASK_NAME" "$TASK_NAMESPACE" > made.txt',
          context: { workspace_id: outrigger.workspace.id },
        },
      });
      const { id } = answer.body as { id: string };
      const approval = await eventually(
        'the command to be asked for',
        async () => {
          const { body } = await outrigger.call(ada, 'GET', `/api/v2/agents/approvals?state=pending&task_id=${id}`);
          return (body as { items: { id: string }[] }).items[0];
        },
        startMs,
      );
      await outrigger.call(ada, 'POST', `/api/v2/agents/approvals/${approval.id}/decision`, { decision: 'once' });
      const task = await eventually(
        'the task to end',
        async () => {
          const { body } = await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${id}`);
          return (body as { state: string }).state === 'finished' ? body : undefined;
        },
        startMs,
      );

      const organization = await organizationOf(outrigger.workspace.id);
      expect(task).toMatchObject({ outcome: 'succeeded' });
      expect(task.title).toBe(`${organization}/generate_code/${id.slice(-8)}`);
      expect(workspace.git('show', `${task.branch}:made.txt`).split('\n')).toEqual([id, task.title, organization]);
    },
    3 * startMs,
  );
});
