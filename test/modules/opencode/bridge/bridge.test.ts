import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  aLease,
  harnessKeyCanary,
  installTools,
  isRunning,
  processesOf,
  until,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World;

beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
beforeEach(async () => {
  world = await startWorld({
    tools,
    environment: ({ directory }) => ({ GREETING: 'canaryvisible', SCAN: join(directory, 'scan.sh') }),
  });
});
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

describe('P-04 an attempt with the real OpenCode', () => {
  it('edits a file, runs an approved command, commits, verifies after approval and reports the evidence', async () => {
    const { service, workspace } = world;
    const lease = aLease('SCENARIO:bash ARG:echo made by a tool > made.txt && exit 3', {
      verify: {
        argv: ['/bin/sh', '-c', 'cat made.txt; echo "task $TASK_NAME"; env | grep -c OUTRIGGER_'],
        timeout_seconds: 20,
      },
    });

    service.offer(lease);
    const ask = await until('the bash ask', () => service.asks[0]);
    await service.decide(ask, 'once');
    const verifyAsk = await until('the verify ask', () => service.asks[1]);
    await service.decide(verifyAsk, 'once');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(ask).toMatchObject({ kind: 'permission', detail: { command: 'echo made by a tool > made.txt && exit 3' } });
    expect(verifyAsk).toMatchObject({ kind: 'verify', detail: { patch: expect.stringContaining('+made by a tool') } });
    expect(evidence).toMatchObject({
      last_message: { finish: 'stop', error: null, text: 'All done here.' },
      tool_exits: [{ tool: 'bash', status: 'completed', exit: 3 }],
      rejected_asks: 0,
      diff: { files: 1, additions: 1, deletions: 0 },
      changed_files: ['made.txt'],
      branch: lease.branch,
      verify: { exit: 1, timed_out: false, output: 'made by a tool\ntask Do the thing\n0\n' },
      verify_rejected: false,
      failure: null,
      stop: null,
    });
    expect(workspace.git('log', '-1', '--format=%an <%ae>%n%B', lease.branch)).toBe(
      `Ada Agent <ada@example.com>\nDo the thing\n\nAgent-Task: ${lease.task_id}`,
    );
    expect(workspace.git('rev-parse', lease.branch)).toBe(evidence.commit);
    const types = service.eventsOf(lease).map(({ type }) => type);
    // Text comes in as many pieces as the model took time.
    expect(types.filter((type, index) => type !== 'message.text' || types[index - 1] !== type)).toEqual([
      'session.opened',
      'prompt.sent',
      'tool.started',
      'tool.finished',
      'message.text',
      'checkpoint.created',
      'commit.created',
      'verify.started',
      'verify.finished',
    ]);
    expect([...service.modelTokens]).toEqual([lease.task_token]);
  });
});

describe('S-53 secrets of the bridge', () => {
  it('cannot be found by a tool: not in its environment, not in any /proc file, not in argv', async () => {
    const { service, workspace } = world;
    const report = join(workspace.directory, 'leak.txt');
    const script = [
      'env > E',
      'for p in /proc/[0-9]*; do tr "\\0" "\\n" < $p/cmdline >> E; cat $p/environ $p/task/*/environ >> E; done 2>/dev/null',
      'ls -la /proc/[0-9]*/fd >> E 2>/dev/null',
      'grep -rhs . "$HOME" "$XDG_CONFIG_HOME" --include=* >> E',
      `cat /proc/[0-9]*/maps 2>/dev/null | grep -c /opencode > ${report}.maps`,
      `grep -aoE "canary[a-z]+|OPENCODE_SERVER_PASSWORD=[0-9a-f]+|orb_[0-9a-f]+|ort_[0-9a-f]+" E | sort -u > ${report}`,
      'stat -c %s E; rm E',
    ].join('; ');
    // Written to a file: OpenCode refuses a command line that names a path outside of the work tree.
    writeFileSync(join(workspace.directory, 'scan.sh'), script);
    const lease = aLease('SCENARIO:bash ARG:sh $SCAN');

    service.offer(lease);
    await service.decide(await until('the ask', () => service.asks[0]), 'once');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence.tool_exits).toMatchObject([{ status: 'completed', exit: 0 }]);
    // What a tool may see it does see: the scan itself works.
    expect(readFileSync(report, 'utf8').split('\n').filter(Boolean)).toEqual(['canaryvisible']);
    expect(readFileSync(`${report}.maps`, 'utf8').trim()).toBe('0');
    const log = world.bridge.lines.join('\n');
    for (const secret of [service.proof, harnessKeyCanary, lease.task_token, lease.prompt, 'orb_'])
      expect(log).not.toContain(secret);
    expect(log).not.toContain('undumpable');
  });
});

