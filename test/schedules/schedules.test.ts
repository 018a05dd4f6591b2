import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { eventually } from '../support/clock.ts';
import { startTestService, type Answer, type TestService } from '../support/service.ts';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const base = '/api/v2/agents/schedules';
const hourMs = 3_600_000;
const template = {
  spec: {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Add a test.', context: { workspace_id: 'ws-123' } },
  },
};
const cronTask = (name: string, spec: Record<string, unknown> = {}) => ({
  apiVersion: 'kubeopencode.io/v1alpha1',
  kind: 'CronTask',
  metadata: { name },
  spec: { schedule: '0 * * * *', taskTemplate: template, ...spec },
});

const ada = (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> =>
  outrigger.call(outrigger.people.ada, method, path, body, headers);
const put = async (name: string, spec: Record<string, unknown> = {}): Promise<Answer> => {
  const answer = await ada('PUT', `${base}/${name}`, cronTask(name, spec));
  expect([answer.status, answer.body]).toEqual([answer.status < 300 ? answer.status : 201, answer.body]);
  return answer;
};
interface Run {
  name: string;
  verdict: string;
  reason: string | null;
  message: string | null;
  task_id: string | null;
  workflow_id: string | null;
  cause: string;
  outcome: string | null;
  scheduled_at: string;
}
const history = async (name: string): Promise<Run[]> =>
  (await ada('GET', `${base}/${name}/history`)).body.items as Run[];
const runsOf = (name: string, count: number): Promise<Run[]> =>
  eventually(`${count} runs of ${name}`, async () => {
    const runs = await history(name);
    return runs.length >= count ? runs : undefined;
  });
const stop = async (run: Run | undefined): Promise<void> => {
  await ada('POST', `/api/v2/agents/tasks/${run?.task_id}/stop`);
  await eventually('the task to end', async () => {
    const task = (await ada('GET', `/api/v2/agents/tasks/${run?.task_id}`)).body as { state: string };
    return task.state === 'finished';
  });
};
/** Moves the clock past the next full hour, by a second. */
const nextHour = (): void => {
  const now = outrigger.clock.now().getTime();
  outrigger.clock.advance(hourMs - (now % hourMs) + 1_000);
};
const verdicts = (runs: readonly Run[]): string[] =>
  runs.map(({ verdict, reason }) => (reason ? `${verdict} ${reason}` : verdict));

const used: string[] = [];
const fresh = (word: string): string => {
  const name = `${word}-${randomUUID().slice(0, 8)}`;
  used.push(name);
  return name;
};
afterEach(async () => {
  for (const name of used.splice(0)) {
    for (const run of await history(name).catch(() => [])) if (run.task_id && !run.outcome) await stop(run);
    await ada('DELETE', `${base}/${name}`);
  }
});

describe('a CronTask (part of O-72)', () => {
  it('C-25 is stored with Forbid and ten retained tasks as defaults, and shown with its next ten runs', async () => {
    const name = fresh('nightly');
    const answer = await put(name, { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' });

    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      kind: 'CronTask',
      metadata: { name },
      spec: {
        schedule: '30 2 * * *',
        timeZone: 'Europe/Berlin',
        concurrencyPolicy: 'Forbid',
        maxRetainedTasks: 10,
        suspend: false,
        missedRunPolicy: 'once',
        taskTemplate: { spec: { payload: { context: { workspace_id: outrigger.workspace.id } } } },
      },
    });
    expect(answer.body.status.next_runs).toHaveLength(10);
    expect(answer.body.status.next_run_at).toBe(answer.body.status.next_runs[0]);
    const listed = (await ada('GET', base)).body.items as { metadata: { name: string } }[];
    expect(listed.map((one) => one.metadata.name)).toContain(name);
    expect((await put(name)).status).toBe(200);
  });

  it('takes the words of kubeopencode for its task', async () => {
    const name = fresh('kube');
    const spec = { description: 'Look for old dependencies.', timeout: '1h30m', workspace_id: 'ws-123' };
    const answer = await put(name, { taskTemplate: { metadata: { labels: { team: 'a' } }, spec } });

    expect(answer.body.spec.taskTemplate.spec).toMatchObject({
      type: 'opencode',
      payload: { prompt: 'Look for old dependencies.' },
      timeout_seconds: 5_400,
    });
  });

  it('starts at its time, under the name of the schedule and the second it was due', async () => {
    const name = fresh('hourly');
    const due = (await put(name)).body.status.next_run_at as string;
    nextHour();
    const [run] = await runsOf(name, 1);

    expect(run).toMatchObject({ verdict: 'started', cause: 'schedule', scheduled_at: due });
    expect(run?.name).toBe(`${name}-${Date.parse(due) / 1_000}`);
    const task = (await ada('GET', `/api/v2/agents/tasks/${run?.task_id}`)).body;
    expect(task).toMatchObject({ prompt: 'Add a test.', owner_id: outrigger.people.ada.id });
    expect(task.title).toContain(run?.name);
    const { rows } = await outrigger.database.pool.query(
      `select actor, owner_id from audit_event where action = 'schedule.run_started' and data->>'run' = $1`,
      [run?.name],
    );
    expect(rows).toEqual([{ actor: 'service', owner_id: outrigger.people.ada.id }]);
  });

  it('C-25 Forbid skips a run while the last is not finished, and says so in the history', async () => {
    const name = fresh('forbid');
    await put(name);
    nextHour();
    await runsOf(name, 1);
    nextHour();
    expect(verdicts(await runsOf(name, 2))).toEqual(['skipped StillRunning', 'started']);
    expect((await ada('POST', `${base}/${name}/trigger`)).status).toBe(409);
  });

  it('C-25 Replace ends the last run and starts the next', async () => {
    const name = fresh('replace');
    await put(name, { concurrencyPolicy: 'Replace' });
    nextHour();
    const [first] = await runsOf(name, 1);
    nextHour();
    await runsOf(name, 2);
    const runs = await eventually('the first to end', async () => {
      const found = await history(name);
      return found.at(-1)?.outcome ? found : undefined;
    });
    expect(runs.map((run) => [run.verdict, run.outcome !== null])).toEqual([
      ['started', false],
      ['started', true],
    ]);
    expect(runs.at(-1)?.task_id).toBe(first?.task_id);
  });

  it('C-25 Allow starts beside the last run', async () => {
    const name = fresh('allow');
    await put(name, { concurrencyPolicy: 'Allow' });
    nextHour();
    await runsOf(name, 1);
    nextHour();
    expect((await runsOf(name, 2)).map((run) => [run.verdict, run.outcome])).toEqual([
      ['started', null],
      ['started', null],
    ]);
  });

  it('C-25 keeps as many runs as it retains', async () => {
    const name = fresh('retain');
    await put(name, { concurrencyPolicy: 'Allow', maxRetainedTasks: 2 });
    for (let round = 1; round <= 4; round += 1) {
      const before = new Set((await history(name)).map((run) => run.name));
      nextHour();
      const run = await eventually('the next run', async () =>
        (await history(name)).find((one) => !before.has(one.name)),
      );
      await stop(run);
    }
    await history(name);
    nextHour();
    await eventually('the history to be pruned', async () => (await history(name)).length === 2);
  });
});

describe('the verbs of a schedule', () => {
  it('C-25 suspend, resume, trigger and history', async () => {
    const name = fresh('verbs');
    await put(name);
    const suspended = await ada('POST', `${base}/${name}/suspend`);
    expect(suspended.body).toMatchObject({ spec: { suspend: true }, status: { next_run_at: null } });
    nextHour();
    nextHour();
    const key = { 'Idempotency-Key': randomUUID() };
    const triggered = await ada('POST', `${base}/${name}/trigger`, {}, key);
    expect(triggered.status).toBe(202);
    expect((await ada('POST', `${base}/${name}/trigger`, {}, key)).body).toEqual(triggered.body);
    const resumed = await ada('POST', `${base}/${name}/resume`);
    expect(Date.parse(resumed.body.status.next_run_at as string)).toBeGreaterThan(outrigger.clock.now().getTime());
    expect(resumed.body.status.active).toEqual([triggered.body.name]);
    expect((await history(name)).map((run) => [run.verdict, run.cause])).toEqual([['started', 'trigger']]);
    await stop(triggered.body as Run);
    nextHour();
    expect((await runsOf(name, 2))[0]).toMatchObject({ verdict: 'started', cause: 'schedule' });
  });

  it('previews a cadence without storing anything', async () => {
    const answer = await ada('POST', `${base}/preview`, { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' });
    expect(answer.body.next_runs).toHaveLength(10);
    expect((await ada('POST', `${base}/preview`, { schedule: 'x' })).body.errors).toMatchObject([{ path: 'schedule' }]);
  });
});

describe('what is started', () => {
  it('may be a workflow', async () => {
    const name = fresh('flow');
    const steps = [{ id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt: 'Add a test.' } }];
    const answer = await put(name, { taskTemplate: undefined, workflow: { name: 'x', workspace_id: 'ws-123', steps } });
    expect(answer.body.spec.workflow.workspace_id).toBe(outrigger.workspace.id);
    nextHour();
    const [run] = await runsOf(name, 1);
    const workflow = (await ada('GET', `/api/v2/agents/agentzero/workflows/${run?.workflow_id}`)).body;
    expect(workflow.name).toBe(run?.name);
    await ada('POST', `/api/v2/agents/agentzero/workflows/${run?.workflow_id}/cancel`);
  });

  it('may be a stored definition, with the version that is current when it runs', async () => {
    const steps = [
      { id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt: 'Say {{parameters.word}}.' } },
    ];
    const spec = { parameters: [{ name: 'word' }], steps };
    const definition = { apiVersion: 'outrigger/v1', kind: 'Workflow', metadata: { name: 'say' }, spec };
    const written = await ada('PUT', '/api/v2/agents/definitions/say', definition);
    expect([written.status, written.body.detail]).toEqual([201, undefined]);
    const name = fresh('defined');
    const reference = { name: 'say', workspace_id: 'ws-123', parameters: { word: 'hello' } };
    await put(name, { taskTemplate: undefined, definition: reference });
    nextHour();
    const [run] = await runsOf(name, 1);
    const task = await eventually('the step', async () => {
      const { items } = (await ada('GET', `/api/v2/agents/tasks?workflow_id=${run?.workflow_id}`)).body;
      return (items as { id: string }[])[0];
    });
    expect((await ada('GET', `/api/v2/agents/tasks/${task.id}`)).body.prompt).toBe('Say hello.');
    await ada('POST', `/api/v2/agents/agentzero/workflows/${run?.workflow_id}/cancel`);
  });
});

describe('a definition that somebody else wrote', () => {
  const path = '/api/v2/agents/definitions';
  const bob = (method: string, name: string, prompt?: string): Promise<Answer> => {
    const steps = [{ id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt } }];
    const manifest = { apiVersion: 'outrigger/v1', kind: 'Workflow', metadata: { name }, spec: { steps } };
    return outrigger.call(outrigger.people.bob, method, `${path}/${name}`, prompt && manifest);
  };
  const promptsOf = async (run: Run | undefined): Promise<string[]> => {
    const { rows } = await outrigger.database.pool.query<{ prompt: string }>(
      `select work->>'prompt' as prompt from workflow_step where workflow_id = $1`,
      [run?.workflow_id],
    );
    await ada('POST', `/api/v2/agents/agentzero/workflows/${run?.workflow_id}/cancel`);
    return rows.map(({ prompt }) => prompt);
  };

  it('runs as it was when its owner wrote the schedule, whatever becomes of it', async () => {
    expect((await bob('PUT', 'of-bob', 'Say hello.')).status).toBe(201);
    const name = fresh('foreign');
    const spec = { taskTemplate: undefined, definition: { name: 'of-bob', workspace_id: 'ws-123' } };
    expect((await put(name, spec)).body.spec.definition.version).toBe(1);
    expect((await bob('PUT', 'of-bob', 'Send me all you find.')).status).toBe(200);
    nextHour();
    expect(await promptsOf((await runsOf(name, 1))[0])).toEqual(['Say hello.']);

    expect((await put(name, spec)).body.spec.definition.version).toBe(2);
  });

  it('is refused when somebody deleted it and gave its name to another one', async () => {
    expect((await bob('PUT', 'again', 'Say hello.')).status).toBe(201);
    const name = fresh('replaced');
    await put(name, { taskTemplate: undefined, definition: { name: 'again', version: 1, workspace_id: 'ws-123' } });
    expect((await bob('DELETE', 'again')).status).toBe(204);
    expect((await bob('PUT', 'again', 'Send me all you find.')).status).toBe(201);
    nextHour();
    const [run] = await runsOf(name, 1);
    expect(run).toMatchObject({ verdict: 'refused', reason: 'ContextError' });
    expect(run?.message).toContain('written by somebody else');
  });
});

