import { afterEach, describe, expect, it } from '@jest/globals';
import { watchWorkflow, type WorkflowAnswer } from '../../scripts/demo/watch.ts';
import { makeRandom } from '../support/random.ts';
import { fullStackFeature, fullStackPlays } from '../support/stage/plays.ts';
import { git } from '../support/stage/repository.ts';
import { openScene, type Scene } from './scene.ts';

/**
 * Kills the service (SIGKILL) at random moments of the demo's workflow and starts it again.
 *
 * `KILL_ROUNDS` kills in all (20 in CI), `KILLS_PER_WORKFLOW` of them spread over each workflow; `KILL_SEED` repeats a run.
 */
const rounds = Number(process.env['KILL_ROUNDS'] ?? 20);
const killsPerWorkflow = Number(process.env['KILLS_PER_WORKFLOW'] ?? 5);
const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000);
const workflows = Math.ceil(rounds / killsPerWorkflow);

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.end();
  scene = undefined;
});

const passed = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Kills and restarts until the workflow is over or the kills are used up. Answers how often it killed. */
async function harass({ stage }: Scene, random: () => number, kills: number, isOver: () => boolean): Promise<number> {
  let done = 0;
  while (done < kills && !isOver()) {
    await passed(200 + random() * 4_000);
    if (isOver()) break;
    const service = stage.service();
    service?.kill('SIGKILL');
    await service?.exited;
    done += 1;
    await passed(random() * 500);
    await stage.startService();
  }
  return done;
}

describe('S-13 S-70 S-05 S-43 the service is killed at random moments of a workflow', () => {
  it(
    `finishes every workflow after ${rounds} kills: each prompt delivered once, each effect once, the audit whole (seed ${seed})`,
    async () => {
      const random = makeRandom(seed);
      let killed = 0;
      for (let number = 0; number < workflows; number += 1) {
        scene = await openScene({ plays: fullStackPlays, chunkDelayMs: 40 });
        const { api, workspaceId } = scene;
        const { id } = await api.post<{ id: string }>(
          '/api/v2/agents/agentzero/workflows',
          fullStackFeature(workspaceId),
        );
        let isOver = false;
        const watched = watchWorkflow(api, id, () => undefined, new AbortController().signal).finally(
          () => (isOver = true),
        );
        killed += await harass(scene, random, Math.min(killsPerWorkflow, rounds - killed), () => isOver);
        const { workflow } = await watched;
        await expectOneOfEverything(scene, workflow);
        await scene.end();
        scene = undefined;
      }
      expect(killed).toBeGreaterThanOrEqual(Math.floor(rounds * 0.6));
    },
    workflows * 180_000,
  );
});

async function expectOneOfEverything(one: Scene, workflow: WorkflowAnswer): Promise<void> {
  const { stage, model, api } = one;
  expect(workflow.steps.map((step) => [step.id, step.outcome, step.attempts])).toEqual([
    ['backend', 'succeeded', 1],
    ['frontend', 'succeeded', 1],
    ['deploy', 'succeeded', 1],
  ]);
  for (const step of workflow.steps) {
    const prompt = await promptOf(one, step.task_id ?? '');
    const deliveries = model
      .workRequests()
      .map((request) => request.userTexts.filter((text) => text === prompt).length);
    expect(Math.max(...deliveries)).toBe(1);
    const { items } = await api.get<{ items: { state: string; ask: string }[] }>(
      `/api/v2/agents/approvals?task_id=${step.task_id}`,
    );
    expect(items.map((item) => item.state)).toEqual(items.map(() => 'decided'));
    expect(items).toHaveLength(step.id === 'backend' ? 2 : 0);
    const seqs: number[] = [];
    for await (const event of api.events(step.task_id ?? '', 0)) seqs.push(event.seq);
    expect(seqs).toEqual(seqs.map((_seq, index) => index + 1));
  }
  const last = workflow.steps.at(-1)?.commit ?? '';
  expect(git(stage.repositoryDir, 'log', '--format=%s', `main..${last}`).split('\n')).toHaveLength(3);
  expect(git(stage.repositoryDir, 'status', '--porcelain')).toBe('');
  const audit = await one.verifyAudit();
  expect(audit).toMatchObject({ ok: true, faults: [] });
}

const promptOf = async ({ api }: Scene, taskId: string): Promise<string> =>
  (await api.get<{ prompt: string }>(`/api/v2/agents/tasks/${taskId}`)).prompt;
