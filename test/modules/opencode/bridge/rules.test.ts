import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BridgeEventType } from '../../../../modules/contract.ts';
import { makeAsks } from '../../../../modules/opencode/bridge/asks.ts';
import { commitMessage, parseNumstat } from '../../../../modules/opencode/bridge/commit.ts';
import { makeEventMapper } from '../../../../modules/opencode/bridge/events.ts';
import { forgetOldTasks } from '../../../../modules/opencode/bridge/forget-tasks.ts';
import { neutralised } from '../../../../modules/opencode/bridge/git.ts';
import type { HarnessClient, HarnessMessage, HarnessPart } from '../../../../modules/opencode/bridge/harness.ts';
import { harnessPassword } from '../../../../modules/opencode/bridge/harness-password.ts';
import { makeLog } from '../../../../modules/opencode/bridge/log.ts';
import { makeOutbox } from '../../../../modules/opencode/bridge/outbox.ts';
import { harnessConfig, writeHarnessFiles } from '../../../../modules/opencode/bridge/opencode-1/files.ts';
import { descendantsOf, parseStat } from '../../../../modules/opencode/bridge/process-tree.ts';
import { refusedEvidence } from '../../../../modules/opencode/bridge/refused-evidence.ts';
import { nextPrompt } from '../../../../modules/opencode/bridge/session.ts';
import { SettingsError, takeSettings } from '../../../../modules/opencode/bridge/settings.ts';
import { outboxKey } from '../../../../modules/opencode/bridge/stored-results.ts';
import { taskDirectories } from '../../../../modules/opencode/bridge/task-directories.ts';
import { lastOfTurn, readMessage, toolExitsOf } from '../../../../modules/opencode/bridge/turn.ts';
import { findRepository, slugOf } from '../../../../modules/opencode/bridge/worktree.ts';
import { aLease } from '../../../support/bridge/bridge-process.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-rules-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const now = (): Date => new Date('2026-01-02T03:04:05Z');

describe('S-53 settings', () => {
  const full = (): Record<string, string> => ({
    OUTRIGGER_URL: 'https://outrigger.example/',
    OUTRIGGER_PROOF: 'kid.proof',
    OUTRIGGER_WORKSPACE_ID: 'w',
    OUTRIGGER_WORKSPACE_AGENT_ID: 'a',
    OUTRIGGER_HARNESS_KEY: 'key',
    CODER_AGENT_TOKEN: 'token',
    OPENCODE_PERMISSION: '{"bash":"allow"}',
    NODE_OPTIONS: '--require /workspace/x.js',
    GOPATH: '/go',
  });

  it('takes every secret out of the environment and lets only the image’s own variables through', () => {
    const environment = full();

    const settings = takeSettings(environment);

    expect(environment).toEqual({ GOPATH: '/go' });
    expect(settings.inherited).toEqual({ GOPATH: '/go' });
    expect(settings).toMatchObject({
      url: 'https://outrigger.example',
      slots: 1,
      relayPort: 3001,
      repositoryDir: null,
      agentDir: '/var/lib/outrigger-agent',
      nixDir: null,
      runDir: '/run/outrigger',
    });
  });

  it.each([
    'AZURE_OPENAI_API_KEY',
    'HF_TOKEN',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'S3_SECRET',
    'X1_PASSWORD',
  ])('keep %s from the agent, which a gateway or broker is for', (name) => {
    const environment = { ...full(), [name]: 'value', CLAUDE_CODE_MAX_OUTPUT_TOKENS: '1', TOKENIZERS_PARALLELISM: '0' };

    expect(Object.keys(takeSettings(environment).inherited)).toEqual([
      'GOPATH',
      'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
      'TOKENIZERS_PARALLELISM',
    ]);
    expect(environment).not.toHaveProperty(name);
  });

  it('take where the repository lies and which part of it is worked on, never beyond the workspace (part of C-09)', () => {
    const given = { GIT_ROOT: '/workspace/src/', GIT_WORKSPACE_DIR: '/workspace/src/app', GIT_REPO_SUBPATH: 'api/' };
    expect(takeSettings({ ...full(), ...given })).toMatchObject({
      gitRoot: '/workspace/src',
      repositoryDir: '/workspace/src/app',
      subpath: 'api',
    });
    expect(takeSettings({ ...full(), GIT_ROOT: '' })).toMatchObject({ gitRoot: '/workspace', subpath: '' });
    for (const [name, value] of [
      ['GIT_ROOT', '/git'],
      ['GIT_ROOT', '/workspace/../etc'],
      ['GIT_WORKSPACE_DIR', '/home/coder'],
      ['GIT_REPO_SUBPATH', '/etc'],
      ['GIT_REPO_SUBPATH', 'a/../../b'],
    ] as const)
      expect(() => takeSettings({ ...full(), [name]: value })).toThrow(`${name} must be`);
  });

  it('names everything that is wrong at once, and takes the secrets out all the same', () => {
    const environment = { ...full(), OUTRIGGER_URL: 'ftp://x', OUTRIGGER_PROOF: ' ', OUTRIGGER_SLOTS: '5' };

    expect(() => takeSettings(environment)).toThrow(SettingsError);
    expect(() =>
      takeSettings({ ...full(), OUTRIGGER_URL: 'ftp://x', OUTRIGGER_PROOF: ' ', OUTRIGGER_SLOTS: '5' }),
    ).toThrow(/OUTRIGGER_URL must be.*OUTRIGGER_PROOF is not set.*OUTRIGGER_SLOTS must be a whole number from 1 to 4/);
    expect(environment).not.toHaveProperty('OUTRIGGER_HARNESS_KEY');
  });

  it('hides a kept secret wherever it appears in a log line', () => {
    const lines: string[] = [];
    const { log, keep } = makeLog({ write: (line) => lines.push(line), now });
    keep('orb_secretsecret');

    log('warn', 'refused', { error: 'GET https://x/?t=orb_secretsecret failed' });

    expect(lines).toEqual([
      '{"time":"2026-01-02T03:04:05.000Z","level":"warn","message":"refused","error":"GET https://x/?t=[redacted] failed"}\n',
    ]);
  });
});

