import { afterEach, describe, expect, it } from '@jest/globals';
import type { TaskEvent } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { script, type Play } from '../support/model/scripted-model.ts';
import { git } from '../support/stage/repository.ts';
import { allProcesses, descendantsOf, processesNaming } from './processes.ts';
import { openScene, type Scene } from './scene.ts';

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.end();
  scene = undefined;
});

const marker = 98_761;
const prompt = 'Do the long work with care.';
const wasInterrupted = (messages: readonly unknown[]): boolean => /interrupted|aborted/i.test(JSON.stringify(messages));

/** Writes a file, then a command that ends only by force and leaves a daemon that ignores TERM; not so when resumed. */
const plays: readonly Play[] = script([
  {
    match: /long work/,
    steps: [
      { tool: 'write', arguments: { filePath: 'notes.txt', content: 'begun\n' } },
      ({ messages }) =>
        wasInterrupted(messages)
          ? { text: 'The command was interrupted; the notes are written.' }
          : {
              tool: 'bash',
              arguments: {
                command: `echo kept > "$ARTIFACTS_DIR/report.txt"; setsid sh -c 'trap "" TERM; sleep ${marker}' & sleep ${marker}`,
                description: 'Waits for long',
              },
            },
      { text: 'All is done.' },
    ],
  },
]);

interface TaskAnswer {
  readonly state: string;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly attempt: number;
  readonly session_id: string;
  readonly evidence: { readonly stop: { readonly processes_left: number } | null; readonly commit: string | null };
}

/** Submits the long work and waits until its command runs. */
async function beginLongWork(one: Scene): Promise<string> {
  const { api, workspaceId } = one;
  const { id } = await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt, context: { workspace_id: workspaceId } },
    retry: { max: 3, backoff_seconds: 0 },
  });
  await eventually('the question whether the command may run', () => decideAll(one, id));
  await eventually('the command to run', () => Promise.resolve(longProcesses().length >= 2));
  return id;
}

async function decideAll({ api }: Scene, taskId: string): Promise<boolean> {
  const { items } = await api.get<{ items: { id: string }[] }>(
    `/api/v2/agents/approvals?state=pending&task_id=${taskId}`,
  );
  for (const { id } of items) await api.post(`/api/v2/agents/approvals/${id}/decision`, { decision: 'once' });
  return items.length > 0;
}

const longProcesses = () => allProcesses().filter((entry) => entry.command === `sleep ${marker}`);

const finished = (one: Scene, id: string): Promise<TaskAnswer> =>
  eventually(
    'the task to finish',
    async () => {
      const task = await one.api.get<TaskAnswer>(`/api/v2/agents/tasks/${id}`);
      return task.state === 'finished' ? task : undefined;
    },
    90_000,
  );

async function eventsOf({ api }: Scene, id: string): Promise<readonly TaskEvent[]> {
  const events: TaskEvent[] = [];
  for await (const event of api.events(id, 0)) events.push(event);
  return events;
}

async function expectResumed(one: Scene, id: string): Promise<void> {
  const task = await finished(one, id);
  const events = await eventsOf(one, id);
  const opened = events.find((event) => event.type === 'session.opened');
  const resumed = events.find((event) => event.type === 'session.resumed');
  const after = events.slice(events.findIndex((event) => event.type === 'task.retrying') + 1);

  expect(task).toMatchObject({ outcome: 'succeeded', attempt: 2 });
  expect(opened?.data['session_id']).toBe(task.session_id);
  expect(resumed).toMatchObject({ attempt: 2, data: { session_id: task.session_id } });
  expect(after.every((event) => event.attempt === 2)).toBe(true);
  for (const request of one.model.workRequests())
    expect(request.userTexts.filter((text) => text.includes(prompt))).toHaveLength(1);
  expect(git(one.stage.repositoryDir, 'show', `${task.evidence.commit}:notes.txt`)).toBe('begun');
  expect(longProcesses()).toEqual([]);
  expect(await one.verifyAudit()).toMatchObject({ ok: true });
}

describe('the workspace side is killed in the middle of a task', () => {
  it('kill -9 of OpenCode: attempt 1 fails as retryable, attempt 2 resumes the session, no process is left', async () => {
    scene = await openScene({ plays });
    const id = await beginLongWork(scene);
    const bridge = scene.stage.bridge()?.pid ?? 0;
    const harness = descendantsOf(bridge).find((entry) => entry.command.includes(' serve'));

    process.kill(harness?.pid ?? 0, 'SIGKILL');

    await expectResumed(scene, id);
    await eventually('the harness to be gone', () =>
      Promise.resolve(descendantsOf(bridge).every((entry) => !entry.command.includes(' serve'))),
    );
  });

  it('D7 C-03 kill -9 of the bridge: its tree dies with it, the next bridge resumes, the old attempt is refused, and the record holds everything up to then, once', async () => {
    scene = await openScene({ plays });
    const { stage, api } = scene;
    const id = await beginLongWork(scene);
    const { last_event_seq: flushed } = await api.get<{ last_event_seq: number }>(`/api/v2/agents/tasks/${id}`);
    const tools = `${stage.directory}/tools/opencode`;

    stage.bridge()?.kill('SIGKILL');
    await stage.bridge()?.exited;

    await eventually('everything beneath the bridge to be gone', () =>
      Promise.resolve(processesNaming(tools).length === 0 && longProcesses().length === 0),
    );
    stage.startBridge(scene.secret);
    await expectResumed(scene, id);
    const events = await eventsOf(scene, id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1));
    const before = events.slice(0, flushed).map(({ type }) => type);
    expect(before).toEqual(expect.arrayContaining(['session.opened', 'prompt.sent', 'tool.finished']));
    expect(new Set(events.map(({ at, type, data }) => JSON.stringify([at, type, data]))).size).toBe(events.length);
    // What the first attempt left is saved before the second goes on, and its file is the service's.
    expect(events.find(({ type }) => type === 'checkpoint.created')).toMatchObject({ attempt: 2, data: { number: 1 } });
    expect(git(stage.repositoryDir, 'show', `refs/checkpoints/${id}/1:notes.txt`)).toBe('begun');
    const { items } = await api.get<{ items: { name: string; bytes: number }[] }>(
      `/api/v2/agents/tasks/${id}/artifacts`,
    );
    expect(items).toMatchObject([{ name: 'report.txt', bytes: 5 }]);
  });

  it('D2 stop: the task is stopped with a receipt, and the daemon that ignores TERM is gone', async () => {
    scene = await openScene({ plays });
    const id = await beginLongWork(scene);

    await scene.api.post(`/api/v2/agents/tasks/${id}/stop`, {});

    const task = await finished(scene, id);
    expect(task).toMatchObject({ outcome: 'stopped', reason: 'UserStopped', attempt: 1 });
    expect(task.evidence.stop).toMatchObject({ processes_left: 0, tokens_after_stop: 0 });
    expect(longProcesses()).toEqual([]);
  });
});
