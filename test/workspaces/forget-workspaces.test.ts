import { randomBytes } from 'node:crypto';
import { DBOSClient } from '@dbos-inc/dbos-sdk';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { makeCaller } from '../../service/coder/caller.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeCoderBuilds } from '../../service/workspaces/coder-builds.ts';
import { forgetDeletedWorkspaces } from '../../service/workspaces/forget-workspaces.ts';
import { finished } from '../support/coder/timeline.ts';
import { connectFakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const hourMs = 3_600_000;

let outrigger: TestService;
/** Of the bridge that `lived` registered. */
let token: string;
beforeEach(async () => {
  outrigger = await startTestService();
});
afterEach(() => outrigger.stop());

/** One round, by the token of a user with this role. */
const sweepAs = (token: string): Promise<number> => {
  const { database, clock, coder } = outrigger;
  const caller = makeCaller({
    url: coder.url,
    serviceToken: token,
    timeoutMs: 20_000,
    clock,
    log: silentLogger,
    record: () => undefined,
  });
  return forgetDeletedWorkspaces({
    database,
    audit: makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger }),
    clock,
    log: silentLogger,
    builds: makeCoderBuilds(caller),
  });
};
const sweep = (): Promise<number> => sweepAs(outrigger.people.admin.token);
const laterSweep = (ms = hourMs): Promise<number> => {
  outrigger.clock.advance(ms);
  return sweep();
};

const tables = ['bridge', 'bridge_frame', 'workspace_ide', 'task', 'audit_event', 'workspace_check'] as const;
/** How many rows each table has for a workspace. */
async function rowsOf(workspaceId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await outrigger.database.pool.query<{ count: number }>(
      `select count(*) from ${table} where workspace_id = $1`,
      [workspaceId],
    );
    counts[table] = rows[0]?.count ?? 0;
  }
  return counts;
}

/** Ada's workspace with a registration, a wish, a command that waits and a task. */
async function lived(): Promise<string> {
  const { id } = outrigger.workspace;
  const bridge = await outrigger.bridge();
  token = bridge.token;
  bridge.close();
  await bridge.closed;
  const path = `/api/v2/agents/workspaces/${id}/ide`;
  const wished = await outrigger.call(outrigger.people.ada, 'POST', path);
  const context = { workspace_id: id };
  const body = { type: 'opencode', payload: { action: 'generate_code', prompt: 'Do it', context } };
  const submitted = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  expect([wished.status, submitted.status]).toEqual([202, 202]);
  return id;
}

/** As Coder answers of a workspace that its database does not hold. */
const vanish = (id: string): void => void outrigger.coder.world.workspaces.delete(id);

/** One round of the running service, as its own schedule makes it every ten minutes. */
async function serviceSweep(): Promise<void> {
  const client = await DBOSClient.create({ systemDatabaseUrl: outrigger.database.url });
  try {
    outrigger.clock.advance(hourMs);
    const round = await client.triggerSchedule('forget-workspaces');
    await round.getResult();
  } finally {
    await client.destroy();
  }
}

describe('a workspace that was deleted', () => {
  it('P-25 is forgotten by the running service on its schedule, once Coder says so and not before', async () => {
    const id = await lived();
    await serviceSweep();
    const before = await rowsOf(id);
    outrigger.coder.buildWorkspace(id, 'delete', { timing: finished });
    await serviceSweep();
    const after = await rowsOf(id);
    const { rows: schedules } = await outrigger.database.pool.query(
      `select schedule, status from dbos.workflow_schedules where schedule_name = 'forget-workspaces'`,
    );

    expect(before).toMatchObject({ bridge: 1, bridge_frame: 1, workspace_ide: 1, task: 1, workspace_check: 1 });
    expect(after).toMatchObject({ bridge: 0, bridge_frame: 0, workspace_ide: 0, task: 1, workspace_check: 0 });
    expect(schedules).toEqual([{ schedule: '*/10 * * * *', status: 'ACTIVE' }]);
    await expect(connectFakeBridge(outrigger.url, token)).rejects.toThrow('401');
  });

  it('is forgotten once Coder says so: registration, token, commands and wish go, tasks and audit stay', async () => {
    const id = await lived();
    const before = await rowsOf(id);
    const early = await laterSweep();
    outrigger.coder.buildWorkspace(id, 'delete', { timing: finished });
    const forgotten = await laterSweep();
    const after = await rowsOf(id);

    expect(before).toMatchObject({ bridge: 1, bridge_frame: 1, workspace_ide: 1, task: 1 });
    expect([early, forgotten]).toEqual([0, 1]);
    expect(after).toMatchObject({ bridge: 0, bridge_frame: 0, workspace_ide: 0, task: 1, workspace_check: 0 });
    expect(after['audit_event']).toBeGreaterThan(before['audit_event'] ?? 0);
    const { rows } = await outrigger.database.pool.query(
      `select actor, owner_id, data->>'existence' as existence from audit_event where action = 'workspace.forgotten'`,
    );
    expect(rows).toEqual([{ actor: 'service', owner_id: outrigger.people.ada.id, existence: 'deleted' }]);
    expect(await laterSweep()).toBe(0);
  });

  it('is forgotten when Coder has not known it twice, an hour apart, and not before', async () => {
    const id = await lived();
    vanish(id);
    const forgotten = [await laterSweep(), await laterSweep(hourMs - 60_000), await laterSweep(60_000)];

    expect(forgotten).toEqual([0, 0, 1]);
    expect(await rowsOf(id)).toMatchObject({ bridge: 0, workspace_ide: 0, task: 1 });
  });
});

describe('a workspace that only looks deleted', () => {
  it('is kept where it is known again by the second time', async () => {
    const id = await lived();
    const workspace = outrigger.coder.world.workspaces.get(id);
    vanish(id);
    const first = await laterSweep();
    if (workspace) outrigger.coder.world.workspaces.set(id, workspace);
    const second = await laterSweep();
    vanish(id);
    const third = await laterSweep();

    expect([first, second, third]).toEqual([0, 0, 0]);
    expect(await rowsOf(id)).toMatchObject({ bridge: 1, workspace_ide: 1 });
  });

  it('is kept while the service’s own token may not read workspaces', async () => {
    const id = await lived();
    const blind = outrigger.coder.addUser({ username: 'blind' });
    for (let round = 0; round < 4; round += 1) {
      outrigger.clock.advance(hourMs);
      expect(await sweepAs(blind.token)).toBe(0);
    }

    expect(await rowsOf(id)).toMatchObject({ bridge: 1, workspace_ide: 1 });
  });

  it('is kept while Coder is away, and the round ends there', async () => {
    const id = await lived();
    outrigger.coder.fail('GET /api/v2/workspaces/{workspace}', 502);
    const away = [await laterSweep(), await laterSweep()];

    expect(away).toEqual([0, 0]);
    expect(await rowsOf(id)).toMatchObject({ bridge: 1, workspace_ide: 1 });
  });

  it('is not even asked about while its bridge is heard', async () => {
    const bridge = await outrigger.bridge();
    vanish(outrigger.workspace.id);
    const seen: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      outrigger.clock.advance(hourMs);
      await bridge.request('heartbeat', { holding: [], status: 'idle' });
      seen.push(await sweep());
    }
    bridge.close();

    expect(seen).toEqual([0, 0, 0]);
    expect(await rowsOf(outrigger.workspace.id)).toMatchObject({ bridge: 1, workspace_check: 0 });
  });
});
