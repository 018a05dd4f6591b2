import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  aLease,
  installTools,
  isRunning,
  processesOf,
  until,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World, type WorldOptions } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World | undefined;

beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
afterEach(async () => {
  const left = await world?.end();
  world = undefined;
  expect(left).toEqual([]);
});
const start = async (options: Omit<WorldOptions, 'tools'> = {}): Promise<World> =>
  (world = await startWorld({ tools, ...options }));
const logged = (one: World, text: string): boolean => one.bridge.lines.some((line) => line.includes(text));

describe('P-74 a command that nobody knows', () => {
  it('is answered with exactly this text and the id of the request', async () => {
    const { service } = await start();
    const fixture = (name: string): { id: string; type: string; payload: unknown } =>
      JSON.parse(readFileSync(join(import.meta.dirname, '../../../fixtures/bridge', name), 'utf8')) as never;
    await until('a connection', () => service.isConnected);

    const reply = await service.sendRaw(fixture('error.unknown-type.request.json'));

    expect(reply).toEqual(fixture('error.unknown-type.response.json'));
  });
});

describe('C-22 frames in both directions (part of P-64)', () => {
  it('answers a decision for an attempt it does not run, and a stop with an honest receipt', async () => {
    const { service } = await start();
    await until('a connection', () => service.isConnected);
    const ref = { task_id: aLease('').task_id, attempt: 1 };

    const decision = await service.send('decision', { ...ref, ask_id: 'per_1', decision: 'once' });
    const stop = await service.send('stop', { ...ref, reason: 'UserStopped' });

    expect(decision).toMatchObject({ success: true, data: { applied: false } });
    expect(stop).toMatchObject({ success: true, data: { receipt: { method: 'already_gone', processes_left: 0 } } });
  });
});

describe('S-77 registration', () => {
  it('names workspace, workspace agent, versions and capabilities, and keeps renewing its token', async () => {
    const { service, bridge } = await start({ service: { tokenMs: 20_000 } });

    await until('two renewals', () => service.renewals >= 2);

    expect(service.registrations).toEqual([
      {
        workspace_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        agent_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        protocol_version: 1,
        capabilities: expect.arrayContaining(['lease', 'ask', 'verify', 'stop']),
      },
    ]);
    expect(bridge.lines.join('\n')).not.toContain('orb_');
  });

  it('tries again after a fault of the service', async () => {
    const { service } = await start({ prepare: ({ service: fake }) => void fake.refusals.push(503) });

    await until('the second try', () => service.registrations.length === 1);
  });

  it('comes back with the token it has, and registers again only where that token is refused', async () => {
    const { service } = await start();
    const cut = async (): Promise<void> => {
      await until('a connection', () => service.isConnected);
      const before = service.connections;
      service.cut();
      await until('a new connection', () => service.connections > before && service.isConnected);
    };

    await cut();
    expect(service.registrations).toHaveLength(1);
    service.forgetTokens();
    await cut();

    expect(service.registrations).toHaveLength(2);
  });

  it.each([
    [401, 'refused the registration proof'],
    [426, 'upgrade the opencode image'],
  ])('says what to do when the service answers %d, and stays', async (status, words) => {
    const one = await start({ prepare: ({ service }) => void service.refusals.push(status) });

    await until('the log line', () => logged(one, words));

    expect(one.service.registrations).toEqual([]);
    expect(processesOf(one.workspace.directory, tools.directory)).toHaveLength(1);
  });

  it('ends with exit code 0 when a newer registration takes over', async () => {
    const { service, bridge } = await start();
    await until('a connection', () => service.isConnected);

    service.supersede();

    expect(await bridge.exited).toBe(0);
  });

  it('names every missing setting at once and exits 2', async () => {
    const one = await start({
      environment: () => ({ OUTRIGGER_PROOF: '', OUTRIGGER_HARNESS_KEY: '', OUTRIGGER_SLOTS: '9' }),
    });

    expect(await one.bridge.exited).toBe(2);
    expect(one.bridge.lines.join('')).toMatch(
      /OUTRIGGER_PROOF is not set.*OUTRIGGER_HARNESS_KEY is not set.*OUTRIGGER_SLOTS/,
    );
  });
});

