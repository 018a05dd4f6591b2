import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { runAuditVerify } from '../../scripts/audit.ts';
import { until } from '../support/engine-harness.ts';
import { makeRandom } from '../support/random.ts';
import { pushingWorkflow, startReplicas, type Replicas } from '../support/replicas/replicas.ts';
import { startRestartablePostgres, type RestartablePostgres } from '../support/replicas/restartable-postgres.ts';

/**
 * Three service processes on a Postgres of the test's own, while workflows are submitted all the time and things die:
 * a process (SIGKILL), the server of the database, its connections, its patience.
 *
 * `KILL_ROUNDS` faults (20 in CI), at most `KILL_SECONDS` long; `KILL_SEED` repeats the choices.
 */
const rounds = Number(process.env['KILL_ROUNDS'] ?? 20);
const boxMs = Number(process.env['KILL_SECONDS'] ?? 150) * 1000;
const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000);
const steps = 3;
/** A fault every few seconds, and after the last one a takeover and whatever waits for its turn. */
const settleMs = 120_000;

let replicas: Replicas | undefined;
let postgres: RestartablePostgres | undefined;
afterEach(async () => {
  await replicas?.end();
  await postgres?.end();
});

interface WorkflowAnswer {
  readonly state: string;
  readonly outcome: string | null;
  readonly steps: readonly { readonly id: string; readonly task_id: string; readonly outcome: string | null }[];
}

type Fault = 'kill a process' | 'crash Postgres' | 'cut connections' | 'exhaust pools';

const chooseFault = (chance: number): Fault =>
  chance < 0.7
    ? 'kill a process'
    : chance < 0.8
      ? 'crash Postgres'
      : chance < 0.9
        ? 'cut connections'
        : 'exhaust pools';

async function cause(fault: Fault, all: Replicas, server: RestartablePostgres, random: () => number): Promise<void> {
  switch (fault) {
    case 'kill a process': {
      const stage = all.stages[Math.floor(random() * all.stages.length)];
      const victim = stage?.service();
      victim?.kill('SIGKILL');
      await victim?.exited;
      await passed(random() * 2_000);
      return stage?.startService();
    }
    case 'crash Postgres':
      return server.crash();
    case 'cut connections':
      return void (await server.killBackends());
    case 'exhaust pools':
      return server.exhaustPools(3_000 + random() * 5_000);
  }
}

/** A process that was started while its database was away has ended with a word; it is started again, as anywhere. */
async function startTheEnded(all: Replicas): Promise<void> {
  for (const stage of all.stages) {
    for (let tries = 1; stage.service()?.hasExited && tries <= 10; tries += 1)
      await stage.startService().catch(() => passed(1_000));
  }
}

describe('S-05 S-103 three service processes lose processes, connections and their database', () => {
  it(
    `S-05 S-103 loses nothing, leaves nothing stuck and does nothing twice in ${rounds} faults (seed ${seed})`,
    async () => {
      const random = makeRandom(seed);
      postgres = await startRestartablePostgres();
      replicas = await startReplicas({ databaseUrl: postgres.url });
      const all = replicas;
      const workers = await Promise.all(
        ['canoe', 'kayak', 'raft', 'ferry'].map((name) => all.addWorker(name, { slots: 3, workMs: 300 })),
      );
      const accepted = new Map<string, string>();
      let isOver = false;
      const submitting = (async () => {
        for (let number = 1; !isOver; number += 1) {
          const name = `flow-${number}`;
          const workspaceId = workers[number % workers.length]?.workspaceId ?? '';
          accepted.set(name, await submitSurely(all, name, workspaceId));
          await passed(500);
        }
      })();

      const caused: Fault[] = [];
      for (const end = Date.now() + boxMs; caused.length < rounds && Date.now() < end;) {
        await passed(500 + random() * 3_000);
        const fault = chooseFault(random());
        await cause(fault, all, postgres, random).catch(() => undefined);
        caused.push(fault);
        await startTheEnded(all);
      }
      isOver = true;
      await submitting;

      await expectAllDone(all, accepted);
      expectEachEffectOnce(all, accepted);
      await expectNothingLeft(postgres);
      await expectAuditWhole(postgres.url, all.keys.auditSigningKey);
      const attempts = workers.reduce((sum, worker) => sum + worker.begun.length, 0);
      process.stderr.write(
        `${caused.length} faults (${[...new Set(caused)].map((one) => `${caused.filter((fault) => fault === one).length} × ${one}`).join(', ')}); ` +
          `${accepted.size} workflows, ${attempts} attempts begun, seed ${seed}\n`,
      );
      // How many fit into the time is the machine's business; that some did is ours.
      expect(caused.length).toBeGreaterThanOrEqual(Math.floor(rounds * 0.15));
    },
    boxMs + settleMs + 120_000,
  );
});

/** As a client does that wants it exactly once: the same key until there is an answer. */
const submitSurely = ({ api }: Replicas, name: string, workspaceId: string): Promise<string> =>
  until(
    `${name} to be accepted`,
    () =>
      api
        .post<{ id: string }>('/api/v2/agents/agentzero/workflows', pushingWorkflow(name, workspaceId, steps), {
          'Idempotency-Key': name,
        })
        .then(({ id }) => id)
        .catch(() => passed(200).then(() => null)),
    120_000,
  );

async function expectAllDone({ api }: Replicas, accepted: ReadonlyMap<string, string>): Promise<void> {
  const deadline = Date.now() + settleMs;
  for (const [name, id] of accepted) {
    const path = `/api/v2/agents/agentzero/workflows/${id}`;
    const workflow = await until(
      `${name} (${id}) to finish`,
      async () => {
        const answer = await api.get<WorkflowAnswer>(path).catch(() => null);
        return answer?.state === 'finished' ? answer : passed(100).then(() => null);
      },
      Math.max(1_000, deadline - Date.now()),
    );
    expect([name, workflow.outcome, workflow.steps.map((step) => step.outcome)]).toEqual([
      name,
      'succeeded',
      workflow.steps.map(() => 'succeeded'),
    ]);
  }
}

/** The forge counts by workflow, step and attempt: one attempt of each step, once. */
function expectEachEffectOnce({ forge }: Replicas, accepted: ReadonlyMap<string, string>): void {
  const wanted = [...accepted.keys()].flatMap((name) =>
    Array.from({ length: steps }, (_none, index) => `${name}/step-${index + 1}`),
  );
  const done = [...forge.counts].flatMap(([key, count]) =>
    Array.from({ length: count }, () => key.slice(0, key.lastIndexOf('/'))),
  );
  expect(done.toSorted()).toEqual(wanted.toSorted());
}

async function expectNothingLeft(server: RestartablePostgres): Promise<void> {
  const [tasks] = await server.query<{ open: number }>(
    `select count(*)::int as open from outrigger.task where state <> 'finished'`,
  );
  expect(tasks?.open).toBe(0);
  await until(
    'every durable function to end',
    async () => {
      const [functions] = await server.query<{ open: number }>(
        `select count(*)::int as open from dbos.workflow_status
       where status in ('ENQUEUED', 'DELAYED', 'PENDING') and name not like 'schedule:%'`,
      );
      return functions?.open === 0;
    },
    settleMs,
  );
}

async function expectAuditWhole(databaseUrl: string, auditSigningKey: string): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-verify-'));
  try {
    const report = await runAuditVerify({ dataDir, databaseUrl, auditSigningKey });
    expect(report).toMatchObject({ ok: true, faults: [] });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}
