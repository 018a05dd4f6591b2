import { afterEach, describe, expect, it } from '@jest/globals';
import { watchWorkflow } from '../../scripts/demo/watch.ts';
import { script } from '../support/model/scripted-model.ts';
import { git } from '../support/stage/repository.ts';
import { openScene, type Scene } from './scene.ts';

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.end();
  scene = undefined;
});

const lineOf = (name: string): string => `${name} was here\n`;
const together = ['a', 'b', 'c'].map(lineOf).join('');
const write = (match: RegExp, filePath: string, content: string) => ({
  match,
  steps: [{ tool: 'write', arguments: { filePath, content } }, { text: `${filePath} is written.` }],
});

const plays = script([
  ...['a', 'b', 'c'].map((name) => write(new RegExp(`You are ${name}\\.`), 'notes.md', lineOf(name))),
  write(/Go on with all three/, 'more.md', 'more\n'),
  write(/Put together/, 'notes.md', together),
]);

const step = (id: string, prompt: string, more: object = {}) => ({
  id,
  agent: 'opencode',
  task: 'generate_code',
  params: { prompt },
  ...more,
});

/** Three steps beside each other on one file, one that builds on all of them, and one for when they contradict. */
const workflow = (workspaceId: string) => ({
  name: 'Three at once',
  workspace_id: workspaceId,
  steps: [
    ...['a', 'b', 'c'].map((name) => step(name, `You are ${name}. Write notes.md.`)),
    step('join', 'Go on with all three.', { depends_on: ['a', 'b', 'c'] }),
    step(
      'resolve',
      'Put together what is on {{steps.a.branch}}, {{steps.b.branch}} and {{steps.c.branch}}. It was said: {{steps.join.message}}',
      { depends_on: ['a'], on_failure_of: ['join'] },
    ),
    step('unneeded', 'Never runs.', { on_failure_of: ['resolve'] }),
  ],
});

describe('D9 three steps edit one file', () => {
  it('each on a branch and in a work tree of its own: the conflict is shown, a step resolves it, and nothing is lost', async () => {
    scene = await openScene({ plays, slots: 3 });
    const { api, stage, workspaceId } = scene;
    const { id } = await api.post<{ id: string }>('/api/v2/agents/agentzero/workflows', workflow(workspaceId));
    await watchWorkflow(api, id, () => undefined, new AbortController().signal);
    const answer = await api.get<{
      outcome: string;
      steps: {
        id: string;
        outcome: string;
        reason: string;
        message: string;
        branch: string;
        commit: string;
        task_id: string;
      }[];
    }>(`/api/v2/agents/agentzero/workflows/${id}`);
    const by = new Map(answer.steps.map((one) => [one.id, one]));
    const of = (name: string) =>
      by.get(name) ?? { outcome: '', message: '', reason: '', branch: '', commit: '', task_id: '' };

    expect(answer.steps.map((one) => [one.id, one.outcome])).toEqual([
      ['a', 'succeeded'],
      ['b', 'succeeded'],
      ['c', 'succeeded'],
      ['join', 'failed'],
      ['resolve', 'succeeded'],
      ['unneeded', 'skipped'],
    ]);
    expect(of('join').reason).toBe('ContextError');
    expect(of('join').message).toContain('contradict each other in notes.md');
    expect(answer.outcome).toBe('failed');

    const show = (revision: string): string => git(stage.repositoryDir, 'show', `${revision}:notes.md`);
    for (const name of ['a', 'b', 'c']) {
      expect(`${show(of(name).branch)}\n`).toBe(lineOf(name));
      expect(git(stage.repositoryDir, 'rev-parse', of(name).branch)).toBe(of(name).commit);
    }
    expect(new Set(['a', 'b', 'c'].map((name) => of(name).branch)).size).toBe(3);
    expect(`${show(of('resolve').commit)}\n`).toBe(together);
    expect(git(stage.repositoryDir, 'merge-base', of('resolve').commit, of('a').commit)).toBe(of('a').commit);
    const { prompt } = await api.get<{ prompt: string }>(`/api/v2/agents/tasks/${of('resolve').task_id}`);
    expect(prompt).toContain(of('b').branch);
    expect(prompt).toContain('contradict each other in notes.md');
    expect(git(stage.repositoryDir, 'status', '--porcelain')).toBe('');
  });
});