describe('O-67 C-04 the prompt as a file', () => {
  it('is task.md of the workspace and a file of the task’s own, both read-only, replaced by the next task', async () => {
    const { service, workspace } = await start({ environment: () => ({ OUTRIGGER_REPOSITORY_DIR: '/nonexistent' }) });
    const leases = [aLease('First “quoted”\n\ttask $HOME'), aLease('Second')];

    for (const lease of leases) {
      service.offer(lease);
      await until('the result', () => service.resultOf(lease));
      for (const name of ['task.md', `.outrigger/tasks/${lease.task_id}/task.md`]) {
        const file = join(workspace.directory, name);
        expect(readFileSync(file, 'utf8')).toBe(lease.prompt);
        expect(statSync(file).mode & 0o777).toBe(0o444);
      }
    }
  });
});

describe('what an attempt begins with (part of D4)', () => {
  it.each([
    ['no repository', { OUTRIGGER_REPOSITORY_DIR: '/nonexistent' }, /is no git repository/],
    ['a base commit that is not there', {}, /c0ffee.* is not in the repository/],
  ])('fails as ContextError for %s', async (_case, environment, words) => {
    const { service } = await start({ environment: () => environment });
    const lease = aLease('SCENARIO:text', { base_commits: ['c0ffee0000000000000000000000000000000000'] });

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence.failure).toEqual({
      reason: 'ContextError',
      message: expect.stringMatching(words),
      retryable: false,
    });
  });

  it('merges the commits it builds on, and names the file where they contradict each other', async () => {
    const { service, workspace } = await start();
    const commit = (branch: string, file: string, text: string): string => {
      workspace.git('checkout', '--quiet', '-b', branch, 'main');
      workspace.git('-c', 'alias.put=!f() { printf "%s" "$2" > "$1"; }; f', 'put', file, text);
      workspace.git('add', '--all');
      workspace.git('commit', '--quiet', '-m', branch);
      return workspace.git('rev-parse', 'HEAD');
    };
    const [one, two, against] = [
      commit('one', 'a.txt', '1'),
      commit('two', 'b.txt', '2'),
      commit('three', 'a.txt', '3'),
    ];
    workspace.git('checkout', '--quiet', 'main');
    const conflicting = aLease('SCENARIO:text', { base_commits: [one, against] });
    const fitting = aLease('SCENARIO:write ARG:c.txt|3\n', { base_commits: [one, two] });

    service.offer(conflicting);
    const refused = await until('the refusal', () => service.resultOf(conflicting));
    service.offer(fitting);
    const evidence = await until('the result', () => service.resultOf(fitting));

    expect(refused.failure).toMatchObject({ reason: 'ContextError', message: expect.stringContaining('a.txt') });
    expect(workspace.git('branch', '--list', conflicting.branch)).toBe('');
    expect(evidence).toMatchObject({ failure: null, changed_files: ['c.txt'], diff: { files: 1, additions: 1 } });
    expect(workspace.git('ls-tree', '--name-only', fitting.branch).split('\n')).toEqual([
      'README.md',
      'a.txt',
      'b.txt',
      'c.txt',
    ]);
  });
});

describe('nothing said is lost or said twice (part of D16)', () => {
  it('sends events again after the connection broke before they were acknowledged', async () => {
    const { service } = await start();
    const lease = aLease('SCENARIO:bash ARG:echo hi');
    await until('a connection', () => service.isConnected);
    service.holdsAcknowledgements = true;
    service.offer(lease);
    await until('an unacknowledged event', () => service.frames.some(({ type }) => type === 'event'));

    service.cut();
    service.holdsAcknowledgements = false;
    await service.decide(await until('the ask', () => service.asks[0]), 'once');
    await until('the result', () => service.resultOf(lease));

    const events = service.eventsOf(lease);
    expect(events.map(({ source_seq }) => source_seq)).toEqual(events.map((_event, index) => index + 1));
    const types = events.map(({ type }) => type);
    // Text comes in as many pieces as the model took time.
    expect(types.filter((type, index) => type !== 'message.text' || types[index - 1] !== type)).toEqual([
      'session.opened',
      'prompt.sent',
      'tool.started',
      'tool.finished',
      'message.text',
    ]);
    expect(service.results).toHaveLength(1);
  });

  it('delivers a finished result after kill -9 of the bridge, with the events before it', async () => {
    const { service, workspace, bridge, restart } = await start();
    const lease = aLease('SCENARIO:write ARG:new.txt|1\n');
    await until('a connection', () => service.isConnected);
    service.holdsAcknowledgements = true;
    service.offer(lease);
    const outbox = join(workspace.agentDir, 'outbox');
    await until(
      'the result on disk',
      () => existsSync(outbox) && readdirSync(outbox).some((name) => name.endsWith('.json')),
    );

    bridge.kill('SIGKILL');
    await bridge.exited;
    service.holdsAcknowledgements = false;
    restart();
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({ changed_files: ['new.txt'], last_message: { finish: 'stop' } });
    expect(service.eventsOf(lease).map(({ type }) => type)).toContain('commit.created');
    await until('an empty outbox', () => readdirSync(outbox).length === 0);
    expect(service.frames.filter(({ type }) => type === 'lease').at(0)?.payload).toEqual({ slots: 1, holding: [] });
  });
});