describe('the harness’s configuration', () => {
  it('knows one provider, the relay, with a word instead of a key, and asks no registry', () => {
    const lease = aLease('x', { model: 'acme/big' });
    const directories = taskDirectories(directory, lease.task_id);

    writeHarnessFiles({
      lease,
      directories,
      workTree: { path: directory, folder: directory },
      modelUrl: 'http://127.0.0.1:1/llm/k/v1',
      now: now(),
    });

    const read = (name: string): string => readFileSync(join(directories.config, 'opencode', name), 'utf8');
    expect(JSON.parse(read('opencode.json'))).toMatchObject({
      model: 'outrigger/acme/big',
      small_model: 'outrigger/acme/big',
      enabled_providers: ['outrigger'],
      autoupdate: false,
      share: 'disabled',
      instructions: [],
      provider: {
        outrigger: {
          npm: '@ai-sdk/openai-compatible',
          options: { baseURL: 'http://127.0.0.1:1/llm/k/v1', apiKey: 'relay' },
        },
      },
    });
    expect(JSON.parse(read('package-lock.json'))).toMatchObject({
      packages: { '': { dependencies: { '@opencode-ai/plugin': '1.18.33' } } },
    });
    expect(readdirSync(join(directories.config, 'opencode'))).toContain('node_modules');
    expect(read('plugin/outrigger.js')).toContain('OPENCODE_SERVER_PASSWORD');
    expect(read('opencode.json') + read('plugin/outrigger.js')).not.toContain(lease.task_token);
  });

  it('brings the repository’s AGENTS.md back, which the closed project config drops', () => {
    writeFileSync(join(directory, 'AGENTS.md'), 'Be kind.');
    const lease = aLease('x');

    const config = harnessConfig({
      lease,
      directories: taskDirectories(directory, 't'),
      workTree: { path: directory, folder: directory },
      modelUrl: 'u',
      now: now(),
    });

    expect(config['instructions']).toEqual([join(directory, 'AGENTS.md')]);
  });

  it('forgets the data of a task a month after its last attempt began, and no other', () => {
    for (const [task_id, at] of [
      ['old', '2025-11-01T00:00:00Z'],
      ['recent', '2025-12-20T00:00:00Z'],
    ] as const) {
      const directories = taskDirectories(directory, task_id);
      writeHarnessFiles({
        lease: aLease('x'),
        directories,
        workTree: { path: directory, folder: directory },
        modelUrl: 'u',
        now: new Date(at),
      });
    }

    expect(forgetOldTasks(directory, now())).toEqual(['old']);
    expect(readdirSync(join(directory, 'tasks'))).toEqual(['recent']);
    expect(forgetOldTasks(join(directory, 'nothing'), now())).toEqual([]);
  });

  it('keeps the data of the 64 newest tasks, however many there were in a month', () => {
    for (let minute = 0; minute < 66; minute += 1) {
      const task = join(directory, 'tasks', `task-${minute}`);
      mkdirSync(task, { recursive: true });
      utimesSync(task, now(), new Date(now().getTime() - minute * 60_000));
    }

    expect([...forgetOldTasks(directory, now())].sort()).toEqual(['task-64', 'task-65']);
    expect(readdirSync(join(directory, 'tasks'))).toHaveLength(64);
  });

  it('derives another password for each attempt and key', () => {
    const ref = { task_id: 't', attempt: 1 };
    const all = [harnessPassword('a', ref), harnessPassword('a', { ...ref, attempt: 2 }), harnessPassword('b', ref)];

    expect(new Set(all).size).toBe(3);
    expect(all[0]).toMatch(/^[0-9a-f]{64}$/);
  });
});

