import { Writable } from 'node:stream';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../service/config.ts';
import { createLogger } from '../../service/platform/logger.ts';
import type { Database } from '../../service/platform/database.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { startService, type Service } from '../../service/server.ts';
import { makeTestClock, type TestClock } from './clock.ts';
import { startSimulatedCoder, type SimulatedCoder, type SimulatedCoderOptions } from './coder/simulated-coder.ts';
import { createTestDatabase } from './database.ts';
import { checkShape } from './check-shape.ts';
import { startFakeBridge, type FakeBridge } from './fake-bridge.ts';
import { startScriptedModel, type ScriptedModel } from './model/scripted-model.ts';

/** The real service on a database of its own, beside a simulated Coder and a scripted model. */
export interface TestService {
  readonly url: string;
  readonly service: Service;
  readonly database: Database;
  readonly coder: SimulatedCoder;
  readonly model: ScriptedModel;
  readonly clock: TestClock;
  /** Everything the service logged so far. */
  readonly log: () => string;
  readonly people: {
    readonly ada: Person;
    readonly bob: Person;
    readonly admin: Person;
  };
  /** Ada's running workspace, called `ws-123`. */
  readonly workspace: { readonly id: string; readonly agentId: string };
  call(
    person: Person | null,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  bridge(): Promise<FakeBridge>;
  /** The proof a template would derive for Ada's workspace. */
  proof(): Promise<string>;
  stop(): Promise<void>;
}

export interface Person {
  readonly id: string;
  readonly token: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a test reads any answer
  readonly body: any;
}

/** `options` are those of the simulated Coder. */
export async function startTestService(
  environment: Record<string, string> = {},
  options: Pick<SimulatedCoderOptions, 'organizationId' | 'requestsPerMinute'> = {},
): Promise<TestService> {
  const { url: databaseUrl, database, drop } = await createTestDatabase();
  const coder = await startSimulatedCoder(options);
  const model = await startScriptedModel();
  const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-test-'));
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const bob = coder.addUser({ username: 'bob' });
  const workspace = coder.addWorkspace({ owner: 'ada', name: 'ws-123', running: true });
  const clock = makeTestClock();
  const lines: string[] = [];
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString());
      done();
    },
  });
  const config = loadConfig({
    environment: {
      CODER_URL: coder.url,
      OUTRIGGER_CODER_TOKEN: admin.token,
      DATABASE_URL: databaseUrl,
      OUTRIGGER_DATA_DIR: dataDir,
      OUTRIGGER_LISTEN: '127.0.0.1:0',
      MODEL_UPSTREAM_URL: model.url,
      OUTRIGGER_MODEL: 'scripted/test',
      OUTRIGGER_ALLOW_UNPRICED_MODELS: 'true',
      CREDENTIAL_ENCRYPTION_KEYRING: JSON.stringify({ '1': randomBytes(32).toString('base64') }),
      CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
      AUDIT_SIGNING_KEY: randomBytes(32).toString('base64'),
      ...environment,
    },
    readFile: () => undefined,
    homeDir: dataDir,
    uid: process.getuid?.() ?? 0,
  });
  const service = await startService({ config, clock, log: createLogger({ level: 'trace', destination }) });

  const call: TestService['call'] = async (person, method, path, body, headers = {}) => {
    const response = await fetch(service.url + path, {
      method,
      headers: {
        ...(person === null ? {} : { 'Coder-Session-Token': person.token }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    checkShape(service.routes, method, path, { status: response.status, headers: response.headers, text });
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, body: isJson ? (JSON.parse(text) as unknown) : text };
  };
  const proof = async (): Promise<string> => {
    const { body } = await call(admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
    return deriveProof((body as { secret: string }).secret, workspace.id, ada.id, workspace.agentId);
  };
  return {
    url: service.url,
    service,
    database,
    coder,
    model,
    clock,
    log: () => lines.join(''),
    people: { ada, bob, admin },
    workspace,
    call,
    proof,
    bridge: async () =>
      startFakeBridge({
        url: service.url,
        proof: await proof(),
        workspaceId: workspace.id,
        agentId: workspace.agentId,
      }),
    async stop() {
      await service.stop();
      await model.close();
      await coder.close();
      await drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
