import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
  /** Prompts a session of its own and waits until it is idle, at most `limitMs`; then it is aborted. */
  prompt(text: string, limitMs: number): Promise<Turn>;
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

/** A real OpenCode that can reach nothing but `baseUrl`. */
export async function startOpenCode(options: { baseUrl: string; apiKey: string }): Promise<OpenCodeServer> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-opencode-'));
  const port = await freePort();
  const password = randomBytes(16).toString('hex');
  const child = spawn(binary, ['serve', '--port', String(port), '--hostname', '127.0.0.1'], {
    cwd: layOut(directory, options.baseUrl),
    env: environment(directory, password, options.apiKey),
    stdio: 'ignore',
    detached: true,
  });
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
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
  const close = async (): Promise<void> => {
    await stop(child);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await waitFor(60_000, () =>
      call('GET', '/global/health').then(
        () => true,
        () => false,
      ),
    );
  } catch (error) {
    await close();
    throw error;
  }
  return {
    close,
    async prompt(text, limitMs) {
      const { id } = (await call('POST', '/session', {})) as { id: string };
      await call('POST', `/session/${id}/prompt_async`, { parts: [{ type: 'text', text }] });
      const isOver = async (): Promise<boolean> => {
        const status = (await call('GET', '/session/status')) as Record<string, unknown>;
        return status[id] === undefined && (await lastTurn(call, id)) !== undefined;
      };
      await waitFor(limitMs, isOver).catch(() => call('POST', `/session/${id}/abort`));
      return (
        (await lastTurn(call, id)) ?? {
          finish: null,
          error: null,
          text: '',
          tokens: { input: 0, output: 0, reasoning: 0 },
        }
      );
    },
  };
}

async function lastTurn(
  call: (method: string, path: string) => Promise<unknown>,
  id: string,
): Promise<Turn | undefined> {
  const messages = (await call('GET', `/session/${id}/message`)) as AssistantMessage[];
  const last = messages.filter(({ info }) => info.role === 'assistant').at(-1);
  if (last === undefined) return undefined;
  return {
    finish: last.info.finish ?? null,
    error: last.info.error ?? null,
    text: last.parts.flatMap((part) => (part.type === 'text' ? [part.text ?? ''] : [])).join(''),
    tokens: last.info.tokens ?? { input: 0, output: 0, reasoning: 0 },
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

/** The server and whatever it started in its own process group. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  process.kill(-child.pid, 'SIGKILL');
  await gone;
}
