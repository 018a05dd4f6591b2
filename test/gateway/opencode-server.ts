import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const binary = new URL('../../node_modules/opencode-linux-x64/bin/opencode', import.meta.url).pathname;

/** What a turn left behind in the session. */
export interface Turn {
  readonly finish: string | null;
  readonly error: {
    readonly name: string;
    readonly data: { readonly message: string; readonly statusCode?: number };
  } | null;
  readonly text: string;
  readonly tokens: { readonly input: number; readonly output: number; readonly reasoning: number };
}

export interface OpenCodeServer {
  /** Where the agent works; empty at first. */
  readonly workDirectory: string;
  /** Opens a session, or goes on in `sessionId`, and does not wait. Gives the session's id. */
  begin(text: string, sessionId?: string): Promise<string>;
  /** The same, and waits until the session is idle, at most `limitMs`; then it is aborted. */
  prompt(text: string, limitMs: number, sessionId?: string): Promise<Turn>;
  /** SIGKILL, and a fresh start on the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

interface AssistantMessage {
  readonly info: {
    readonly role: string;
    readonly finish?: string;
    readonly error?: NonNullable<Turn['error']>;
    readonly tokens?: Turn['tokens'];
  };
  readonly parts: readonly { readonly type: string; readonly text?: string }[];
}

type Call = (method: string, path: string, body?: unknown) => Promise<unknown>;

/** A real OpenCode that can reach nothing but `baseUrl`. */
export async function startOpenCode(options: { baseUrl: string; apiKey: string }): Promise<OpenCodeServer> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-opencode-'));
  const workDirectory = layOut(directory, options.baseUrl);
  const password = randomBytes(16).toString('hex');
  const launch = async () => {
    const port = await freePort();
    const child = spawn(binary, ['serve', '--port', String(port), '--hostname', '127.0.0.1'], {
      cwd: workDirectory,
      env: environment(directory, password, options.apiKey),
      stdio: 'ignore',
    });
    return { child, call: caller(port, password) };
  };
  const isReady = (call: Call) => () =>
    call('GET', '/global/health').then(
      () => true,
      () => false,
    );
  let server = await launch();
  const close = async (): Promise<void> => {
    await stop(server.child);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await waitFor(150_000, isReady(server.call));
  } catch (error) {
    await close();
    throw error;
  }
  const begin = async (text: string, sessionId?: string): Promise<string> => {
    const id = sessionId ?? ((await server.call('POST', '/session', {})) as { id: string }).id;
    await server.call('POST', `/session/${id}/prompt_async`, { parts: [{ type: 'text', text }] });
    return id;
  };
  return {
    workDirectory,
    close,
    begin,
    async prompt(text, limitMs, sessionId) {
      const before = sessionId === undefined ? 0 : (await assistantMessages(server.call, sessionId)).length;
      const id = await begin(text, sessionId);
      const isOver = async (): Promise<boolean> => {
        const status = (await server.call('GET', '/session/status')) as Record<string, unknown>;
        return status[id] === undefined && (await assistantMessages(server.call, id)).length > before;
      };
      await waitFor(limitMs, isOver).catch(() => server.call('POST', `/session/${id}/abort`));
      return lastTurn(server.call, id);
    },
    async restart() {
      await stop(server.child);
      server = await launch();
      await waitFor(150_000, isReady(server.call));
    },
  };
}

function caller(port: number, password: string): Call {
  return async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`,
        'content-type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(5_000),
    });
    const text = await response.text();
    return text === '' ? null : JSON.parse(text);
  };
}

async function assistantMessages(call: Call, id: string): Promise<AssistantMessage[]> {
  const messages = (await call('GET', `/session/${id}/message`)) as AssistantMessage[];
  return messages.filter(({ info }) => info.role === 'assistant');
}

async function lastTurn(call: Call, id: string): Promise<Turn> {
  const last = (await assistantMessages(call, id)).at(-1);
  return {
    finish: last?.info.finish ?? null,
    error: last?.info.error ?? null,
    text: (last?.parts ?? []).flatMap((part) => (part.type === 'text' ? [part.text ?? ''] : [])).join(''),
    tokens: last?.info.tokens ?? { input: 0, output: 0, reasoning: 0 },
  };
}

function layOut(directory: string, baseUrl: string): string {
  const config = join(directory, 'config', 'opencode');
  const work = join(directory, 'work');
  for (const path of [join(config, 'node_modules'), work, join(directory, 'tmp')]) mkdirSync(path, { recursive: true });
  // With these two files OpenCode asks no registry for its plugin package.
  const dependencies = { '@opencode-ai/plugin': '1.18.33' };
  writeFileSync(join(config, 'package.json'), JSON.stringify({ dependencies }));
  const lock = { name: 'x', lockfileVersion: 3, packages: { '': { dependencies } } };
  writeFileSync(join(config, 'package-lock.json'), JSON.stringify(lock));
  const model = { tool_call: true, limit: { context: 128_000, output: 8_192 } };
  const provider = {
    npm: '@ai-sdk/openai-compatible',
    name: 'Gateway',
    options: { baseURL: baseUrl, apiKey: '{env:GATEWAY_KEY}' },
    models: { default: model },
  };
  writeFileSync(
    join(config, 'opencode.json'),
    JSON.stringify({
      model: 'gateway/default',
      small_model: 'gateway/default',
      enabled_providers: ['gateway'],
      share: 'disabled',
      autoupdate: false,
      provider: { gateway: provider },
    }),
  );
  return work;
}

const environment = (directory: string, password: string, apiKey: string): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: directory,
  XDG_CONFIG_HOME: join(directory, 'config'),
  XDG_DATA_HOME: join(directory, 'share'),
  XDG_STATE_HOME: join(directory, 'state'),
  XDG_CACHE_HOME: join(directory, 'cache'),
  TMPDIR: join(directory, 'tmp'),
  OPENCODE_SERVER_PASSWORD: password,
  GATEWAY_KEY: apiKey,
  OPENCODE_DISABLE_MODELS_FETCH: '1',
  OPENCODE_DISABLE_AUTOUPDATE: '1',
  OPENCODE_DISABLE_SHARE: '1',
  OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  OPENCODE_DISABLE_PROJECT_CONFIG: '1',
  OPENCODE_DISABLE_FFF: '1',
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function waitFor(limitMs: number, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Nothing came of it within ${limitMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The server and everything beneath it; tools run in process groups of their own and would outlive it. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  for (const pid of [child.pid, ...descendants(child.pid)]) kill(pid);
  await gone;
}

function descendants(root: number): number[] {
  const parents = readdirSync('/proc').flatMap((name) => {
    const parent = /^\d+$/.test(name) ? parentOf(name) : undefined;
    return parent === undefined ? [] : [[Number(name), parent] as const];
  });
  const below = (pid: number): number[] =>
    parents.flatMap(([one, parent]) => (parent === pid ? [one, ...below(one)] : []));
  return below(root);
}

function parentOf(pid: string): number | undefined {
  try {
    // The name in parentheses may hold anything; the parent is the second field after it.
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]);
  } catch {
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It went by itself.
  }
}
