import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { auditRoutes } from '../../service/audit/audit-routes.ts';
import { sendProblem } from '../../service/platform/http.ts';
import { alice, chainAll, openAuditWorld, workspace, type AuditWorld } from './audit-harness.ts';

const bob = '55555555-5555-4555-8555-555555555555';
let world: AuditWorld;
let server: Server;
let caller: string;

beforeEach(async () => {
  world = await openAuditWorld();
  caller = alice;
  const [route] = auditRoutes({ database: world.database });
  if (route === undefined) throw new Error('no route');
  const app = express();
  app.use((_request, response, next) => {
    Object.assign(response.locals, { actor: { id: caller, name: 'x', organizationIds: [] }, requestId: 'request-1' });
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

interface Page {
  items: { id: string; action: string; target: { type: string; id: string } }[];
  next_cursor: string | null;
}
const get = async (query = ''): Promise<{ status: number; body: Page }> => {
  const response = await fetch(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v2/agents/audit${query}`,
  );
  return { status: response.status, body: (await response.json()) as Page };
};
const idsOf = async (query = ''): Promise<string[]> => (await get(query)).body.items.map((item) => item.id);

describe('S-62 GET /api/v2/agents/audit', () => {
  it('lists newest first, with the place in the chain', async () => {
    const [first] = await world.append(1);
    await chainAll(world);
    const [second] = await world.append(1);

    const { status, body } = await get();

    expect(status).toBe(200);
    expect(body).toMatchObject({
      items: [
        { id: second, position: null },
        {
          id: first,
          at: '2026-11-21T09:00:00.007Z',
          actor: `user:${alice}`,
          action: 'task.finished',
          target: { type: 'task', id: 'task-0' },
          outcome: 'success',
          workspace_id: workspace,
          request_id: 'request-0',
          data: { attempt: 0, detail: null },
          position: 1,
        },
      ],
      next_cursor: null,
    });
    expect(JSON.stringify(body)).not.toContain('mac');
  });

  it('shows what the caller did and what was done on the caller’s behalf, and nothing of others', async () => {
    const [mine] = await world.append(1, { actor: `user:${alice}`, ownerId: null });
    const [forMe] = await world.append(1, { actor: `bridge:${workspace}`, ownerId: alice });
    const [byOther] = await world.append(1, { actor: `user:${bob}`, ownerId: null });
    const [nobodys] = await world.append(1, { actor: 'service', ownerId: null });

    expect(await idsOf()).toEqual([forMe, mine]);
    caller = bob;
    expect(await idsOf()).toEqual([byOther]);
    expect(await idsOf()).not.toContain(nobodys);
    caller = '%';
    expect(await idsOf()).toEqual([]);
  });

  it('pages without gap or repetition, also while events are added', async () => {
    const ids = await world.append(7);

    const first = await get('?limit=3');
    await world.append(1);
    const second = await get(`?limit=3&cursor=${first.body.next_cursor}`);
    const third = await get(`?limit=3&cursor=${second.body.next_cursor}`);

    expect([first, second, third].flatMap(({ body }) => body.items.map((item) => item.id))).toEqual(ids.toReversed());
    expect(third.body.next_cursor).toBeNull();
  });

  it('filters by task, workflow, workspace and action', async () => {
    const [task] = await world.append(1, { target: { type: 'task', id: 't1' } });
    const [call] = await world.append(1, {
      action: 'model.called',
      target: { type: 'model', id: 'm' },
      data: { task_id: 't1' },
      workspaceId: 'w2',
    });
    const [workflow] = await world.append(1, { target: { type: 'workflow', id: 'f1' } });

    expect(await idsOf('?task=t1')).toEqual([call, task]);
    expect(await idsOf('?workflow=f1')).toEqual([workflow]);
    expect(await idsOf('?workspace=w2')).toEqual([call]);
    expect(await idsOf('?action=model.called&task=t1')).toEqual([call]);
    expect(await idsOf(`?task=${encodeURIComponent("t1' or true --")}`)).toEqual([]);
  });

  it.each(['?limit=0', '?limit=201', '?limit=x', '?cursor=x', '?task=a&task=b'])('refuses %s', async (query) => {
    expect((await get(query)).status).toBe(400);
  });
});
