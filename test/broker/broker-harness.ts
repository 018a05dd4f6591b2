import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { saveEntry } from '../../service/agents/agent-entry-store.ts';
import type { Credential } from '../../service/agents/agent-entry.ts';
import { makeBroker, type Broker } from '../../service/broker/broker.ts';
import type { GitLimits } from '../../service/broker/git-call.ts';
import { makeGateway, type TaskIdentity } from '../../service/gateway/gateway.ts';
import { createLogger } from '../../service/platform/logger.ts';
import { makeWebServer } from '../../service/platform/web-server.ts';
import { makeGuards } from '../../service/server-guards.ts';
import { makeTestClock, type TestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startGitForge, type GitForge } from '../support/git-forge.ts';

/** What the forge demands; nothing of ours may ever show it. */
export const canary = `canary-${randomBytes(12).toString('hex')}`;

export interface GitRun {
  readonly exit: number;
  /** Output and errors together. */
  readonly text: string;
}

export interface AuditRow {
  readonly actor: string;
  readonly action: string;
  readonly outcome: string;
  readonly target_id: string;
  readonly owner_id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The real broker and the real guard over HTTP, between the real git and a real forge. */
export interface BrokerHarness {
  readonly broker: Broker;
  readonly forge: GitForge;
  readonly clock: TestClock;
  readonly data: TestDatabase;
  readonly url: string;
  readonly identity: TaskIdentity;
  readonly token: string;
  /** Parameters of the workspace's build. */
  readonly parameters: Map<string, string>;
  /** Writes the organization's only agent entry, `opencode`. */
  give(...credentials: Partial<Credential>[]): Promise<void>;
  revoke(): Promise<void>;
  /** Runs git in a folder below a temporary one, with the task's token. */
  git(folder: string, ...args: string[]): Promise<GitRun>;
  /** The address of a repository at the broker. */
  at(path: string): string;
  readonly folder: string;
  log(): string;
  audit(): Promise<readonly AuditRow[]>;
  close(): Promise<void>;
}

export async function startBroker(
  options: { limits?: Partial<GitLimits>; allowLoopback?: boolean } = {},
): Promise<BrokerHarness> {
  const data = await createTestDatabase();
  const clock = makeTestClock();
  const lines: string[] = [];
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString());
      done();
    },
  });
  const log = createLogger({ level: 'trace', destination });
  const forge = await startGitForge({ username: 'x-access-token', password: canary });
  forge.addRepository('acme/app');
  const audit = makeAuditLog({ database: data.database, keys: { hmac: randomBytes(32) }, clock, log });
  const gateway = makeGateway({
    database: data.database,
    upstream: { url: 'http://127.0.0.1:9', apiKey: null, timeoutMs: 1_000 },
    defaultModel: 'm',
    allowedModels: null,
    prices: { taken: '2026-11-21', models: new Map() },
    clock,
    log,
  });
  const parameters = new Map([['git_repository', `http://${forge.host}/acme/app.git`]]);
  const broker = makeBroker({
    database: data.database,
    audit,
    secrets: { open: (_places, { key }) => Promise.resolve(key === 'token' ? `${canary}\n` : null) },
    coder: {
      readWorkspace: (id) => Promise.resolve({ id, buildId: 'build' } as never),
      buildParameters: () => Promise.resolve(parameters),
    },
    authenticate: gateway.authenticate,
    clock,
    allowLoopback: options.allowLoopback ?? true,
    ...(options.limits ? { limits: options.limits } : {}),
  });
  const web = makeWebServer({
    guards: makeGuards({} as never, gateway),
    routes: broker.routes,
    bodyLimitBytes: 1_000,
    clock,
    log,
  });
  const address = await web.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${address.port}`;
  const identity: TaskIdentity = {
    taskId: randomUUID(),
    attempt: 1,
    workspaceId: randomUUID(),
    ownerId: randomUUID(),
    organizationId: randomUUID(),
    model: 'm',
  };
  const token = await data.database.transaction((tx) => gateway.mintTaskToken(tx, identity));
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-broker-'));

  const harness: BrokerHarness = {
    broker,
    forge,
    clock,
    data,
    url,
    identity,
    token,
    parameters,
    folder,
    async give(...credentials) {
      const spec = {
        credentials: credentials.map((one, index) => ({
          name: `token-${index}`,
          secretRef: { name: 'git', key: 'token' },
          env: 'GITHUB_TOKEN',
          host: forge.host,
          ...one,
        })),
      };
      await data.database.transaction((tx) =>
        saveEntry(tx, {
          organizationId: identity.organizationId,
          name: 'opencode',
          spec,
          updatedAt: clock.now(),
          updatedBy: 'user:x',
        }),
      );
    },
    revoke: () => data.database.transaction((tx) => gateway.revokeTaskTokens(tx, identity.taskId)),
    git: (where, ...args) => runGit(join(folder, where), token, args),
    at: (path) => `${url}/git/${forge.host}/${path}`,
    log: () => lines.join(''),
    audit: async () => (await data.database.pool.query<AuditRow>('select * from audit_event order by id')).rows,
    async close() {
      await broker.close();
      await web.close(0);
      await gateway.close();
      await forge.close();
      await data.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return harness;
}

function runGit(directory: string, token: string, args: readonly string[]): Promise<GitRun> {
  const child = spawn('git', ['-C', directory, '-c', `http.extraHeader=Authorization: Bearer ${token}`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_AUTHOR_NAME: 'Agent',
      GIT_AUTHOR_EMAIL: 'agent@example.com',
      GIT_COMMITTER_NAME: 'Agent',
      GIT_COMMITTER_EMAIL: 'agent@example.com',
    },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => (text += piece.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ exit: code ?? -1, text }));
  });
}
