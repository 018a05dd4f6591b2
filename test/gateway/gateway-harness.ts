import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:http';
import express from 'express';
import { pino } from 'pino';
import { Writable } from 'node:stream';
import { makeGateway, type Gateway, type GatewayOptions, type TaskIdentity } from '../../service/gateway/gateway.ts';
import { uuidv7, type Clock } from '../../service/platform/clock.ts';
import type { Database } from '../../service/platform/database.ts';
import { sendProblem } from '../../service/platform/http.ts';
import { createTestDatabase } from '../support/database.ts';
import { startScriptedModel, type ScriptedModel, type ScriptedModelOptions } from '../support/model/scripted-model.ts';

export const providerKey = 'sk-canary-7d1f0b52e6';

export interface GatewayHarness {
  readonly gateway: Gateway;
  readonly model: ScriptedModel;
  readonly database: Database;
  readonly clock: { advance(milliseconds: number): void } & Clock;
  /** Base URL for OpenAI-compatible clients. */
  readonly url: string;
  /** Every line the gateway logged. */
  readonly log: () => string;
  readonly rows: () => Promise<Record<string, unknown>[]>;
  newTask(model?: string, attempt?: number): Promise<{ identity: TaskIdentity; token: string }>;
  /** One completion request, as a harness sends it. */
  ask(token: string, prompt: string, more?: Record<string, unknown>, signal?: AbortSignal): Promise<Response>;
  close(): Promise<void>;
}

export type HarnessOptions = Partial<Omit<GatewayOptions, 'database' | 'clock' | 'log' | 'upstream'>> & {
  readonly model?: ScriptedModelOptions;
  readonly upstreamUrl?: string;
  readonly timeoutMs?: number;
  /** Of the service; null for none. */
  readonly apiKey?: string | null;
} & Pick<GatewayOptions['upstream'], 'isLocalOnly' | 'resolve'>;

/** The real gateway over real HTTP and a real database, in front of the scripted model. */
export async function startGateway(options: HarnessOptions = {}): Promise<GatewayHarness> {
  const { model: modelOptions, upstreamUrl, timeoutMs, apiKey = providerKey, ...rest } = options;
  const { isLocalOnly = false, resolve, ...gatewayOptions } = rest;
  const { database, drop } = await createTestDatabase();
  const model = await startScriptedModel(modelOptions);
  const clock = movableClock();
  const lines: string[] = [];
  const destination = new Writable({
    write(piece: Buffer, _encoding, done) {
      lines.push(piece.toString());
      done();
    },
  });
  const gateway = makeGateway({
    defaultModel: 'scripted/model',
    allowedModels: ['scripted/model', 'scripted/other'],
    prices: { taken: '2026-11-21', models: new Map() },
    allowUnpriced: true,
    wait: () => Promise.resolve(),
    ...gatewayOptions,
    database,
    upstream: {
      ...{ url: upstreamUrl ?? model.url, apiKey, timeoutMs: timeoutMs ?? 5_000, isLocalOnly },
      ...(resolve === undefined ? {} : { resolve }),
    },
    clock,
    log: pino({ level: 'trace' }, destination),
  });
  const server = await listen(gateway);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/llm/v1`;
  return {
    gateway,
    model,
    database,
    clock,
    url,
    log: () => lines.join(''),
    rows: async () => (await database.pool.query<Record<string, unknown>>('select * from model_call order by id')).rows,
    async newTask(name = 'outrigger/default', attempt = 1) {
      const identity = {
        taskId: uuidv7(),
        attempt,
        workspaceId: uuidv7(),
        ownerId: uuidv7(),
        organizationId: uuidv7(),
        model: name,
      };
      return { identity, token: await database.transaction((tx) => gateway.mintTaskToken(tx, identity)) };
    },
    ask: (token, prompt, more, signal) =>
      fetch(`${url}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, 'x-session-id': 'ses_1' },
        body: JSON.stringify({
          model: 'outrigger/default',
          stream: true,
          tools: [{ type: 'function', function: { name: 'bash', parameters: {} } }],
          messages: [{ role: 'user', content: prompt }],
          ...more,
        }),
        ...(signal === undefined ? {} : { signal }),
      }),
    async close() {
      await gateway.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      await model.close();
      await drop();
    },
  };
}

function movableClock(): GatewayHarness['clock'] {
  let now = Date.parse('2026-11-21T12:00:00Z');
  return { now: () => new Date(now), advance: (milliseconds) => void (now += milliseconds) };
}

/** The guard `task` as the server puts it before every route. */
async function listen(gateway: Gateway): Promise<Server> {
  const app = express();
  for (const route of gateway.routes) {
    app[route.method](route.path, async (request, response, next) => {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
      response.locals['task'] = await gateway.authenticate(token);
      await route.handler(request, response, next);
    });
  }
  app.use((error: unknown, _request: express.Request, response: express.Response, next: express.NextFunction) => {
    if (response.headersSent) return next(error);
    sendProblem(response, error);
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Looks until `holds` or `limitMs` are over; the assertion after it says which. */
export async function until(holds: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds()) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
}
