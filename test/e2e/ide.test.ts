import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { helperEnvironment } from '../../modules/contract.ts';
import {
  installHelper,
  makeWorker,
  type HelperProcess,
  type Tools,
  type Worker,
} from '../modules/workspace/helper/world.ts';
import { eventually } from '../support/clock.ts';
import { script } from '../support/model/scripted-model.ts';
import { git } from '../support/stage/repository.ts';
import { openScene, type Scene } from './scene.ts';

/**
 * The IDE of a workspace through every part that it passes: service, Coder, bridge and helper are the real programs as
 * processes of their own, the IDE itself is a stub, and what Terraform does at a build is done by hand.
 */
const minuteMs = 60_000;
const work = 'Begin a long note.';
const plays = script([
  {
    match: /long note/,
    steps: [{ tool: 'write', arguments: { filePath: 'note.txt', content: 'half a note\n' } }, { fault: 'hang' }],
  },
]);

let tools: Tools;
const workers: Worker[] = [];
let scene: Scene;
beforeAll(async () => {
  tools = await installHelper();
});
afterAll(() => tools.remove());
afterEach(async () => {
  await scene?.end();
  for (const one of workers.splice(0)) await one.end();
});

/** A worker of the template with what its build gives the helper. */
async function newWorker(environment: Readonly<Record<string, string>> = {}): Promise<Worker> {
  const worker = await makeWorker(tools, environment);
  workers.push(worker);
  return worker;
}

const path = (): string => `/api/v2/agents/workspaces/${scene.workspaceId}/ide`;
interface Status {
  readonly idePhase: string;
  readonly ideMessage: string;
}
const status = (): Promise<Status> => scene.api.get<Status>(path());
const becomes = (phase: string): Promise<unknown> =>
  eventually(`the IDE to be ${phase}`, async () => (await status()).idePhase === phase, minuteMs);
