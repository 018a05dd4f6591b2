import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lease } from '../../../modules/contract.ts';
import { harnessEnvironment, writeHarnessFiles } from '../../../modules/opencode/bridge/opencode-1/files.ts';
import { taskDirectories } from '../../../modules/opencode/bridge/task-directories.ts';
import { opencodeBinary } from '../bridge/bridge-process.ts';
import { makeRepository } from '../stage/repository.ts';

const limitMs = 40_000;
const password = 'only for this run';

/** What `opencode run` exits with for the prompt of a lease, with the bridge's own configuration. */
export async function exitOfRun(lease: Lease, modelUrl: string, command: 'run' | 'run --attach'): Promise<number> {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-run-'));
  const path = join(root, 'repository');
  mkdirSync(path);
  makeRepository(path);
  const directories = taskDirectories(root, 'run');
  const workTree = { path, folder: path };
  writeHarnessFiles({ lease, directories, workTree, modelUrl, now: new Date() });
  const env = harnessEnvironment({
    ...{ inherited: {}, directories, path: process.env['PATH'] ?? '', password, lease, context: null },
    gitSettings: [],
  });
  const start = (args: readonly string[]) =>
    spawn(opencodeBinary, args, { cwd: path, env: { ...env }, stdio: ['pipe', 'ignore', 'ignore'] });
  const port = await freePort();
  const attach = ['--attach', `http://127.0.0.1:${port}`, '--password', password, '--dir', path];
  const server = command === 'run' ? null : start(['serve', '--port', String(port), '--hostname', '127.0.0.1']);
  try {
    if (server) await untilHealthy(port);
    const run = start(['run', '--format', 'json', ...(server ? attach : [])]);
    run.stdin.end(lease.prompt);
    const limit = setTimeout(() => run.kill('SIGKILL'), limitMs);
    const code = await new Promise<number | null>((resolve) => run.once('exit', resolve));
    clearTimeout(limit);
    return code ?? -1;
  } finally {
    server?.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function untilHealthy(port: number): Promise<void> {
  const authorization = `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`;
  for (const deadline = Date.now() + 150_000; Date.now() < deadline;) {
    const answer = await fetch(`http://127.0.0.1:${port}/global/health`, {
      headers: { authorization },
      signal: AbortSignal.timeout(2_000),
    }).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('opencode serve did not answer within a minute.');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