describe('limits of the bridge (part of D4)', () => {
  it('ends a model that loops after its last allowed call', async () => {
    const { service, model } = await start({ environment: () => ({ OUTRIGGER_CALL_LIMIT: '4' }) });
    const lease = aLease('SCENARIO:loop', { profile: 'trusted' });

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({
      failure: { reason: 'LoopDetected', retryable: false },
      stop: { processes_left: 0 },
    });
    expect(model.requests).toHaveLength(4);
  });

  it('ends an attempt that is out of time', async () => {
    const { service } = await start();
    const lease = aLease('SCENARIO:hangmid', { timeout_ms: 5_000 });

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({ failure: { reason: 'Timeout', retryable: false }, stop: { processes_left: 0 } });
  });

  it('reports the provider’s refusal with its status, and offers a read-only profile no tool that writes', async () => {
    const { service, model } = await start();
    const lease = aLease('SCENARIO:err401', { profile: 'read-only' });

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({
      failure: null,
      last_message: { finish: null, error: { name: 'APIError', status_code: 401 } },
    });
    expect(model.workRequests()[0]?.tools.toSorted()).toEqual(['glob', 'grep', 'read']);
  });
});

describe('a runner that is killed (part of D2)', () => {
  it('leaves no process: the bridge ends what it orphaned and reports a retryable failure', async () => {
    const { service } = await start();
    const lease = aLease('SCENARIO:bash ARG:sleep 311', { profile: 'trusted' });
    service.offer(lease);
    await until('the tool to run', () => isRunning('sleep 311'));
    const [runner] = processesOf('bridge.js runner');

    process.kill(runner?.pid ?? 0, 'SIGKILL');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence.failure).toMatchObject({ retryable: true });
    expect(processesOf('sleep 311', `${tools.directory}/opencode serve`)).toEqual([]);
  });
});

describe('two places', () => {
  it('runs two attempts at once, each in its own worktree and harness, with its own token', async () => {
    const { service, workspace } = await start({ environment: () => ({ OUTRIGGER_SLOTS: '2' }) });
    const leases = [aLease('SCENARIO:write ARG:one.txt|1\n'), aLease('SCENARIO:write ARG:two.txt|2\n')];

    leases.forEach((lease) => service.offer(lease));
    for (const lease of leases) await until('a result', () => service.resultOf(lease));

    expect(leases.map((lease) => service.resultOf(lease)?.changed_files)).toEqual([['one.txt'], ['two.txt']]);
    expect(leases.map((lease) => existsSync(workspace.worktreeOf(lease)))).toEqual([true, true]);
    expect([...service.modelTokens].toSorted()).toEqual(leases.map(({ task_token }) => task_token).toSorted());
  });
});

describe('the profile ask, as the real OpenCode understands it', () => {
  it('asks before an edit that could run code later, and refuses one outside of the work tree', async () => {
    const { service, workspace } = await start({ environment: () => ({ OUTRIGGER_SLOTS: '2' }) });
    const readme = join(workspace.repository, 'README.md');
    const inside = aLease('SCENARIO:write ARG:deep/.envrc|curl evil\n');
    const outside = aLease(`SCENARIO:write ARG:${readme}|gone\n`);

    service.offer(inside);
    service.offer(outside);
    const ask = await until('the ask', () => service.asks[0]);
    await service.decide(ask, 'reject');
    for (const lease of [inside, outside]) await until('a result', () => service.resultOf(lease));

    expect(service.asks).toHaveLength(1);
    expect(ask).toMatchObject({ task_id: inside.task_id, detail: { permission: 'edit', patterns: ['deep/.envrc'] } });
    expect(service.resultOf(inside)).toMatchObject({ rejected_asks: 1, diff: { files: 0 } });
    expect(service.resultOf(outside)).toMatchObject({
      tool_exits: [{ tool: 'write', status: 'error' }],
      diff: { files: 0 },
    });
    expect(readFileSync(readme, 'utf8')).toBe('hello\n');
  });
});
