import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const workflows = '/api/v2/agents/agentzero/workflows';

/** Two steps, the second of which builds on what the first said. */
const workflowOf = (workspace: string, canary: string) => ({
  name: 'The same name',
  workspace_id: workspace,
  steps: [
    { id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt: `First ${canary}` } },
    {
      id: 'two',
      agent: 'opencode',
      task: 'generate_code',
      depends_on: ['one'],
      params: { prompt: 'Then {{steps.one.output}}' },
    },
  ],
});

it('S-18 one orchestrator serves two people at once, and the work of neither reaches the other', async () => {
  const { ada, bob, admin } = outrigger.people;
  const place = outrigger.coder.addWorkspace({ owner: 'bob', name: 'of-bob', running: true });
  const { body: minted } = await outrigger.call(admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const bridges: [FakeBridge, FakeBridge] = [
    await outrigger.bridge(),
    await startFakeBridge({
      url: outrigger.url,
      proof: deriveProof((minted as { secret: string }).secret, place.id, bob.id, place.agentId),
      workspaceId: place.id,
      agentId: place.agentId,
    }),
  ];
  const people: readonly { who: Person; other: Person; mine: string; theirs: string; workspace: string }[] = [
    { who: ada, other: bob, mine: 'canary-of-ada', theirs: 'canary-of-bob', workspace: 'ws-123' },
    { who: bob, other: ada, mine: 'canary-of-bob', theirs: 'canary-of-ada', workspace: 'of-bob' },
  ];
  const submitted = await Promise.all(
    people.map(({ who, workspace, mine }) => outrigger.call(who, 'POST', workflows, workflowOf(workspace, mine))),
  );
  // Each workspace echoes what it was asked; the two take turns.
  const heard: string[][] = [[], []];
  for (const _step of ['one', 'two'])
    for (const [index, bridge] of bridges.entries()) {
      const lease = await takeLease(bridge);
      heard[index]?.push(lease.prompt);
      const last_message = { finish: 'stop', error: null, text: `echo of ${lease.prompt}` };
      await bridge.request('result', { ...lease, evidence: goodEvidence({ last_message }) });
    }

  for (const [index, { who, other, mine, theirs }] of people.entries()) {
    const path = `${workflows}/${submitted[index]?.body.id}`;
    const workflow = await eventually('the end', async () => {
      const { body } = await outrigger.call(who, 'GET', path);
      return body.state === 'finished' ? body : undefined;
    });
    const tasks = await outrigger.call(who, 'GET', '/api/v2/agents/tasks');
    const whole = await Promise.all(
      (tasks.body.items as { id: string }[]).map(({ id }) => outrigger.call(who, 'GET', `/api/v2/agents/tasks/${id}`)),
    );
    const hidden = await Promise.all(
      [path, ...(tasks.body.items as { id: string }[]).map(({ id }) => `/api/v2/agents/tasks/${id}`)].map((one) =>
        outrigger.call(other, 'GET', one),
      ),
    );

    expect(workflow.outcome).toBe('succeeded');
    expect(tasks.body.items).toHaveLength(2);
    expect(heard[index]?.[1]).toContain(`echo of First ${mine}`);
    expect(JSON.stringify([heard[index], workflow, whole.map(({ body }) => body as unknown)])).not.toContain(theirs);
    expect(JSON.stringify(whole.map(({ body }) => body as unknown))).toContain(mine);
    expect(hidden.map(({ status }) => status)).toEqual([404, 404, 404]);
  }
  for (const bridge of bridges) bridge.close();
});