const message = (
  id: string,
  role: 'user' | 'assistant',
  more: Partial<HarnessMessage['info']> = {},
  parts: HarnessPart[] = [],
): HarnessMessage => ({
  info: { id, role, sessionID: 'ses_1', time: { created: 1 }, ...more },
  parts,
});

describe('what is said to a session (part of D16)', () => {
  const lease = aLease('Do it.', { attempt: 3 });
  const prompt = message(lease.message_id, 'user');

  it('says the prompt, with the lease’s ids, to a session that never heard it', () => {
    expect(nextPrompt([], lease)).toEqual({
      messageId: lease.message_id,
      partId: lease.part_id,
      text: 'Do it.',
      isContinuation: false,
    });
  });

  it.each([
    ['an unfinished answer', [prompt, message('msg_2', 'assistant', { parentID: lease.message_id })]],
    ['no answer', [prompt]],
    ['an error', [prompt, message('msg_2', 'assistant', { error: { name: 'APIError' }, finish: 'stop' })]],
    ['tools that were called last', [prompt, message('msg_2', 'assistant', { finish: 'tool-calls' })]],
  ])('asks only to go on after %s, with ids of the attempt', (_case, messages) => {
    const said = nextPrompt(messages, lease);

    expect(said).toMatchObject({ isContinuation: true, text: expect.stringMatching(/^The previous attempt/) });
    expect(said?.text).not.toContain('Do it.');
    expect(nextPrompt(messages, lease)).toEqual(said);
    expect(nextPrompt(messages, { ...lease, attempt: 4 })?.messageId).not.toBe(said?.messageId);
    expect(said?.messageId).toMatch(/^msg_[0-9a-f]{26}$/);
  });

  it('says nothing when the turn is complete and only the result was lost', () => {
    expect(
      nextPrompt([prompt, message('msg_2', 'assistant', { finish: 'stop', parentID: lease.message_id })], lease),
    ).toBeNull();
  });
});

