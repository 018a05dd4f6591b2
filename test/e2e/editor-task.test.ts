import { chmodSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bridgeEnvironment, followTask, worktreesDir } from '../../modules/contract.ts';
import { gatePath, installHelper, makeWorker, type Tools, type Worker } from '../modules/workspace/helper/world.ts';
import { eventually } from '../support/clock.ts';
import { script } from '../support/model/scripted-model.ts';
import { run } from '../support/terraform/terraform.ts';
import { openScene, type Scene } from './scene.ts';

const plays = script([
  {
    match: /look before it runs/,
    steps: [
      { tool: 'write', arguments: { filePath: 'plan.txt', content: 'what I am about to do\n' } },
      { tool: 'bash', arguments: { command: 'cp plan.txt done.txt', description: 'Does it' } },
      { text: 'It is done.' },
    ],
  },
]);
const patienceMs = 150_000;
const root = join(import.meta.dirname, '..', '..');

let tools: Tools;
let worker: Worker;
let scene: Scene;
let place: string;
beforeAll(async () => {
  tools = await installHelper();
  place = mkdtempSync(join(tmpdir(), 'outrigger-editor-'));
  chmodSync(place, 0o755);
  // The worker has the workspace where the sidecar has it; here it is there once the scene is.
  const workspaceDir = join(place, 'workspace');
  worker = await makeWorker(tools, { OUTRIGGER_IDE_ENABLED: 'true', [bridgeEnvironment.workspaceDir]: workspaceDir });
  scene = await openScene({ plays, runDir: worker.runDir });
  chmodSync(scene.stage.directory, 0o755);
  symlinkSync(scene.stage.workspaceDir, workspaceDir);
  worker.start('serve');
  await eventually('the IDE', () => Promise.resolve(worker.state()?.phase === 'Ready'), patienceMs);
}, 300_000);
afterAll(async () => {
  await scene?.end();
  expect(await worker.end()).toEqual([]);
  tools.remove();
  rmSync(place, { recursive: true, force: true });
});

/** The folder that the app opens now. */
async function opened(): Promise<string> {
  const address = `http://127.0.0.1:${String(worker.port)}/${gatePath}/?folder=${scene.stage.repositoryDir}&${followTask}`;
  const answer = await fetch(address, { redirect: 'manual' });
  return new URLSearchParams(answer.headers.get('location') ?? '').get('folder') ?? '';
}

/** What the command prints, run as the person. */
async function outrigger(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(process.execPath, [join(root, 'scripts/outrigger.mjs'), ...words], {
    cwd: place,
    environment: {
      PATH: process.env['PATH'] ?? '',
      HOME: place,
      CODER_URL: scene.coder.url,
      CODER_SESSION_TOKEN: scene.ownerToken,
      OUTRIGGER_URL: scene.stage.serviceUrl,
    },
  });
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

describe('a person in the loop', () => {
  it('O-62 finds the running task’s files behind the app of the editor, and answers its question by the command', async () => {
    const before = await opened();
    const task = await scene.api.post<{ id: string }>('/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: {
        action: 'generate_code',
        prompt: 'Let somebody look before it runs.',
        context: { workspace_id: scene.workspaceId },
      },
    });
    await eventually(
      'the question',
      async () => (await scene.api.get<{ items: unknown[] }>('/api/v2/agents/approvals?state=pending')).items[0],
      patienceMs,
    );
    const listed = await outrigger('approval', 'list');
    const [, id = ''] = /^([0-9a-f-]{36}) {2}permission: .*\n {4}command: cp plan\.txt done\.txt$/m.exec(listed) ?? [];
    const during = await opened();
    const seen = readFileSync(join(during, 'plan.txt'), 'utf8');
    const wasDone = existsSync(join(during, 'done.txt'));

    const said = await outrigger('approval', 'decide', id, 'once');
    const finished = await eventually(
      'the task to finish',
      async () => {
        const { state, outcome } = await scene.api.get<{ state: string; outcome: string }>(
          `/api/v2/agents/tasks/${task.id}`,
        );
        return state === 'finished' ? outcome : undefined;
      },
      patienceMs,
    );

    expect(before).toBe(scene.stage.repositoryDir);
    expect(during.startsWith(join(realpathSync(scene.stage.workspaceDir), worktreesDir, 'agent-'))).toBe(true);
    expect([seen, wasDone]).toEqual(['what I am about to do\n', false]);
    expect(said.trim()).toBe(`${id}  decided: once`);
    expect(finished).toBe('succeeded');
    expect(readFileSync(join(during, 'done.txt'), 'utf8')).toBe(seen);
    await eventually('the app to open the repository again', async () => (await opened()) === before, patienceMs);
    expect(await outrigger('approval', 'list')).toBe('Nothing waits for you.\n');
  }, 600_000);
});