describe('the person’s checkout (part of D4)', () => {
  it('keeps its uncommitted lines and its status, and runs nothing a hostile config names', async () => {
    const { service, workspace } = world;
    const marker = join(workspace.directory, 'pwned');
    writeFileSync(join(workspace.repository, 'README.md'), 'hello\nunfinished line\n');
    writeFileSync(join(workspace.repository, 'scratch.txt'), 'mine\n');
    const evil = join(workspace.directory, 'evil.sh');
    writeFileSync(evil, `#!/bin/sh\ntouch ${marker}\ncat\n`, { mode: 0o755 });
    for (const [name, value] of [
      ['core.fsmonitor', evil],
      ['core.hooksPath', workspace.directory],
      ['filter.evil.clean', evil],
      ['filter.evil.smudge', evil],
      ['filter.evil.required', 'true'],
      ['diff.external', evil],
      ['gpg.program', evil],
      ['commit.gpgSign', 'true'],
    ] as const)
      workspace.git('config', name, value);
    for (const hook of ['post-checkout', 'pre-commit', 'post-commit'])
      writeFileSync(join(workspace.directory, hook), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
    writeFileSync(join(workspace.repository, '.git/info/attributes'), '* filter=evil diff=evil\n');
    const status = [
      '-c',
      'core.fsmonitor=false',
      '-c',
      'filter.evil.clean=',
      '-c',
      'filter.evil.required=false',
      'status',
      '--porcelain',
    ];
    const before = workspace.git(...status);
    const lease = aLease('SCENARIO:write ARG:README.md|rewritten by the agent\n');

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({
      failure: null,
      changed_files: ['README.md'],
      diff: { files: 1, additions: 1, deletions: 1 },
    });
    expect(service.asks).toEqual([]);
    expect(workspace.git(...status)).toBe(before);
    expect(readFileSync(join(workspace.repository, 'README.md'), 'utf8')).toBe('hello\nunfinished line\n');
    expect(existsSync(marker)).toBe(false);
  });
});

describe('an ask that is rejected (part of D4)', () => {
  it('tells the model why, lets the turn go on, counts the rejection and does not run the command', async () => {
    const { service, model } = world;
    const lease = aLease('SCENARIO:bash ARG:touch never', { verify: { argv: ['true'], timeout_seconds: 5 } });

    service.offer(lease);
    await service.decide(await until('the ask', () => service.asks[0]), 'reject', 'Not on a Friday.');
    await service.decide(await until('the verify ask', () => service.asks[1]), 'reject');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({
      last_message: { finish: 'stop' },
      tool_exits: [{ tool: 'bash', status: 'error', exit: null }],
      rejected_asks: 2,
      verify: null,
      verify_rejected: true,
      diff: { files: 0 },
      commit: null,
    });
    expect(JSON.stringify(model.requests)).not.toContain('always');
  });
});

describe('resuming a session (part of D16)', () => {
  it('goes on in attempt 2 after kill -9 of bridge and harness, says the prompt once and keeps the work tree', async () => {
    const { service, workspace, model } = world;
    const first = aLease('SCENARIO:bash ARG:echo one >> log.txt; test -e ready || { touch ready; sleep 300; }');
    service.offer(first);
    await service.decide(await until('the ask', () => service.asks[0]), 'once');
    const worktree = workspace.worktreeOf(first);
    await until('the tool to be in the middle', () => existsSync(join(worktree, 'ready')));
    const opened = await until('session.opened', () =>
      service.eventsOf(first).find(({ type }) => type === 'session.opened'),
    );

    world.bridge.kill('SIGKILL');
    await world.bridge.exited;
    await until(
      'every process of the attempt to be gone',
      () => processesOf(tools.directory, workspace.directory, 'sleep 300').length === 0,
      15_000,
    );
    service.fenced.push({ task_id: first.task_id, attempt: 1 });
    world.restart();
    // The service never heard of the session: the task's own directory knows it.
    const second = { ...first, attempt: 2, session_id: null };
    service.offer(second);
    await service.decide(
      await until('the second ask', () => service.asks.find(({ attempt }) => attempt === 2)),
      'once',
    );
    const evidence = await until('the result', () => service.resultOf(second));

    expect(evidence).toMatchObject({
      session_id: opened.data['session_id'],
      failure: null,
      last_message: { finish: 'stop' },
      tool_exits: [
        { status: 'interrupted', exit: null },
        { status: 'completed', exit: 0 },
      ],
      changed_files: ['log.txt', 'ready'],
    });
    expect(readFileSync(join(worktree, 'log.txt'), 'utf8')).toBe('one\none\n');
    const callsSoFar = model.workRequests().length;
    const third = { ...first, attempt: 3, session_id: evidence.session_id };
    service.offer(third);
    const repeated = await until('the result of attempt 3', () => service.resultOf(third));

    expect(repeated).toMatchObject({
      session_id: evidence.session_id,
      last_message: evidence.last_message,
      commit: evidence.commit,
    });
    expect(model.workRequests()).toHaveLength(callsSoFar);
    const texts = model.workRequests().at(-1)?.userTexts ?? [];
    expect(texts.filter((text) => text === first.prompt)).toHaveLength(1);
    expect(texts).toEqual([first.prompt, expect.stringContaining('The previous attempt')]);
    expect(service.eventsOf(second).map(({ type }) => type)).toContain('session.resumed');
    expect(service.eventsOf(second).map(({ source_seq }) => source_seq)).toEqual(
      service.eventsOf(second).map((_event, index) => index + 1),
    );
  });

  it('reports a retryable failure soon after kill -9 of OpenCode, with nothing left running', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:bash ARG:sleep 301');
    service.offer(lease);
    await service.decide(await until('the ask', () => service.asks[0]), 'once');
    await until('the tool to run', () => isRunning('sleep 301'));
    const [serve] = processesOf(join(tools.directory, 'opencode serve'));

    process.kill(serve?.pid ?? 0, 'SIGKILL');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence.failure).toMatchObject({ reason: 'AgentError', retryable: true });
    expect(processesOf('sleep 301')).toEqual([]);
  });
});

