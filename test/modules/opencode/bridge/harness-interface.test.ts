import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { templates } from '../../../../stacks/templates.ts';
import { synthesizeTemplate } from '../../../../scripts/template.ts';
import type { Asks } from '../../../../modules/opencode/bridge/asks.ts';
import { makeEventMapper } from '../../../../modules/opencode/bridge/events.ts';
import type { HarnessClient, HarnessEvent, HarnessMessage } from '../../../../modules/opencode/bridge/harness.ts';
import { runTurn } from '../../../../modules/opencode/bridge/turn.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const filesUnder = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path));

/** Programs that would be a second harness, by the names under which they are installed. */
const others =
  /@anthropic-ai\/claude-code|@openai\/codex|@google\/gemini-cli|@github\/copilot|@sourcegraph\/amp|@qwen-code|\b(aider-chat|openhands|goose-cli|charmbracelet\/crush|claude-code|codex-cli)\b/;

/** A harness that is not OpenCode: it says back what it was told, and has neither a port nor a process. */
function echoHarness(): HarnessClient {
  const messages: HarnessMessage[] = [];
  const waiting: ((event: HarnessEvent) => void)[] = [];
  const tell = (event: HarnessEvent): void => waiting.forEach((wake) => wake(event));
  return {
    port: 0,
    health: async () => ({ version: '1' }),
    createSession: async () => 'echo-1',
    hasSession: async (id) => id === 'echo-1',
    rootSessions: async () => ['echo-1'],
    async prompt(sessionID, { messageId, text }) {
      const time = { created: 1, completed: 2 };
      const info = { id: 'answer', role: 'assistant', sessionID, parentID: messageId, finish: 'stop', time } as const;
      messages.push({ info, parts: [{ id: 'p', type: 'text', text: `echo: ${text}` }] });
      tell({ type: 'session.idle', properties: { sessionID } });
    },
    messages: async () => messages,
    busySessions: async () => [],
    abort: async () => undefined,
    asks: async () => [],
    reply: async () => false,
    rejectQuestion: async () => undefined,
    inventory: async () => ({ plugins: [], skills: [], mcp_servers: [], lsp_servers: [] }),
    async *events(signal) {
      yield { type: 'server.connected', properties: {} };
      while (!signal.aborted)
        yield await new Promise<HarnessEvent>((resolve) => {
          waiting.push(resolve);
          signal.addEventListener('abort', () => resolve({ type: 'end', properties: {} }), { once: true });
        });
    },
  };
}

it('O-09 X-10 ships OpenCode as the only harness, behind an interface through which another one holds a turn', async () => {
  // The adapters there are: what makes a client of a harness, and what starts one.
  const bridge = filesUnder('modules/opencode/bridge').filter((path) => path.endsWith('.ts'));
  const makers = bridge.filter((path) => /\): (Promise<)?HarnessClient>? \{/.test(read(path)));
  const starters = bridge.filter((path) => /\[\s*\w+(\.\w+)*, 'serve'/.test(read(path)));
  expect(makers.map((path) => path.split('/').slice(3).join('/')).sort()).toEqual([
    'converse.ts',
    'opencode-1/client.ts',
    'opencode-1/start.ts',
  ]);
  expect(starters).toEqual(['modules/opencode/bridge/opencode-1/start.ts']);
  expect(read(starters[0] ?? '').match(/makeHarnessClient\(/g)).toHaveLength(1);

  // Nothing that is installed, built or rendered brings a second one.
  const places = [
    'package.json',
    'package-lock.json',
    ...filesUnder('modules/executors').filter((path) => /Dockerfile$|packages|package(-lock)?\.json$/.test(path)),
    ...filesUnder('modules/opencode').filter((path) => path.endsWith('Dockerfile')),
  ];
  for (const path of places.filter((one) => !one.includes('node_modules')))
    expect([path, others.exec(read(path))?.[0]]).toEqual([path, undefined]);
  for (const entry of templates) expect(JSON.stringify(synthesizeTemplate(entry))).not.toMatch(others);

  // Another harness, of whatever kind, is driven by the same turn.
  const signal = new AbortController();
  const last = await runTurn(
    {
      client: echoHarness(),
      sessionId: 'echo-1',
      mapper: makeEventMapper(() => undefined, '/workspace'),
      asks: { raise: () => undefined } as unknown as Asks,
      guard: { take: () => undefined },
      steering: { begin: () => undefined },
      emit: () => undefined,
      log: () => undefined,
      signal: signal.signal,
    },
    [{ messageId: 'prompt', partId: 'part', text: 'Say it back.', isContinuation: false }],
  ).finally(() => signal.abort());
  expect(last).toEqual({ finish: 'stop', error: null, text: 'echo: Say it back.' });
});
