import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HarnessClient } from '../../../modules/opencode/bridge/harness.ts';
import { makeHarnessClient } from '../../../modules/opencode/bridge/opencode-1/client.ts';
import { opencodeBinary } from './bridge-process.ts';

export interface NaiveHarness {
  readonly client: HarnessClient;
  readonly pid: number;
  end(): Promise<void>;
}

/**
 * `opencode serve` as somebody starts it who only names a model: fresh folders, nothing switched off, in a repository
 * whose own configuration counts. What the adapter's start is compared with.
 */
export async function startNaiveHarness(repository: string, modelUrl: string): Promise<NaiveHarness> {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-naive-'));
  mkdirSync(join(root, 'home'));
  const password = 'naive';
  const port = await freePort();
  const provider = {
    npm: '@ai-sdk/openai-compatible',
    name: 'Model',
    options: { baseURL: modelUrl, apiKey: 'none' },
    models: { model: { tool_call: true, limit: { context: 200_000, output: 16_384 } } },
  };
  const child = spawn(opencodeBinary, ['serve', '--port', String(port), '--hostname', '127.0.0.1'], {
    cwd: repository,
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      HOME: join(root, 'home'),
      OPENCODE_SERVER_PASSWORD: password,
      OPENCODE_CONFIG_CONTENT: JSON.stringify({
        model: 'naive/model',
        small_model: 'naive/model',
        provider: { naive: provider },
      }),
    },
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const client = makeHarnessClient({ port, password, directory: repository });
  const limit = Date.now() + 120_000;
  while ((await client.health()) === null) {
    if (Date.now() > limit || child.exitCode !== null) throw new Error('The naive harness did not come up.');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    client,
    pid: child.pid ?? 0,
    async end() {
      child.kill('SIGKILL');
      await gone;
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