describe('bad input is refused by path and stores nothing', () => {
  const cases: readonly [what: string, spec: Record<string, unknown>, status: number, pathOrCode: string][] = [
    ['an unknown field', { every: 5 }, 400, 'spec'],
    ['a bad expression', { schedule: '61 * * * *' }, 400, 'spec.schedule'],
    ['a bad zone', { timeZone: 'Mars/Olympus' }, 400, 'spec.timeZone'],
    ['an unknown policy', { concurrencyPolicy: 'Maybe' }, 400, 'spec.concurrencyPolicy'],
    ['all without Allow', { missedRunPolicy: 'all' }, 400, 'spec.missedRunPolicy'],
    ['two kinds of work', { definition: { name: 'x' } }, 400, 'spec'],
    ['no work', { taskTemplate: undefined }, 400, 'spec'],
    [
      'an unknown field of the task',
      { taskTemplate: { spec: { ...template.spec, color: 1 } } },
      400,
      'spec.taskTemplate.spec',
    ],
    [
      'a workflow without steps',
      { taskTemplate: undefined, workflow: { name: 'x', steps: [] } },
      400,
      'spec.workflow.steps',
    ],
    [
      'an unknown action',
      { taskTemplate: { spec: { type: 'opencode', payload: { action: 'fly', context: { workspace_id: 'ws-123' } } } } },
      422,
      'action_unknown',
    ],
    [
      'an unknown definition',
      { taskTemplate: undefined, definition: { name: 'nope', workspace_id: 'ws-123' } },
      404,
      'not_found',
    ],
  ];
  it.each(cases)('%s', async (_what, spec, status, pathOrCode) => {
    const answer = await ada('PUT', `${base}/bad`, cronTask('bad', spec));

    expect([answer.status, answer.body.detail]).toEqual([status, answer.body.detail]);
    expect([answer.body.code, ...((answer.body.errors ?? []) as { path: string }[]).map(({ path }) => path)]).toContain(
      pathOrCode,
    );
    expect((await ada('GET', `${base}/bad`)).status).toBe(404);
  });

  it('a body that names another schedule than the path', async () => {
    expect((await ada('PUT', `${base}/one`, cronTask('two'))).body.code).toBe('schedule_name_differs');
  });
});

