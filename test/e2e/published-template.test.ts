import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createClient } from 'coder-sdk-ts';
import { buildBridge } from '../../scripts/build-bridge.ts';
import { runPush } from '../../scripts/template-push.ts';
import { imageFlags, ran, renderedTemplates } from '../scripts/template-harness.ts';
import { startBuildingCoder } from '../scripts/up-harness.ts';
import { eventually } from '../support/clock.ts';
import { startSimulatedCoder } from '../support/coder/simulated-coder.ts';
import { script, startScriptedModel } from '../support/model/scripted-model.ts';
import { makeApi } from '../support/stage/api.ts';
import { inLog } from '../support/stage/processes.ts';
import { makeRepository } from '../support/stage/repository.ts';
import { makeStage } from '../support/stage/stage.ts';

const root = join(import.meta.dirname, '..', '..');
const { CODER_URL, CODER_SESSION_TOKEN, OUTRIGGER_URL } = process.env;
const withCoder = CODER_URL && CODER_SESSION_TOKEN && OUTRIGGER_URL ? it : it.skip;

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const plays = script([
  {
    match: /write a note/i,
    steps: [
      { tool: 'write', arguments: { filePath: 'note.txt', content: 'noted\n' } },
      { text: 'The note is written.' },
    ],
  },
]);

interface Task {
  readonly state: string;
  readonly outcome: string | null;
  readonly evidence: { readonly commit: string | null } | null;
}

describe('from a template to a finished task', () => {
  it('publishes a template, makes a workspace from it whose agent connects, and finishes a task there, on the simulated Coder (part of K-01)', async () => {
    await buildBridge(join(root, 'dist', 'bridge.js'));
    const coder = await startSimulatedCoder();
    endings.push(() => coder.close());
    const building = await startBuildingCoder(coder, () => Promise.resolve());
    endings.push(() => building.close());
    const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
    const ada = coder.addUser({ username: 'ada' });
    const model = await startScriptedModel({ plays });
    endings.push(() => model.close());
    const side = { url: coder.url, serviceToken: admin.token, workspaceId: '', ownerId: ada.id, workspaceAgentId: '' };
    const stage = makeStage({ coder: side, model: { url: model.url, name: 'scripted/test' } });
    endings.push(() => stage.end());
    makeRepository(stage.repositoryDir);
    await stage.startService();

    const push = await ran({ coderUrl: coder.url, token: admin.token, home: stage.directory }, (around) =>
      runPush(
        renderedTemplates(stage.directory),
        ['docker'],
        { service: stage.serviceUrl, output: 'json', var: imageFlags, timeout: '60' },
        around,
      ),
    );
    expect([push.code, push.stderr]).toEqual([0, expect.any(String)]);
    const version = JSON.parse(push.stdout) as { version_id: string; template_id: string };

    const made = await fetch(`${building.url}/api/v2/users/me/workspaces`, {
      method: 'POST',
      headers: { 'Coder-Session-Token': ada.token, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'first', template_id: version.template_id, rich_parameter_values: [] }),
    });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    const client = createClient({ url: coder.url, token: ada.token });
    const workspace = await eventually('the agent to connect', async () => {
      const seen = await client.getWorkspace(id);
      const agents = (seen.latest_build.resources ?? []).flatMap((resource) => resource.agents ?? []);
      return agents.some(({ status }) => status === 'connected') ? seen : undefined;
    });
    expect(workspace.latest_build).toMatchObject({ status: 'running', template_version_id: version.version_id });

    const [start] = building.starts;
    if (start === undefined) throw new Error('nothing was started');
    Object.assign(side, { workspaceId: id, workspaceAgentId: start.agentId });
    stage.startBridge(start.variables['outrigger_secret'] ?? '');
    await stage.bridge()?.line(inLog('registered', 'protocol_version'));
    const api = makeApi(() => stage.serviceUrl, ada.token);
    const task = await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Write a note.', context: { workspace_id: id } },
    });
    const finished = await eventually(
      'the task to finish',
      async () => {
        const seen = await api.get<Task>(`/api/v2/agents/tasks/${task.id}`);
        return seen.state === 'finished' ? seen : undefined;
      },
      150_000,
    );
    expect(finished).toMatchObject({
      outcome: 'succeeded',
      evidence: { commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
    });
  }, 300_000);

  withCoder(
    'K-01 does the same on a real Coder: publishes, makes a workspace whose agent connects, and finishes a task',
    () => {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [join(root, 'scripts', 'outrigger.mjs'), 'up', '--workspace', `contract-${process.pid}`],
        { encoding: 'utf8', timeout: 1_200_000, env: process.env },
      );

      expect([status, stderr]).toEqual([0, expect.any(String)]);
      expect(stdout + stderr).toMatch(/task [0-9a-f-]+: finished/);
    },
    1_260_000,
  );
});
