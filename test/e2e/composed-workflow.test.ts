import { afterEach, describe, expect, it } from '@jest/globals';
import { watchWorkflow } from '../../scripts/demo/watch.ts';
import { script } from '../support/model/scripted-model.ts';
import { fullStackFeature, fullStackPlays } from '../support/stage/plays.ts';
import { git } from '../support/stage/repository.ts';
import { openScene, type Scene } from './scene.ts';

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.end();
  scene = undefined;
});

const { name, steps } = fullStackFeature('');
/** The demo's workflow, as a model would propose it. */
const proposal = {
  name,
  explanation: 'A module, a page that uses it, and how to deploy both.',
  steps: steps.map(({ id, agent, task, depends_on = [], params: { prompt } }) => ({
    ...{ id, agent, task, depends_on, prompt },
  })),
};
const plays = script([
  { match: /^The goal, as a person wrote it/, steps: [{ text: JSON.stringify(proposal) }] },
  ...fullStackPlays,
]);

interface Draft {
  readonly approval_id: string;
  readonly workflow_id: string;
}

describe('a goal, composed into a workflow', () => {
  it('S-81 is done by agents that tell each other what they did, each on the work of the one before', async () => {
    scene = await openScene({ plays });
    const { api, model, stage } = scene;
    const body = { goal: 'Users can be added and are shown.', execute: true };
    const draft = await api.post<Draft>('/api/v2/agents/agentzero/compose', body);
    await api.post(`/api/v2/agents/approvals/${draft.approval_id}/decision`, { decision: 'once' });
    const { workflow } = await watchWorkflow(api, draft.workflow_id, () => undefined, new AbortController().signal);

    expect(workflow.steps.map((step) => [step.id, step.outcome])).toEqual([
      ['backend', 'succeeded'],
      ['frontend', 'succeeded'],
      ['deploy', 'succeeded'],
    ]);
    const told = model.requests.flatMap(({ userTexts }) => userTexts).join('\n');
    expect(told).toContain('The backend step said: src/users.mjs holds addUser and listUsers; the test passes.');
    expect(told).toContain('how to deploy this. public/index.html lists the users.');
    const last = workflow.steps.at(-1)?.commit ?? '';
    const files = git(stage.repositoryDir, 'ls-tree', '-r', '--name-only', last);
    for (const file of ['src/users.mjs', 'public/index.html', 'docs/deploy.md']) expect(files).toContain(file);
    expect((await scene.verifyAudit()).ok).toBe(true);
  }, 300_000);
});