describe('what a turn came to (part of D4)', () => {
  it('takes the last assistant message that answers this prompt, not a later turn’s or a child’s', () => {
    const messages = [
      message('u1', 'user'),
      message('a1', 'assistant', { parentID: 'u1', finish: 'tool-calls' }),
      message('a2', 'assistant', { parentID: 'u1', finish: 'stop' }),
      message('u2', 'user'),
    ];

    expect(lastOfTurn(messages, 'u1')?.info.id).toBe('a2');
    expect(lastOfTurn(messages, 'u2')).toBeUndefined();
  });

  it('reads text, finish and error, and cuts what a provider said', () => {
    const error = { name: 'APIError', data: { message: 'x'.repeat(900), statusCode: 402 } };
    const parts = [
      { id: 'p', type: 'reasoning', text: 'hm' },
      { id: 'q', type: 'text', text: 'Half' },
    ];

    expect(readMessage(message('a', 'assistant', { error }, parts))).toEqual({
      finish: null,
      error: { name: 'APIError', message: 'x'.repeat(500), status_code: 402 },
      text: 'Half',
    });
  });

  it('counts an aborted command as ended without an exit, and one that never ended as interrupted', () => {
    const tool = (callID: string, state: HarnessPart['state']): HarnessPart => ({
      id: callID,
      type: 'tool',
      tool: 'bash',
      callID,
      ...(state ? { state } : {}),
    });
    const exits = toolExitsOf([
      message('a', 'assistant', {}, [
        tool('c1', { status: 'completed', metadata: { exit: 2 }, title: 'Run tests' }),
        tool('c2', { status: 'completed', metadata: { exit: null }, input: { command: 'sleep 9' } }),
        tool('c3', { status: 'running', input: { description: 'Wait' } }),
        tool('c4', { status: 'error' }),
      ]),
    ]);

    expect(exits.map(({ status, exit, title }) => [status, exit, title])).toEqual([
      ['completed', 2, 'Run tests'],
      ['completed', null, 'sleep 9'],
      ['interrupted', null, 'Wait'],
      ['error', null, 'bash'],
    ]);
  });
});

describe('events', () => {
  function mapped() {
    const events: [BridgeEventType, Readonly<Record<string, unknown>>][] = [];
    let due = (): void => undefined;
    const schedule = ((work: () => void) => {
      due = work;
      return undefined;
    }) as unknown as typeof setTimeout;
    const mapper = makeEventMapper((type, data) => events.push([type, data]), '/w', schedule);
    return { events, mapper, tick: () => due() };
  }
  const part = (value: Partial<HarnessPart>): never =>
    ({ type: 'message.part.updated', properties: { part: value } }) as never;
  const delta = (partID: string, text: string): never =>
    ({ type: 'message.part.delta', properties: { partID, messageID: 'm', field: 'text', delta: text } }) as never;

  it('joins the pieces of a text until its time has come, and leaves reasoning out', () => {
    const { events, mapper, tick } = mapped();

    mapper.take(part({ id: 'p', type: 'text' }));
    mapper.take(part({ id: 'r', type: 'reasoning' }));
    for (const word of ['One ', 'two ', 'three']) mapper.take(delta('p', word));
    mapper.take(delta('r', 'secret thought'));
    expect(events).toEqual([]);
    tick();

    expect(events).toEqual([['message.text', { message_id: 'm', part_id: 'p', text: 'One two ' }]]);
    mapper.flush();
    expect(events.slice(1)).toEqual([['message.text', { message_id: 'm', part_id: 'p', text: 'three' }]]);
  });

  it('cuts no word and no private key in two, however slowly they come, and loses nothing', () => {
    const { events, mapper, tick } = mapped();
    const key = '-----BEGIN PRIVATE KEY-----\nMIIE\nabcd\n-----END PRIVATE KEY-----';
    const token = `ghp_${'a1'.repeat(18)}`;
    const text = `The token ${token} and the key ${key} are gone. ${'x'.repeat(3_000)}`;

    mapper.take(part({ id: 'p', type: 'text' }));
    for (const piece of text.match(/.{1,7}/gs) ?? []) {
      mapper.take(delta('p', piece));
      tick();
    }
    mapper.flush();

    const texts = events.map(([, data]) => String(data['text']));
    expect(texts.join('')).toBe(text);
    expect(texts.filter((one) => one.includes(token))).toHaveLength(1);
    expect(texts.filter((one) => one.includes(key))).toHaveLength(1);
    expect(texts.length).toBeGreaterThan(5);
  });

  it('tells of a tool once when it starts and once when it ends, after the text before it, without its output', () => {
    const { events, mapper } = mapped();
    const tool = { id: 't', type: 'tool', tool: 'bash', callID: 'c' };
    const input = { command: 'make test' };

    mapper.take(part({ id: 'p', type: 'text' }));
    mapper.take(delta('p', 'Now.'));
    mapper.take(part({ ...tool, state: { status: 'running', input } }));
    mapper.take(part({ ...tool, state: { status: 'running', input, title: 'again' } }));
    const done = {
      status: 'completed',
      input,
      output: 'a secret',
      metadata: { exit: 1 },
      title: 'Tests',
      time: { start: 5, end: 9 },
    };
    mapper.take(part({ ...tool, state: done as never }));

    expect(events).toEqual([
      ['message.text', { message_id: 'm', part_id: 'p', text: 'Now.' }],
      ['tool.started', { call_id: 'c', tool: 'bash', title: 'make test', command: 'make test' }],
      ['tool.finished', { call_id: 'c', tool: 'bash', title: 'Tests', status: 'completed', exit: 1, duration_ms: 4 }],
    ]);
  });

  it('tells of files relative to the work tree and of retries without the provider’s words', () => {
    const { events, mapper } = mapped();

    mapper.take({ type: 'file.edited', properties: { file: '/w/src/a.ts' } });
    mapper.take({
      type: 'session.status',
      properties: { status: { type: 'retry', attempt: 2, message: 'key sk-123 refused', next: 0 } },
    });
    mapper.take({ type: 'plugin.added', properties: {} });

    expect(events).toEqual([
      ['file.edited', { path: 'src/a.ts' }],
      ['model.retry', { retry: 2, next_at: null }],
    ]);
  });
});

