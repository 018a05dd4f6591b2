import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeEventMapper } from '../../../../modules/opencode/bridge/events.ts';
import { AttemptFailure } from '../../../../modules/opencode/bridge/failure.ts';
import type { Harness, HarnessAsk, HarnessMessage } from '../../../../modules/opencode/bridge/harness.ts';
import { lastOfTurn, readMessage, runTurn, toolExitsOf } from '../../../../modules/opencode/bridge/turn.ts';
import type { Asks } from '../../../../modules/opencode/bridge/asks.ts';
import { until } from '../../../support/bridge/bridge-process.ts';
import { eventually } from '../../../support/clock.ts';
import { passwordOfTests, startHarnessProcess, type HarnessProcess } from '../../../support/bridge/harness-process.ts';

export interface Conformance {
  readonly harness: Harness;
  readonly program: string;
  /** The text of a program that answers as this harness does, with the version `0.0.1`; it gets the adapter's arguments. */
  readonly otherVersion: string;
}

type Emitted = readonly [type: string, data: Readonly<Record<string, unknown>>];

/**
 * What the bridge relies on in a harness, whichever it is: the same scenarios for every adapter and every version of one.
 *
 * One program serves all scenarios in the order they stand here, each with a session of its own.
 */
export function conform({ harness, program, otherVersion }: Conformance): void {
  let running: HarnessProcess;
  beforeAll(async () => {
    running = await startHarnessProcess({ harness, program, lease: { profile: 'ask' } });
  }, 200_000);
  afterAll(() => running.end());

  const isIdle = (session: string) =>
    eventually('an idle session', async () => !(await running.client.busySessions()).includes(session));

  let count = 0;
  const ids = () => {
    count += 1;
    return { messageId: `msg_conform${count}`, partId: `prt_conform${count}` };
  };

  /** Holds one turn; `decide` is asked about every call that needs a decision. */
  async function turn(sessionId: string, text: string, decide: (ask: HarnessAsk) => void = () => undefined) {
    const emitted: Emitted[] = [];
    const emit = (type: string, data: Readonly<Record<string, unknown>>): void => void emitted.push([type, data]);
    const over = new AbortController();
    const last = await runTurn(
      {
        client: running.client,
        sessionId,
        mapper: makeEventMapper(emit, running.repository),
        asks: { raise: decide } as unknown as Asks,
        guard: { take: () => undefined },
        steering: { begin: () => undefined },
        emit,
        log: () => undefined,
        signal: over.signal,
      },
      [{ ...ids(), text, isContinuation: false }],
    ).finally(() => over.abort());
    return { last, emitted, messages: await running.client.messages(sessionId) };
  }

  describe('a version', () => {
    it('is what the program says of itself, and what a running one answers with', async () => {
      const home = mkdtempSync(join(tmpdir(), 'outrigger-detect-'));
      const detected = await harness.detect({ path: program, searchPath: '/usr/bin:/bin', home });
      rmSync(home, { recursive: true });

      expect([detected, (await running.client.health())?.version]).toEqual([harness.version, harness.version]);
    });

    it('that the adapter does not drive is refused for good, with both versions in the sentence', async () => {
      const place = mkdtempSync(join(tmpdir(), 'outrigger-other-'));
      const other = join(place, 'other');
      writeFileSync(other, otherVersion, { mode: 0o755 });

      const refused: unknown = await startHarnessProcess({ harness, program: other }).catch((error: unknown) => error);
      rmSync(place, { recursive: true });

      expect(refused).toBeInstanceOf(AttemptFailure);
      expect(refused).toMatchObject({ reason: 'AgentServerNotReady', retryable: false });
      expect((refused as Error).message).toMatch(new RegExp(`0\\.0\\.1.*${harness.version.replaceAll('.', '\\.')}`));
    });

    it('of a program that is not there is unknown', async () => {
      expect(await harness.detect({ path: '/nowhere/harness', searchPath: '', home: '/' })).toBe('unknown');
    });
  });

  describe('a session', () => {
    it('is made, found by its id, listed newest first, and another is not found', async () => {
      const { client } = running;
      const first = await client.createSession('acme/one/1');
      const second = await client.createSession('acme/one/1');

      expect(first).not.toBe(second);
      expect(await client.hasSession(first)).toBe(true);
      expect(await client.hasSession(`${first}x`)).toBe(false);
      expect((await client.rootSessions()).slice(0, 2)).toEqual([second, first]);
      expect(await client.messages(first)).toEqual([]);
    });

    it('hears a prompt once, however often it is said with the same ids', async () => {
      const { client, model } = running;
      const session = await client.createSession('once');
      const prompt = { ...ids(), text: 'SCENARIO:text ARG:Said once.' };
      const before = model.requests.filter(({ isTitle }) => !isTitle).length;

      await client.prompt(session, prompt);
      const answered = (): Promise<HarnessMessage | undefined> =>
        client.messages(session).then((all) => lastOfTurn(all, prompt.messageId));
      await eventually('the answer', async () => (await answered())?.info.finish);
      await client.prompt(session, prompt);
      await isIdle(session);

      const messages = await client.messages(session);
      expect(
        messages.map(({ info, parts }) => [info.role, parts.filter(({ type }) => type === 'text').length]),
      ).toEqual([
        ['user', 1],
        ['assistant', 1],
      ]);
      expect(model.requests.filter(({ isTitle }) => !isTitle).length - before).toBe(1);
      expect(readMessage((await answered()) as HarnessMessage)).toEqual({
        finish: 'stop',
        error: null,
        text: 'Said once.',
      });
    });
  });

  describe('a turn', () => {
    it('streams text and each tool from its start to its end, and leaves a transcript that says the same', async () => {
      const session = await running.client.createSession('turn');

      const { last, emitted, messages } = await turn(session, 'SCENARIO:write ARG:made.txt|By the harness.');

      expect(last).toEqual({ finish: 'stop', error: null, text: 'All done here.' });
      expect(readFileSync(join(running.repository, 'made.txt'), 'utf8')).toBe('By the harness.');
      const types = emitted.map(([type]) => type).filter((type) => /^(tool\.|message\.text)/.test(type));
      expect([...new Set(types)]).toEqual(['tool.started', 'tool.finished', 'message.text']);
      expect(
        emitted
          .filter(([type]) => type === 'message.text')
          .map(([, { text }]) => text)
          .join(''),
      ).toBe('All done here.');
      expect(toolExitsOf(messages)).toMatchObject([{ tool: 'write', status: 'completed' }]);
    });

    it('that the provider refuses ends with its error, not with silence', async () => {
      const session = await running.client.createSession('refused');

      const { last } = await turn(session, 'SCENARIO:err401');

      expect(last).toMatchObject({ finish: null, error: { status_code: 401 } });
    });
  });

  describe('a call that needs a decision', () => {
    it('waits, shows the exact command, and runs once when it is let through', async () => {
      const { client, repository } = running;
      const session = await client.createSession('ask');
      const asked: HarnessAsk[] = [];
      let wasThere: boolean | null = null;

      const { messages } = await turn(session, 'SCENARIO:bash ARG:echo once >> counted.txt', (ask) => {
        asked.push(ask);
        wasThere = existsSync(join(repository, 'counted.txt'));
        void client.asks().then(async (open) => {
          expect(open.map(({ id }) => id)).toContain(ask.id);
          expect(await client.reply(ask.id, 'once')).toBe(true);
        });
      });

      expect(asked).toMatchObject([{ permission: 'bash', metadata: { command: 'echo once >> counted.txt' } }]);
      expect(asked[0]?.sessionID).toBe(session);
      expect(wasThere).toBe(false);
      expect(readFileSync(join(repository, 'counted.txt'), 'utf8')).toBe('once\n');
      expect(toolExitsOf(messages)).toMatchObject([{ tool: 'bash', status: 'completed', exit: 0 }]);
      expect(await client.asks()).toEqual([]);
    });

    it('does not run when it is rejected, and the model goes on', async () => {
      const { client, repository } = running;
      const session = await client.createSession('reject');

      const { last } = await turn(
        session,
        'SCENARIO:bash ARG:touch never.txt',
        (ask) => void client.reply(ask.id, 'reject', 'Do without it.'),
      );

      expect(last).toMatchObject({ finish: 'stop', error: null });
      expect(existsSync(join(repository, 'never.txt'))).toBe(false);
    });

    it('that nobody knows answers false', async () => {
      expect(await running.client.reply('per_nobody', 'once')).toBe(false);
    });
  });

  it('is aborted in the middle of a command: the session is idle, the command gone, and the message says so', async () => {
    const { client } = running;
    const session = await client.createSession('abort');
    const { messageId, partId } = ids();
    await client.prompt(session, { messageId, partId, text: 'SCENARIO:bash ARG:sleep 271' });
    const asked = await eventually('the question', async () => (await client.asks())[0]);
    await client.reply(asked.id, 'once');
    await until('the command', () => isRunning('sleep 271'));
    expect(await client.busySessions()).toContain(session);

    await client.abort(session);

    await isIdle(session);
    await until('its end', () => !isRunning('sleep 271'));
    const settled = (): Promise<HarnessMessage | undefined> =>
      client.messages(session).then((all) => lastOfTurn(all, messageId));
    await eventually('the last word', async () => (await settled())?.info.time.completed);
    expect(readMessage((await settled()) as HarnessMessage).finish).not.toBe('stop');
  });

  it('answers nobody without its password, and shows no secret of ours in a file', async () => {
    const answers = await Promise.all(
      ['/global/health', '/session', '/config'].map(
        async (path) => (await fetch(`http://127.0.0.1:${running.client.port}${path}`)).status,
      ),
    );

    expect(answers).toEqual([401, 401, 401]);
    for (const secret of [passwordOfTests, running.lease.task_token])
      expect(filesBelow(running.root).filter((path) => readFileSync(path).includes(secret))).toEqual([]);
  });

  it('lists what it has loaded: our plugin, and nothing of the repository', async () => {
    expect(await running.client.inventory([running.repository])).toMatchObject({
      plugins: [{ name: 'outrigger', kind: 'file' }],
      mcp_servers: [],
      lsp_servers: [],
    });
  });

  it('finds the session and its transcript after it was killed, and goes on in it', async () => {
    const session = await running.client.createSession('resumed');
    const { messages: before } = await turn(session, 'SCENARIO:text ARG:Before.');

    await running.restart();

    expect(await running.client.hasSession(session)).toBe(true);
    expect(await running.client.messages(session)).toEqual(before);
    const { last } = await turn(session, 'SCENARIO:text ARG:After.');
    expect(last).toEqual({ finish: 'stop', error: null, text: 'After.' });
  }, 200_000);
}

const isRunning = (command: string): boolean =>
  readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() === command;
    } catch {
      return false;
    }
  });

const filesBelow = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
