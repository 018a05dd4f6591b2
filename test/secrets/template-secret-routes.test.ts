import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sendProblem } from '../../service/platform/http.ts';
import { makeSeal } from '../../service/platform/seal.ts';
import { templateSecretRoutes } from '../../service/secrets/template-secret-routes.ts';
import { makeTemplateSecrets } from '../../service/secrets/template-secrets.ts';
import { alice, openAuditWorld, type AuditWorld } from '../audit/audit-harness.ts';

const organizationId = '33333333-3333-4333-8333-333333333333';
const other = '44444444-4444-4444-8444-444444444444';
let world: AuditWorld;
let server: Server;
let organizationIds: string[];
const asked: string[] = [];

beforeEach(async () => {
  world = await openAuditWorld();
  organizationIds = [organizationId];
  asked.length = 0;
  const seal = makeSeal({ keyring: new Map([['1', Buffer.alloc(32, 3)]]), current: '1' });
  const secrets = makeTemplateSecrets({ database: world.database, seal, audit: world.audit, clock: world.clock });
  const [route] = templateSecretRoutes({
    database: world.database,
    secrets,
    audit: world.audit,
    mayAdministerTemplates: (_request, _response, organization) => {
      asked.push(organization);
      return Promise.resolve(organization === organizationId);
    },
  });
  if (route === undefined) throw new Error('no route');
  const app = express();
  app.use(express.json());
  app.use((_request, response, next) => {
    Object.assign(response.locals, { actor: { id: alice, name: 'alice', organizationIds }, requestId: 'request-1' });
    next();
  });
  app[route.method](route.path, route.handler);
  app.use((error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) =>
    sendProblem(response, error),
  );
  await new Promise<void>((resolve) => (server = app.listen(0, '127.0.0.1', () => resolve())));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await world.drop();
});

const post = (name: string, body?: unknown) =>
  fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v2/agents/templates/${name}/secrets`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const events = async () =>
  (
    await world.database.pool.query<Record<string, unknown>>(
      'select actor, action, outcome, request_id, organization_id from audit_event',
    )
  ).rows;
const stored = async () => (await world.database.pool.query('select * from template_secret')).rows.length;

describe('POST /api/v2/agents/templates/{name}/secrets', () => {
  it('S-21 answers a template admin with the secret, once, and forbids to keep the answer', async () => {
    const response = await post('docker');

    expect(response.status).toBe(201);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const { secret, kid } = (await response.json()) as { secret: string; kid: string };
    expect(secret).toMatch(new RegExp(`^ors_${kid}_[A-Za-z0-9_-]{43}$`));
    expect(await events()).toEqual([
      {
        actor: `user:${alice}`,
        action: 'template_secret.minted',
        outcome: 'success',
        request_id: 'request-1',
        organization_id: organizationId,
      },
    ]);
  });

  it('refuses who may not update templates there, stores nothing and audits the refusal', async () => {
    const response = await post('docker', { organization_id: other });

    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'template_update_forbidden' });
    expect(asked).toEqual([other]);
    expect(await stored()).toBe(0);
    expect(await events()).toMatchObject([{ outcome: 'denied', organization_id: other }]);
  });

  it('asks a member of several organizations which one', async () => {
    organizationIds = [organizationId, other];

    const response = await post('docker', {});

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'organization_missing' });
  });

  it.each([
    ['a name Coder would not take', 'two--hyphens', {}],
    ['an organization that is no UUID', 'docker', { organization_id: 'x' }],
    ['a field nobody knows', 'docker', { secret: 'ors_mine' }],
  ])('refuses %s and stores nothing', async (_what, name, body) => {
    const response = await post(name, body);

    expect(response.status).toBe(400);
    expect(await stored()).toBe(0);
  });
});