const enable = async (body: object = {}): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(scene.stage.serviceUrl + path(), {
    method: 'POST',
    headers: { 'Coder-Session-Token': scene.ownerToken, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
const audited = async (action: string): Promise<readonly { actor: string; outcome: string }[]> => {
  const query = `workspace=${scene.workspaceId}&action=${action}`;
  return (await scene.api.get<{ items: { actor: string; outcome: string }[] }>(`/api/v2/agents/audit?${query}`)).items;
};

describe('the IDE of a workspace', () => {
  it('I-06 comes back without anybody’s doing where the workspace strays from the wish, also while no service ran', async () => {
    const worker = await newWorker();
    scene = await openScene({ plays, runDir: worker.runDir });
    worker.start('serve');
    const asked = await enable();
    await becomes('Ready');

    const service = scene.stage.service();
    service?.kill('SIGKILL');
    await service?.exited;
    worker.wish(false, 99);
    await eventually('the IDE to end', () => Promise.resolve(worker.state()?.phase === 'Stopped'), minuteMs);
    await scene.stage.startService();
    await eventually('the repair', async () => (await audited('workspace.ide_repaired')).length > 0, minuteMs);
    await becomes('Ready');

    expect([asked.status, asked.body]).toEqual([202, { phase: 'Pending' }]);
    expect(worker.state()).toMatchObject({ phase: 'Ready', generation: 100 });
    expect(await audited('workspace.ide_repaired')).toMatchObject([{ actor: 'service', outcome: 'success' }]);
    expect(await audited('workspace.ide_enabled')).toHaveLength(1);
    expect(scene.coder.calls.filter(({ method, route }) => method !== 'GET' && route?.includes('builds'))).toEqual([]);
    expect(await scene.verifyAudit()).toMatchObject({ ok: true });
  });

  it('I-21 I-22 comes by a new build where this one has none: warned, tasks ended and saved, nothing deleted', async () => {
    const worker = await newWorker({ [helperEnvironment.ide]: 'none' });
    scene = await openScene({ plays, runDir: worker.runDir, parameters: { ide_enabled: 'false' } });
    const helper = worker.start('serve');
    await enable();
    await becomes('Failed');
    const failed = await status();
    const taskId = await beginWork();
    const [warned, still] = [await enable({ recreate: true }), await taskOf(taskId)];

    const asked = await enable({ recreate: true, confirm: true });
    const [ended, recreating] = [await taskOf(taskId), await status()];
    await buildAnew(worker, helper);
    await becomes('Ready');

    expect(failed.ideMessage).toMatch(/built without an IDE.* ide_enabled=true/);
    expect([warned.status, warned.body['code'], warned.body['detail']]).toEqual([
      409,
      'ide_needs_build',
      expect.stringMatching(/replaces the containers .* and ends what runs there/),
    ]);
    expect(still.state).toBe('running');
    expect([asked.status, asked.body]).toEqual([202, { phase: 'Recreating' }]);
    expect(ended).toMatchObject({
      state: 'finished',
      outcome: 'stopped',
      evidence: { stop: { processes_left: 0, tokens_after_stop: 0 } },
    });
    expect(savedBy(taskId)).toBe('half a note');
    expect(recreating).toEqual(fixture('status.recreating.response.json'));
    expect(changesInCoder()).toEqual(['POST /api/v2/workspaces/{workspace}/builds by ada']);
    expect(buildsOf().at(-1)).toMatchObject({ transition: 'start', parameters: { ide_enabled: 'true' } });
    expect(buildsOf().map(({ transition }) => transition)).not.toContain('delete');
    expect((await audited('workspace.recreated')).map(({ outcome }) => outcome)).toEqual(['success', 'intent']);
    expect(await scene.verifyAudit()).toMatchObject({ ok: true });
  }, 300_000);
});

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', 'ide', name), 'utf8'));

interface Task {
  readonly state: string;
  readonly outcome: string | null;
  readonly evidence: unknown;
}
const taskOf = (id: string): Promise<Task> => scene.api.get<Task>(`/api/v2/agents/tasks/${id}`);

/** Answers the id of a task that has written half of its work and waits for its model. */
async function beginWork(): Promise<string> {
  const { id } = await scene.api.post<{ id: string }>('/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: work, context: { workspace_id: scene.workspaceId } },
  });
  const trees = join(scene.stage.workspaceDir, '.outrigger', 'worktrees');
  await eventually(
    'half of the work',
    () => {
      try {
        const [tree = ''] = readdirSync(trees);
        return Promise.resolve(readdirSync(join(trees, tree)).includes('note.txt'));
      } catch {
        return Promise.resolve(false);
      }
    },
    2 * minuteMs,
  );
  return id;
}

/** The note as the newest checkpoint of the task holds it. */
const savedBy = (taskId: string): string =>
  git(scene.stage.repositoryDir, 'show', `refs/checkpoints/${taskId}/1:note.txt`);

const buildsOf = () => scene.coder.world.workspaces.get(scene.workspaceId)?.builds ?? [];
const changesInCoder = (): string[] =>
  scene.coder.calls
    .filter(({ method, route }) => method !== 'GET' && route !== 'POST /api/v2/authcheck')
    .map(({ route, token }) => `${route} by ${token ?? 'nobody'}`);

/** What a build does: both containers end, and come back with another workspace agent, an empty memory and the IDE. */
async function buildAnew({ runDir }: Worker, helper: HelperProcess): Promise<void> {
  const bridge = scene.stage.bridge();
  bridge?.kill('SIGTERM');
  helper.kill('SIGTERM');
  await Promise.all([bridge?.exited, helper.exited]);
  for (const name of readdirSync(runDir)) rmSync(join(runDir, name));
  const worker = await newWorker({ [helperEnvironment.runDir]: runDir, [helperEnvironment.ideEnabled]: 'true' });
  worker.start('serve');
  scene.startBridgeOf(buildsOf().at(-1)?.agent?.id ?? '');
}
