import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase } from '../support/database.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';
import { makeApi } from '../support/stage/api.ts';
import { inLog, makeProcesses, type Child } from '../support/stage/processes.ts';

const command = join(import.meta.dirname, '..', '..', 'scripts', 'outrigger.mjs');
let folder: string;
let coder: SimulatedCoder;
let processes: ReturnType<typeof makeProcesses>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-serve-'));
  coder = await startSimulatedCoder();
  processes = makeProcesses();
});
afterEach(async () => {
  await processes.endAll();
  await coder.close();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (change: Record<string, string> = {}): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: folder,
  CODER_URL: coder.url,
  OUTRIGGER_CODER_TOKEN: coder.addUser({ username: `admin-${Math.random().toString(36).slice(2)}`, roles: ['owner'] })
    .token,
  OUTRIGGER_DATA_DIR: join(folder, 'data'),
  OUTRIGGER_LISTEN: '127.0.0.1:0',
  MODEL_UPSTREAM_URL: 'http://127.0.0.1:9/v1',
  OUTRIGGER_MODEL: 'test/none',
  OUTRIGGER_ALLOW_UNPRICED_MODELS: 'true',
  ...change,
});

/** Starts the service and answers it with its address. */
async function serve(change: Record<string, string> = {}): Promise<{ child: Child; url: string }> {
  const log = join(folder, 'service.log');
  const child = processes.start('service', process.execPath, [command, 'serve'], {
    cwd: folder,
    env: environment(change),
    log,
  });
  return { child, url: await child.line(inLog('listening', 'url')) };
}

/** Runs the command to its end. */
const run = (args: readonly string[], env: Record<string, string>): Promise<{ code: number | null; output: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [command, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('close', (code) => resolve({ code, output }));
  });

describe('outrigger serve', () => {
  it('names every bad value at once, repeats none of them, and exits 2', async () => {
    const { code, output } = await run(
      ['serve'],
      environment({ CODER_URL: 'canary-url', OUTRIGGER_LISTEN: 'canary-port', LOG_LEVEL: 'canary-level' }),
    );

    expect(code).toBe(2);
    for (const name of ['CODER_URL', 'OUTRIGGER_LISTEN', 'LOG_LEVEL']) expect(output).toContain(name);
    expect(output).not.toContain('canary');
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('drains on SIGTERM: streams end, the exit code is 0, its Postgres is gone, and the next start has the data', async () => {
    const first = await serve();
    const ada = coder.addUser({ username: 'ada' });
    coder.addWorkspace({ owner: 'ada', name: 'canoe', running: true });
    const api = makeApi(() => first.url, ada.token);
    const task = {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'canoe' } },
    };
    const { id } = await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', task);
    const stream = (async () => {
      const seen: string[] = [];
      for await (const event of api.events(id, 0)) {
        seen.push(event.type);
        if (event.type === 'task.starting') first.child.kill('SIGTERM');
      }
      return seen;
    })();

    expect(await stream).toEqual(['task.queued', 'task.starting']);
    expect(await first.child.exited).toBe(0);
    expect(existsSync(join(folder, 'data', 'postgres', 'cluster', 'data', 'postmaster.pid'))).toBe(false);

    const second = await serve();
    const again = await makeApi(() => second.url, ada.token).get<{ id: string }>(`/api/v2/agents/tasks/${id}`);
    expect(again.id).toBe(id);
  });

  it('P-87 keeps everything in Postgres: its own, or the one that DATABASE_URL names, and no other database', async () => {
    const cluster = join(folder, 'data', 'postgres', 'cluster', 'data', 'PG_VERSION');
    const own = await serve();
    expect(existsSync(cluster)).toBe(true);
    own.child.kill('SIGTERM');
    expect(await own.child.exited).toBe(0);
    rmSync(join(folder, 'data'), { recursive: true });

    const given = await createTestDatabase();
    const keyring = JSON.stringify({ '1': randomBytes(32).toString('base64') });
    const { child } = await serve({
      DATABASE_URL: given.url,
      CREDENTIAL_ENCRYPTION_KEYRING: keyring,
      CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
      AUDIT_SIGNING_KEY: randomBytes(32).toString('base64'),
    });
    const { rows } = await given.database.pool.query<{ count: string }>('select count(*) from outrigger.replica');
    expect(existsSync(cluster)).toBe(false);
    expect(Number(rows[0]?.count)).toBe(1);
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
    await given.drop();

    const lock = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package-lock.json'), 'utf8')) as {
      packages: Record<string, unknown>;
    };
    const names = Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, ''));
    expect(names).toContain('pg');
    expect(names.filter((name) => /mongo|prisma|mysql|sqlite|redis/.test(name))).toEqual([]);
  });

  it('refuses a second service on the same data with exit code 2 and leaves the first alone', async () => {
    const { url } = await serve();

    const { code, output } = await run(['serve'], environment());

    expect(code).toBe(2);
    expect(output).toMatch(/another/i);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  it('says what to do when its address is taken', async () => {
    const { url } = await serve();

    const { code, output } = await run(
      ['serve'],
      environment({ OUTRIGGER_LISTEN: new URL(url).host, OUTRIGGER_DATA_DIR: join(folder, 'other') }),
    );

    expect(code).toBe(2);
    expect(output).toContain('OUTRIGGER_LISTEN');
  });

  it('logs once that plain http is allowed on loopback, and nothing secret', async () => {
    await serve();

    const log = readFileSync(join(folder, 'service.log'), 'utf8');
    expect(log.match(/plain http on loopback is allowed/g)).toHaveLength(1);
    expect(log).not.toMatch(/postgres:\/\/[^[]*:[^[]*@/);
  });
});
