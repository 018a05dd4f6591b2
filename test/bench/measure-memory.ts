import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Ground, Workspace } from './ground.ts';
import { family, processorMs, residentBytes } from './machine.ts';
import type { Measurement } from './measurement.ts';
import { corePercent, mebibytes, p50p99, seconds } from './statistics.ts';
import { inLanes, until } from './waiting.ts';

const attempts = 1_000;
const idleMs = 10_000;
const lanes = 8;

/** What 1,000 attempts cost that wait for their bridge, each in a workspace of its own, all submitted over HTTP. */
export const measureMemory: Measurement = {
  name: 'memory',
  title: `${attempts} waiting attempts`,
  limitMs: 90_000,
  async measure(ground, tell) {
    const databaseUrl = await ground.newDatabase('memory');
    const postgres = ground.postgres.pid;
    const stage = ground.stage(databaseUrl);
    await ground.start(stage);
    const pid = stage.service()?.pid ?? 0;
    const api = ground.api(stage);
    await sleep(2_000);
    const emptyBytes = residentBytes(pid);
    const emptyIdle = await idleShare(pid, postgres);
    tell(`without any: ${mebibytes(emptyBytes)}, idle ${corePercent(emptyIdle.service)}`);

    const workspaces = Array.from({ length: attempts }, (_, index) => ground.addWorkspace(`waiting-${index}`));
    const answers: number[] = [];
    const from = performance.now();
    await inLanes(attempts, lanes, async (index) => {
      const sentAt = performance.now();
      await submit(api, workspaces[index]);
      answers.push(performance.now() - sentAt);
    });
    await allOffered(ground, databaseUrl);
    const tookMs = performance.now() - from;
    tell(`${attempts} submitted and offered in ${seconds(tookMs)}`);
    await sleep(2_000);
    const fullIdle = await idleShare(pid, postgres);
    const fullBytes = residentBytes(pid);
    const idle = (shares: IdleShares): string => `${corePercent(shares.service)} + ${corePercent(shares.postgres)}`;
    return [
      {
        what: `memory with ${attempts} waiting attempts`,
        value: mebibytes(fullBytes),
        note: 'RSS of the service process',
      },
      {
        what: '  more than without any',
        value: mebibytes(fullBytes - emptyBytes),
        note: `${mebibytes(emptyBytes)} without; ${attempts} submissions' garbage included`,
      },
      { what: `idle CPU with ${attempts}: service + Postgres`, value: idle(fullIdle), note: `over ${seconds(idleMs)}` },
      { what: 'idle CPU without any: service + Postgres', value: idle(emptyIdle), note: `over ${seconds(idleMs)}` },
      { what: `${attempts} submitted to all offered`, value: seconds(tookMs), note: `${lanes} requests at a time` },
      { what: '  submit → 202: p50 · p99', value: p50p99(answers), note: `n=${attempts}; ${lanes} at a time` },
    ];
  },
};

function submit(api: ReturnType<Ground['api']>, workspace: Workspace | undefined): Promise<unknown> {
  return api.post('/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Write a test.', context: { workspace_id: workspace?.id } },
  });
}

async function allOffered(ground: Ground, databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  ground.afterwards(() => client.end());
  await until(async () => {
    const { rows } = await client.query<{ offered: number }>(
      `select count(*)::int as offered from outrigger.attempt where state = 'offered'`,
    );
    return rows[0]?.offered === attempts;
  }, 100);
}

interface IdleShares {
  readonly service: number;
  readonly postgres: number;
}

/** Share of one core that is used while nobody asks for anything. */
async function idleShare(service: number, postgres: number): Promise<IdleShares> {
  const usedBefore = processorMs(service);
  const before = usedBy(family(postgres));
  const from = performance.now();
  await sleep(idleMs);
  const passedMs = performance.now() - from;
  // A connection that ended meanwhile counts nothing, one that began counts whole.
  const server = [...usedBy(family(postgres))].reduce((sum, [pid, used]) => sum + used - (before.get(pid) ?? 0), 0);
  return { service: (processorMs(service) - usedBefore) / passedMs, postgres: server / passedMs };
}

function usedBy(pids: readonly number[]): ReadonlyMap<number, number> {
  const used = new Map<number, number>();
  for (const pid of pids) {
    try {
      used.set(pid, processorMs(pid));
    } catch {
      // It ended between the two looks.
    }
  }
  return used;
}
