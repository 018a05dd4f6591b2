import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../service/config.ts';
import { startTestService, type TestService } from '../support/service.ts';

let outrigger: TestService | undefined;
afterEach(() => outrigger?.stop());

const definitions = '/api/v2/agents/definitions';
const task = (workspaceId: string, type: string) => ({
  type,
  payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: workspaceId } },
});

describe('S-118 feature flags', () => {
  it('S-118 turns a feature off by the environment, for everybody: its routes answer 403 with what to do, others go on', async () => {
    outrigger = await startTestService({ OUTRIGGER_FLAGS: '{"definitions": false}' });
    const { ada } = outrigger.people;

    const answer = await outrigger.call(ada, 'GET', definitions);

    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject({ code: 'feature_off', detail: expect.stringContaining('Ask whoever runs it') });
    expect((await outrigger.call(ada, 'GET', '/api/v2/agents/tasks')).status).toBe(200);
    expect((await outrigger.call(null, 'GET', definitions)).status).toBe(401);
  });

  it('S-118 counts a flag that cannot be read as off, and says so in the log', async () => {
    outrigger = await startTestService({ OUTRIGGER_FLAGS: '{"definitions": "yes please"}' });

    expect((await outrigger.call(outrigger.people.ada, 'GET', definitions)).status).toBe(403);
    const { notices, settings } = loadConfig({
      environment: { OUTRIGGER_FLAGS: '{"definitions": "yes please"}' },
      readFile: () => undefined,
      homeDir: '/',
      uid: 1000,
    });
    expect(notices).toContainEqual({
      level: 'warn',
      message: expect.stringContaining('Flag definitions cannot be read'),
    });
    expect(settings.find(({ key }) => key === 'flags')?.value).toMatchObject({
      definitions: 'off, because it cannot be read',
      schedules: 'on',
    });
  });

  it('S-118 turns everything off that has a flag where the whole cannot be read, and work with it', async () => {
    outrigger = await startTestService({ OUTRIGGER_FLAGS: 'definitions=off' });
    const { ada } = outrigger.people;

    expect((await outrigger.call(ada, 'GET', definitions)).status).toBe(403);
    const refused = await outrigger.call(
      ada,
      'POST',
      '/api/v2/agents/opencode/tasks',
      task(outrigger.workspace.id, 'opencode'),
    );
    expect([refused.status, refused.body.code]).toEqual([403, 'feature_off']);
    expect((await outrigger.call(ada, 'GET', '/api/v2/agents/tasks')).status).toBe(200);
  });

  it('S-118 tells organizations apart', async () => {
    const organization = randomUUID();
    const flags = (value: unknown) => ({
      OUTRIGGER_FLAGS: JSON.stringify({ definitions: value, agent_opencode: value }),
    });
    const status = async (environment: Record<string, string>): Promise<number[]> => {
      outrigger = await startTestService(environment, { organizationId: organization });
      const { ada } = outrigger.people;
      const answers = [
        await outrigger.call(ada, 'GET', definitions),
        await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', task(outrigger.workspace.id, 'opencode')),
      ];
      await outrigger.stop();
      return answers.map((answer) => answer.status);
    };

    expect(await status(flags({ '*': false, [organization]: true }))).toEqual([200, 202]);
    expect(await status(flags({ '*': true, [organization]: false }))).toEqual([403, 403]);
    outrigger = undefined;
  });

  it('reads the flags of a file, as a mapping', () => {
    const { flags } = loadConfig({
      environment: {},
      readFile: (path) =>
        path === '/etc/outrigger/config.yaml' ? 'flags:\n  compose: false\n  schedules:\n    "*": false\n' : undefined,
      homeDir: '/',
      uid: 1000,
    });

    expect([flags.isOn('compose', null), flags.isOn('schedules', null), flags.isOn('definitions', null)]).toEqual([
      false,
      false,
      true,
    ]);
    expect(flags.faults).toEqual([]);
  });

  it('S-118 lists a step of an agent that is turned off in the plan of its workflow, beside what else is wrong', async () => {
    outrigger = await startTestService({ OUTRIGGER_FLAGS: '{"agent_docker": false}' });
    const { body, status } = await outrigger.call(
      outrigger.people.ada,
      'POST',
      '/api/v2/agents/agentzero/workflows?dry_run=true',
      {
        name: 'w',
        workspace_id: outrigger.workspace.id,
        steps: [
          { id: 'off', agent: 'docker', task: 'logs', params: { task_id: randomUUID() } },
          { id: 'on', agent: 'opencode', task: 'generate_code' },
          { id: 'nobody', agent: 'robot', task: 'fly' },
        ],
      },
    );

    expect([
      status,
      (body.violations as { step_id: string; code: string }[]).map((one) => [one.step_id, one.code]),
    ]).toEqual([
      200,
      expect.arrayContaining([
        ['off', 'feature_off'],
        ['nobody', 'agent_unknown'],
      ]),
    ]);
    expect((body.steps as { id: string }[]).map(({ id }) => id)).toEqual(['on']);
  });
});