describe('asks', () => {
  const recording = () => {
    const replies: unknown[][] = [];
    const client = {
      reply: (...values: unknown[]) => (replies.push(values), Promise.resolve(true)),
    } as unknown as HarnessClient;
    return { replies, client };
  };
  const ask = {
    id: 'per_1',
    sessionID: 'ses_1',
    permission: 'bash',
    patterns: ['ls'],
    metadata: { command: 'ls', nested: {} },
    tool: { messageID: 'm', callID: 'c' },
  };

  it('passes a question on once, bound to its call, and answers once or reject, never always', async () => {
    const { replies, client } = recording();
    const sent: unknown[] = [];
    const asks = makeAsks(
      (one) => sent.push(one),
      () => client,
    );

    asks.raise(ask);
    asks.raise(ask);
    asks.raise({ ...ask, id: 'per_2' });
    const applied = [
      await asks.decide('per_1', 'once'),
      await asks.decide('per_1', 'once'),
      await asks.decide('per_2', 'reject'),
      await asks.decide('per_9', 'once'),
    ];

    expect(sent).toHaveLength(2);
    expect(sent[0]).toEqual({
      ask_id: 'per_1',
      kind: 'permission',
      title: 'bash: ls',
      detail: {
        permission: 'bash',
        patterns: ['ls'],
        session_id: 'ses_1',
        call_id: 'c',
        command: 'ls',
        nested: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      },
    });
    expect(applied).toEqual([true, false, true, false]);
    expect(replies).toEqual([
      ['per_1', 'once'],
      ['per_2', 'reject', expect.stringContaining('not allowed')],
    ]);
    expect([asks.openCount, asks.rejectedCount]).toEqual([0, 1]);
  });
});

