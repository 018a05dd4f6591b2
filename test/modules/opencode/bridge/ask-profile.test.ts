import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../../../modules/contract.ts';
import { harnessPassword } from '../../../../modules/opencode/bridge/harness-password.ts';
import { judge } from '../../../../service/tasks/judge.ts';
import {
  aLease,
  harnessKeyCanary,
  installTools,
  isRunning,
  processesOf,
  until,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import type { AskPayload } from '../../../support/bridge/fake-service.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';
import { script } from '../../../support/model/scripted-model.ts';
import type { ToolCall } from '../../../support/model/step.ts';

const bash = (command: string): ToolCall => ({ tool: 'bash', arguments: { command, description: 'Does it' } });
const write = (filePath: string): ToolCall => ({ tool: 'write', arguments: { filePath, content: 'planted' } });

/** Scripts in which OpenCode finds no command to ask about, and some in which it does. */
const scripts = [
  '> planted-1',
  'x=1; declare -p x > planted-2',
  'export -p > planted-3',
  'cd . > planted-4',
  '[[ -e x ]] > planted-5',
  '# nothing\n> planted-6',
  'echo hello > planted-7',
];
/** A person would not see where it runs. */
const elsewhere: ToolCall = { tool: 'bash', arguments: { command: 'echo x > planted-8', workdir: 'folder' } };
/** Files that make somebody else's next git, editor or shell run something, by their names and through links. */
const places = [
  'hooks-by-link/pre-commit',
  'hook-by-link',
  'dangling',
  'sub/../.git/config',
  './.git',
  '.gitattributes',
  '.husky/pre-commit',
  '.envrc',
];

let tools: Tools;
let world: World;
let runDir: string;
beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
beforeEach(async () => {
  world = await startWorld({
    tools,
    environment: ({ directory }) => ({ OUTRIGGER_RUN_DIR: (runDir = join(directory, 'run')) }),
    prepare: ({ workspace }) => {
      const { repository, directory } = workspace;
      mkdirSync(join(directory, 'run'));
      // The bridge runs as another user where the tests run as root.
      chmodSync(join(directory, 'run'), 0o777);
      symlinkSync(join(repository, '.git/hooks'), join(repository, 'hooks-by-link'));
      symlinkSync(join(repository, '.git/hooks/post-checkout'), join(repository, 'hook-by-link'));
      symlinkSync(join(directory, 'not-there-yet'), join(repository, 'dangling'));
      symlinkSync('README.md', join(repository, 'readme-by-link'));
      mkdirSync(join(repository, 'folder'));
      writeFileSync(join(repository, 'folder/file'), '');
      workspace.git('add', '.');
      workspace.git('commit', '--quiet', '-m', 'Links');
    },
    plays: script([
      {
        match: /try it all/,
        steps: [...scripts.map(bash), elsewhere, ...places.map(write), write('readme-by-link'), { text: 'Done.' }],
      },
    ]),
  });
});
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

/** Answers every question of a task until its attempt is over. */
async function answerAll(lease: Lease, decision: 'once' | 'reject'): Promise<readonly AskPayload[]> {
  const asks = (): readonly AskPayload[] => world.service.asks.filter((one) => one.attempt === lease.attempt);
  for (let answered = 0; ; answered += 1) {
    await until('a question or the end', () => asks()[answered] ?? world.service.resultOf(lease), 120_000);
    const ask = asks()[answered];
    if (!ask) return asks();
    await world.service.decide(ask, decision, 'No.');
  }
}

describe('profile ask with the real OpenCode (part of D5)', () => {
  it('runs no command unapproved, whatever it looks like, and no edit plants one', async () => {
    const lease = aLease('Please try it all.');
    world.service.offer(lease);

    const asks = await answerAll(lease, 'reject');

    const commands = asks.map(({ detail }) => detail['command']).filter((command) => typeof command === 'string');
    expect(commands).toEqual(scripts.map((command) => (command.startsWith('echo') ? command : `:\n${command}`)));
    const { repository, directory } = world.workspace;
    const worktree = world.workspace.worktreeOf(lease);
    expect(scripts.filter((_one, index) => existsSync(join(worktree, `planted-${index + 1}`)))).toEqual([]);
    const planted = [
      join(repository, '.git/hooks/pre-commit'),
      join(repository, '.git/hooks/post-checkout'),
      join(directory, 'not-there-yet'),
      join(worktree, '.gitattributes'),
      join(worktree, '.husky'),
      join(worktree, '.envrc'),
    ];
    expect(planted.filter((path) => existsSync(path))).toEqual([]);
    expect(readFileSync(join(worktree, '.git'), 'utf8')).toMatch(/^gitdir: /);
    // A link inside of the work tree is an ordinary file to write to.
    expect(readFileSync(join(worktree, 'README.md'), 'utf8')).toBe('planted');
    expect(world.service.resultOf(lease)).toMatchObject({ failure: null, last_message: { finish: 'stop' } });
  });
});

describe('an answer that is not ours (part of D5)', () => {
  it('ends the attempt with proof, as ApprovalBypassed', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:bash ARG:sleep 306');
    service.offer(lease);
    const ask = await until('the ask', () => service.asks[0]);
    const { port } = JSON.parse(readFileSync(join(runDir, 'status.json'), 'utf8')) as { port: number };
    const password = harnessPassword(harnessKeyCanary, lease);
    const answer = await fetch(`http://127.0.0.1:${port}/permission/${ask.ask_id}/reply`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`,
        'content-type': 'application/json',
        'x-opencode-directory': encodeURIComponent(world.workspace.worktreeOf(lease)),
      },
      body: JSON.stringify({ reply: 'always' }),
    });
    expect(answer.status).toBe(200);

    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({
      failure: { reason: 'ApprovalBypassed', retryable: false },
      stop: { processes_left: 0, tokens_after_stop: 0 },
    });
    expect(judge({ evidence, stopReason: null, isVerifyAsked: false })).toMatchObject({
      outcome: 'failed',
      reason: 'ApprovalBypassed',
    });
    expect(processesOf('sleep 306')).toEqual([]);
  });

  it('is nothing bad where the harness only takes a question back, and nobody is waited for any more', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:parallel ARG:touch one ;; touch two');
    service.offer(lease);
    const first = await until('both asks', () => service.asks[1] && service.asks[0]);

    await service.decide(first, 'reject', 'Not this one.');
    const dropped = await until('the other question to be taken back', () =>
      service.eventsOf(lease).find(({ type }) => type === 'approval.withdrawn'),
    );
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(dropped.data).toEqual({ ask_id: service.asks[1]?.ask_id });
    expect(evidence.failure).toBeNull();
  });
});

describe('an attempt that is parked (part of D5, D16)', () => {
  it('is ended while it asks; the next one hears the answer, asks the same again, and the prompt is said once', async () => {
    const { service, model } = world;
    const first = aLease('SCENARIO:bash ARG:echo ran >> ran.txt');
    service.offer(first);
    const ask = await until('the ask', () => service.asks[0]);

    await service.send('stop', { task_id: first.task_id, attempt: 1, reason: 'PermissionRequired' });
    await service.decide(ask, 'once');
    const ended = await until('the result', () => service.resultOf(first));
    expect(ended.stop).toMatchObject({ processes_left: 0, tokens_after_stop: 0 });
    expect(existsSync(join(world.workspace.worktreeOf(first), 'ran.txt'))).toBe(false);

    const answers = [{ title: ask.title, decision: 'once' as const, message: 'Fine.' }];
    const second = { ...first, attempt: 2, session_id: ended.session_id, answers };
    service.offer(second);
    const again = await until('the ask of attempt 2', () => service.asks.find(({ attempt }) => attempt === 2));
    await service.decide(again, 'once');
    const evidence = await until('the result', () => service.resultOf(second));

    const { call_id: _one, session_id: _other, ...call } = again.detail;
    expect(ask.detail).toMatchObject(call);
    expect(evidence).toMatchObject({ session_id: ended.session_id, failure: null, last_message: { finish: 'stop' } });
    expect(readFileSync(join(world.workspace.worktreeOf(first), 'ran.txt'), 'utf8')).toBe('ran\n');
    expect(model.workRequests().at(-1)?.userTexts).toEqual([
      first.prompt,
      expect.stringMatching(/decided now:\n- bash: echo ran.*: allowed\. .* Fine\.\n/),
    ]);
  });
});

describe('D16 five restarts', () => {
  it('say the prompt in one user message, resume one session, and mark each call that was interrupted', async () => {
    const { service, workspace, model } = world;
    const first = aLease('SCENARIO:bash ARG:echo start >> starts.txt; test -e enough || sleep 307');
    const starts = join(workspace.worktreeOf(first), 'starts.txt');
    const sessions = new Set<unknown>();
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      const lease = { ...first, attempt };
      service.offer(lease);
      await service.decide(await until('the ask', () => service.asks.find((one) => one.attempt === attempt)), 'once');
      await until('the tool to run', () => isRunning('sleep 307'));
      const opened = service.eventsOf(lease).find(({ type }) => type.startsWith('session.'));
      sessions.add(opened?.data['session_id']);
      world.bridge.kill('SIGKILL');
      await world.bridge.exited;
      await until('nothing to be left', () => processesOf(tools.directory, 'sleep 307').length === 0, 120_000);
      service.fenced.push({ task_id: first.task_id, attempt });
      world.restart();
    }
    writeFileSync(join(workspace.worktreeOf(first), 'enough'), '');

    const last = { ...first, attempt: 6 };
    service.offer(last);
    await service.decide(await until('the ask', () => service.asks.find(({ attempt }) => attempt === 6)), 'once');
    const evidence = await until('the result', () => service.resultOf(last));

    expect(sessions).toEqual(new Set([evidence.session_id]));
    expect(evidence.last_message).toMatchObject({ finish: 'stop', error: null });
    expect(evidence.tool_exits.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 5 }, () => 'interrupted'),
      'completed',
    ]);
    const texts = model.workRequests().at(-1)?.userTexts ?? [];
    expect(texts.filter((text) => text.includes(first.prompt))).toEqual([first.prompt]);
    expect(readFileSync(starts, 'utf8').split('\n').filter(Boolean)).toHaveLength(6);
  });
});