describe('a stop (part of D2)', () => {
  it('ends a daemonized tool that ignores TERM, and proves it', async () => {
    const { service } = world;
    const daemon = `(trap "" TERM; while :; do sleep 302; done)`;
    const lease = aLease(
      `SCENARIO:bash ARG:setsid bash -c '${daemon} & disown' >/dev/null 2>&1 </dev/null; sleep 303`,
      { profile: 'trusted' },
    );
    service.offer(lease);
    await until('both tools to run', () => isRunning('sleep 302') && isRunning('sleep 303'));

    const reply = await service.send('stop', { task_id: lease.task_id, attempt: 1, reason: 'UserStopped' });
    const evidence = await until('the result', () => service.resultOf(lease));
    const again = await service.send('stop', { task_id: lease.task_id, attempt: 1, reason: 'UserStopped' });

    // On a busy machine the harness's own abort may have killed the daemon before our KILL was needed.
    const method = expect.stringMatching(/^(term|kill)$/);
    const receipt = { method, processes_left: 0, tokens_after_stop: 0, stopped_at: expect.any(String) };
    expect(reply).toMatchObject({ success: true, data: { receipt } });
    expect(evidence).toMatchObject({ stop: receipt, failure: null });
    expect(again).toEqual({ ...reply, id: expect.any(String) });
    expect(processesOf('sleep 302', 'sleep 303')).toEqual([]);
  });

  it('aborts a model call that hangs, and says that abort was enough', async () => {
    const { service, model } = world;
    const lease = aLease('SCENARIO:hang');
    service.offer(lease);
    await until('the model to be called', () => model.workRequests().length > 0);

    const reply = await service.send('stop', { task_id: lease.task_id, attempt: 1, reason: 'UserStopped' });

    expect(reply).toMatchObject({
      success: true,
      data: { receipt: { method: 'abort', processes_left: 0, tokens_after_stop: 0 } },
    });
    await until('the call to be cut', () => model.workRequests()[0]?.aborted);
  });

  it('drops a fenced attempt at once and says nothing more about it', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:bash ARG:sleep 304', { profile: 'trusted' });
    service.offer(lease);
    await until('the tool to run', () => isRunning('sleep 304'));

    service.fenced.push({ task_id: lease.task_id, attempt: 1 });
    await until('the tool to be gone', () => processesOf('sleep 304').length === 0);
    await until('the bridge to hold nothing', () => lastHolding()?.length === 0);

    expect(service.results).toEqual([]);
  });

  it('ends cleanly on SIGTERM: stops, reports as retryable, exits 0', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:bash ARG:sleep 305', { profile: 'trusted' });
    service.offer(lease);
    await until('the tool to run', () => isRunning('sleep 305'));

    world.bridge.kill('SIGTERM');

    expect(await world.bridge.exited).toBe(0);
    expect(service.resultOf(lease)).toMatchObject({
      failure: { reason: 'BridgeLost', retryable: true },
      stop: { processes_left: 0 },
    });
    expect(processesOf('sleep 305')).toEqual([]);
  });
});

const lastHolding = (): readonly unknown[] | undefined =>
  (world.service.frames.findLast(({ type }) => type === 'heartbeat')?.payload as { holding: unknown[] } | undefined)
    ?.holding;