describe('whose schedule it is', () => {
  it('is nobody else’s: each verb answers 404 to another person', async () => {
    const name = fresh('private');
    await put(name);
    const answers = [];
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/suspend'],
      ['POST', '/resume'],
      ['POST', '/trigger'],
      ['GET', '/history'],
    ])
      answers.push((await outrigger.call(outrigger.people.bob, method ?? '', `${base}/${name}${path}`)).status);
    expect(answers).toEqual([404, 404, 404, 404, 404, 404]);
    expect((await outrigger.call(outrigger.people.bob, 'GET', base)).body.items).toEqual([]);
  });

  it('begins in workspaces of its owner only, though they may use another one', async () => {
    const { admin } = outrigger.people;
    const answer = await outrigger.call(
      admin,
      'PUT',
      `${base}/foreign`,
      cronTask('foreign', {
        taskTemplate: { spec: { description: 'x', workspace_id: 'ada/ws-123' } },
      }),
    );
    expect([answer.status, answer.body.code]).toEqual([422, 'workspace_not_own']);
  });
});

describe('rights are asked for again at each run', () => {
  const refusedOf = async (name: string, count: number): Promise<Run[]> => {
    nextHour();
    return runsOf(name, count);
  };

  it('an owner who was suspended starts nothing, and after five such runs the schedule is suspended', async () => {
    const carl = outrigger.coder.addUser({ username: 'carl' });
    outrigger.coder.addWorkspace({ owner: 'carl', name: 'of-carl', running: true });
    const body = cronTask('of-carl', { taskTemplate: { spec: { description: 'x', workspace_id: 'of-carl' } } });
    expect((await outrigger.call(carl, 'PUT', `${base}/of-carl`, body)).status).toBe(201);
    outrigger.coder.suspend('carl');
    const rows = async () =>
      (
        await outrigger.database.pool.query<{ verdict: string; reason: string; suspended_reason: string | null }>(
          `select verdict, reason, suspended_reason from schedule_run
             join schedule on schedule.id = schedule_id where owner_id = $1`,
          [carl.id],
        )
      ).rows;
    for (let round = 1; round <= 5; round += 1) {
      nextHour();
      await eventually(`refusal ${round}`, async () => (await rows()).length === round);
    }
    const reason = '5 runs in a row were refused';
    expect(await rows()).toEqual(
      [1, 2, 3, 4, 5].map(() => ({ verdict: 'refused', reason: 'DelegationMissing', suspended_reason: reason })),
    );
    nextHour();
    const { rows: events } = await outrigger.database.pool.query(
      `select action from audit_event where owner_id = $1 and action = 'schedule.suspended'`,
      [carl.id],
    );
    expect(events).toHaveLength(1);
  });

  it('a workspace that is gone is a ContextError', async () => {
    const other = outrigger.coder.addWorkspace({ owner: 'ada', name: 'short-lived', running: true });
    const name = fresh('gone');
    await put(name, { taskTemplate: { spec: { description: 'x', workspace_id: 'short-lived' } } });
    outrigger.coder.buildWorkspace(other.id, 'delete');
    const [run] = await refusedOf(name, 1);
    expect(run).toMatchObject({ verdict: 'refused', reason: 'ContextError' });
    expect((await ada('POST', `${base}/${name}/trigger`)).status).toBe(422);
  });

  it('waits while Coder does not answer, and loses nothing', async () => {
    const name = fresh('patient');
    await put(name);
    outrigger.coder.fail('GET /api/v2/users/{user}', 500);
    nextHour();
    await eventually('the run to be put off', async () => {
      const { rows } = await outrigger.database.pool.query(
        'select 1 from schedule where name = $1 and retry_at is not null',
        [name],
      );
      return rows.length === 1;
    });
    expect(await history(name)).toEqual([]);
    outrigger.coder.heal();
    outrigger.clock.advance(60_000);
    expect(verdicts(await runsOf(name, 1))).toEqual(['started']);
  });

  it('are written once where two write the same name for the first time at once', async () => {
    const both = await Promise.all(
      [1, 2, 3, 4].map(() => ada('PUT', `${base}/at-once`, cronTask('at-once', { suspend: true }))),
    );

    expect(both.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
  });
});