describe('git', () => {
  it('answers a setting for every filter and merge driver that a config could name', () => {
    const settings = neutralised(['user.name', 'filter.a.b.clean', 'filter.lfs.process', 'merge.ours.driver']);

    expect(Object.fromEntries(settings)).toEqual({
      'filter.a.b.clean': '',
      'filter.a.b.smudge': '',
      'filter.a.b.process': '',
      'filter.a.b.required': 'false',
      'filter.lfs.clean': '',
      'filter.lfs.smudge': '',
      'filter.lfs.process': '',
      'filter.lfs.required': 'false',
      'merge.ours.driver': 'false',
    });
  });

  it('counts lines and files, binary ones as none', () => {
    expect(parseNumstat('3\t1\ta b.txt\0-\t-\tlogo.png\0')).toEqual({
      diff: { files: 2, additions: 3, deletions: 1 },
      files: ['a b.txt', 'logo.png'],
    });
  });

  it('writes a title of one line and the task as trailer', () => {
    expect(commitMessage({ title: 'Fix\n\nAgent-Task: other', task_id: 't1' })).toBe(
      'Fix Agent-Task: other\n\nAgent-Task: t1\n',
    );
  });

  it('keeps a branch name inside one directory', () => {
    expect(['agent/x', '../../etc', '..', ''].map(slugOf)).toEqual(['agent-x', 'etc', 'task', 'task']);
  });

  it('asks for a choice where the workspace has no repository or several', () => {
    expect(() => findRepository(directory, null)).toThrow(/There is no git repository/);
    expect(() => findRepository(directory, join(directory, 'x'))).toThrow(/OUTRIGGER_REPOSITORY_DIR/);
  });
});

describe('the process tree (part of D2)', () => {
  it('reads the parent behind a command name that holds brackets', () => {
    expect(parseStat(7, '7 (a) (b c) S 3 7 7 0 -1')).toEqual({ pid: 7, parentPid: 3, state: 'S' });
  });

  it('finds children of children and leaves out what it is told to', () => {
    const entry = (pid: number, parentPid: number) => ({ pid, parentPid, state: 'S' });
    const entries = [entry(2, 1), entry(3, 2), entry(4, 3), entry(5, 1), entry(6, 5), entry(9, 8)];

    expect(
      descendantsOf(1, entries)
        .map(({ pid }) => pid)
        .toSorted(),
    ).toEqual([2, 3, 4, 5, 6]);
    expect(
      descendantsOf(1, entries, new Set([5]))
        .map(({ pid }) => pid)
        .toSorted(),
    ).toEqual([2, 3, 4]);
  });
});

describe('the outbox (part of D16)', () => {
  const ref = { task_id: 't', attempt: 1 };
  const newOutbox = () => makeOutbox({ directory, key: outboxKey('key'), log: () => undefined, now });

  it('numbers events without gaps, keeps them until acknowledged, and says nothing after the result', () => {
    const outbox = newOutbox();
    const mine = outbox.open(ref);
    const entry = outbox.entries.get('t.1');

    mine.event('session.opened', { session_id: 's' });
    mine.event('message.text', { text: 'x'.repeat(70_000) });
    mine.event('prompt.sent', {});
    entry?.acknowledge(1);
    entry?.replace(2);
    mine.finish(refusedEvidence(null, 'x'));
    mine.event('message.text', {});

    expect(entry?.events.map(({ source_seq, type, data }) => [source_seq, type, data])).toEqual([
      [2, 'bridge.notice', { notice: 'An event (message.text) was refused.' }],
      [3, 'prompt.sent', {}],
    ]);
  });

  it('finds a result and the events before it again after a restart, until it is delivered', () => {
    const first = newOutbox().open(ref);
    first.event('prompt.sent', {});
    first.finish(refusedEvidence(null, 'x'));

    const again = newOutbox().entries.get('t.1');
    expect(again).toMatchObject({ ref, events: [{ source_seq: 1 }], result: { failure: { retryable: true } } });
    again?.close();

    expect(newOutbox().entries.size).toBe(0);
  });

  it('forgets a fenced attempt', () => {
    const outbox = newOutbox();
    const mine = outbox.open(ref);

    mine.drop();
    mine.event('prompt.sent', {});
    mine.finish(refusedEvidence(null, 'x'));

    expect(outbox.entries.size).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves text out, and nothing else, while the service is away for long', () => {
    const outbox = newOutbox();
    const mine = outbox.open(ref);

    for (let index = 0; index < 2_100; index += 1) mine.event('message.text', {});
    mine.event('commit.created', {});

    expect(outbox.entries.get('t.1')?.events).toHaveLength(2_001);
    expect(outbox.entries.get('t.1')?.events.at(-1)).toMatchObject({ source_seq: 2_001, type: 'commit.created' });
  });
});
