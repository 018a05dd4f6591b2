import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { runAuditVerify } from '../../scripts/audit.ts';
import { until } from '../support/engine-harness.ts';
import { startReplicas, type Replicas } from '../support/replicas/replicas.ts';
import { startRestartablePostgres, type RestartablePostgres } from '../support/replicas/restartable-postgres.ts';

/**
 * Work that one version began is finished by the next, and by the first again after a roll-back.
 *
 * `UPGRADE_FROM` is a checkout of the earlier version, which `scripts/test-upgrade.sh` makes; without it the version is
 * this one all along, and what is shown is that nothing is lost when both processes are replaced while work is under way.
 * `UPGRADE_TASKS` (20) tasks are in flight when the first version ends.
 */
const earlierDir = process.env['UPGRADE_FROM'];
const tasks = Number(process.env['UPGRADE_TASKS'] ?? 20);
/** A version from before roll-backs were thought of refuses migrations it does not know. */
const mustForget = process.env['UPGRADE_FORGET'] === '1';
const workspaces = 10;

let postgres: RestartablePostgres | undefined;
let replicas: Replicas | undefined;
afterEach(async () => {
  await replicas?.end();
  await postgres?.end();
});

describe(`an upgrade and a roll-back with ${tasks} tasks in flight`, () => {
  it(`loses none of ${tasks} tasks, does none twice and keeps the audit whole (from ${earlierDir ?? 'this version'})`, async () => {
    postgres = await startRestartablePostgres();
    replicas = await startReplicas({
      databaseUrl: postgres.url,
      count: 2,
      ...(earlierDir === undefined ? {} : { codeDir: earlierDir }),
    });
    const { api, forge } = replicas;
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const all = replicas;
    const workers = await Promise.all(
      Array.from({ length: workspaces }, (_none, index) =>
        all.addWorker(`ws-${index}`, { slots: 4, workMs: 100, gate }),
      ),
    );
    const ids = new Map<string, string>();
    const submit = async (key: string): Promise<void> => {
      const workspaceId = workers[ids.size % workspaces]?.workspaceId ?? '';
      const payload = {
        action: 'generate_code',
        prompt: `Do it, and push as ${key} once.`,
        context: { workspace_id: workspaceId },
      };
      const { id } = await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', { type: 'opencode', payload });
      ids.set(key, id);
    };
    const finished = async (): Promise<number> => {
      const rows = await postgres?.query<{ n: number }>(
        `select count(*)::int as n from outrigger.task where state = 'finished'`,
      );
      return rows?.[0]?.n ?? 0;
    };
    for (let number = 1; number <= tasks; number += 1) await submit(`first-${number}`);
    await until(
      'every place to be taken',
      () => workers.reduce((sum, one) => sum + one.begun.length, 0) >= Math.min(tasks, workspaces * 4),
      120_000,
    );
    const known = await postgres.query<{ name: string; timestamp: string }>('select * from outrigger.kysely_migration');

    // One process after the other, so that for a while both versions work side by side.
    await replace(all, 0, 'SIGTERM', undefined);
    open();
    await until('a quarter to be finished by both versions', async () => (await finished()) >= tasks / 4, 300_000);
    await replace(all, 1, 'SIGKILL', undefined);
    const later = await postgres.query<{ name: string; timestamp: string }>('select * from outrigger.kysely_migration');
    await submit('second-1');
    await until('half to be finished by the new version', async () => (await finished()) >= tasks / 2, 300_000);

    // And back: what the new version began is now the earlier one's.
    await end(all, 0, 'SIGTERM');
    await end(all, 1, 'SIGKILL');
    if (mustForget) await forget(postgres, known);
    for (const stage of all.stages) await stage.startService(earlierDir);
    await submit('third-1');
    await until(
      'three quarters to be finished after the roll-back',
      async () => (await finished()) >= (tasks * 3) / 4,
      300_000,
    );

    await end(all, 0, 'SIGTERM');
    await end(all, 1, 'SIGTERM');
    if (mustForget) await remember(postgres, later);
    for (const stage of all.stages) await stage.startService();
    await until('everything to be finished', async () => (await finished()) === ids.size, 300_000);

    for (const id of ids.values())
      expect(await api.get(`/api/v2/agents/tasks/${id}`)).toMatchObject({ state: 'finished', outcome: 'succeeded' });
    expect([...forge.counts].map(([key]) => key.replace(/\/\d+$/, '')).toSorted()).toEqual([...ids.keys()].toSorted());
    expect([...forge.counts.values()].filter((count) => count !== 1)).toEqual([]);
    const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-verify-'));
    const { auditSigningKey } = all.keys;
    const report = await runAuditVerify({ dataDir, databaseUrl: postgres.url, auditSigningKey }).finally(() =>
      rmSync(dataDir, { recursive: true }),
    );
    expect(report).toMatchObject({ ok: true, faults: [] });
    process.stderr.write(
      `${ids.size} tasks from ${earlierDir ?? 'this version'}: ${later.length - known.length} migrations there and back\n`,
    );
  }, 1_500_000);
});

async function end({ stages }: Replicas, index: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const service = stages[index]?.service();
  service?.kill(signal);
  await service?.exited;
}

async function replace(
  all: Replicas,
  index: number,
  signal: 'SIGTERM' | 'SIGKILL',
  codeDir: string | undefined,
): Promise<void> {
  await end(all, index, signal);
  await all.stages[index]?.startService(codeDir);
}

/** What an operator would have to do by hand to go back to such a version. */
const forget = (postgres: RestartablePostgres, known: readonly { readonly name: string }[]): Promise<unknown> =>
  postgres.query('delete from outrigger.kysely_migration where name <> all($1)', [known.map(({ name }) => name)]);

const remember = (
  postgres: RestartablePostgres,
  all: readonly { readonly name: string; readonly timestamp: string }[],
): Promise<unknown> =>
  postgres.query(
    `insert into outrigger.kysely_migration select * from unnest($1::text[], $2::text[]) on conflict do nothing`,
    [all.map(({ name }) => name), all.map(({ timestamp }) => timestamp)],
  );
