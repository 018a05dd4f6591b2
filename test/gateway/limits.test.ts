import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { makeBodyPlaces } from '../../service/gateway/body-places.ts';
import { saveBudget } from '../../service/gateway/budget-store.ts';
import type { HaltedAttempt, TaskIdentity } from '../../service/gateway/gateway.ts';
import { makeTurns } from '../../service/gateway/turns.ts';
import type { AuditEntry } from '../../service/audit/audit-event.ts';
import { startGateway, type GatewayHarness, type HarnessOptions } from './gateway-harness.ts';

let harness: GatewayHarness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

const dear = { input: 1_000_000, cached: 100_000, output: 2_000_000, reasoning: 2_000_000 };
const prices = { taken: '2026-11-21', models: new Map([['scripted/model', dear]]) };
/** What one answer of the scripted model costs at these prices. */
const callCost = 920;

/** The gateway with everything it tells others. */
async function start(options: HarnessOptions = {}) {
  const told: { halts: HaltedAttempt[]; warnings: string[]; audit: AuditEntry[] } = {
    halts: [],
    warnings: [],
    audit: [],
  };
  const audit = { append: (_tx: unknown, entry: AuditEntry) => Promise.resolve(void told.audit.push(entry)) };
  const started = (harness = await startGateway({ prices, audit: audit as never, ...options }));
  started.gateway.subscribe({
    onHalt: (halted) => Promise.resolve(told.halts.push(halted) > 0),
    onWarning: (_tx, { limit, kind }) => Promise.resolve(void told.warnings.push(`${limit.scope} ${kind}`)),
  });
  return { ...started, told };
}

async function taskOf(
  { gateway, database }: Pick<GatewayHarness, 'gateway' | 'database'>,
  rest: Partial<TaskIdentity> = {},
): Promise<{ identity: TaskIdentity; token: string }> {
  const identity = {
    ...{ taskId: randomUUID(), attempt: 1, workspaceId: randomUUID(), ownerId: randomUUID() },
    ...{ organizationId: randomUUID(), model: '' },
    ...rest,
  };
  return { identity, token: await database.transaction((tx) => gateway.mintTaskToken(tx, identity)) };
}

/** As many bytes as the model says that it read, as in every true request. */
const roomy = {
  max_tokens: 100,
  messages: [
    { role: 'system', content: 'x'.repeat(1_000) },
    { role: 'user', content: 'SCENARIO:text' },
  ],
};
const unbounded = { tokens: null, micro_usd: null, seconds: null, tool_calls: null };

describe('budgets (part of D6)', () => {
  it.each([1, 3])(
    'of an organization are passed by one call at most, with calls of %i tasks at once',
    async (tasks) => {
      const { gateway, database, ask, rows, told } = await start({
        wait: (ms, signal) => pause(Math.min(ms, 5), undefined, { signal }),
      });
      const organizationId = randomUUID();
      await saveBudget(database.as(), {
        ...{ organizationId, scope: 'organization', target: '*', period: 'month' },
        atMost: { ...unbounded, micro_usd: 4_000 },
      });
      const tokens = await Promise.all(
        Array.from({ length: tasks }, () => taskOf({ gateway, database }, { organizationId })),
      );

      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, place) => {
          const { token } = tokens[place % tasks] as { token: string };
          return ask(token, '', roomy).then(async (one) => ({ status: one.status, text: await one.text() }));
        }),
      );

      const spent = (await rows()).reduce((sum, row) => sum + Number(row['cost_micro_usd']), 0);
      expect(spent - callCost).toBeLessThan(4_000);
      expect(spent).toBeGreaterThanOrEqual(4_000);
      expect(answers.filter(({ status }) => status === 402).every(({ text }) => text.includes('BudgetExceeded'))).toBe(
        true,
      );
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
      expect(new Set(told.halts.map(({ reason }) => reason))).toEqual(new Set(['BudgetExceeded']));
      expect(told.warnings).toEqual(['organization micro_usd']);
    },
  );

  it.each([
    ['tokens of a task', { tokens: 1_500 }],
    ['tool calls of a task', { tool_calls: 2 }],
  ])('bound the %s', async (_name, atMost) => {
    const { gateway, database, ask, told } = await start();
    const { identity, token } = await taskOf({ gateway, database });
    await saveBudget(database.as(), {
      ...{ organizationId: identity.organizationId, scope: 'task', target: '*', period: 'total' },
      atMost: { ...unbounded, ...atMost },
    });
    const statuses: number[] = [];
    for (const argument of ['one', 'two', 'three']) {
      const answer = await ask(token, `SCENARIO:bash ARG:echo ${argument}`);
      statuses.push(answer.status);
      await answer.text();
    }

    expect(statuses).toEqual([200, 200, 402]);
    expect(told.halts).toMatchObject([{ taskId: identity.taskId, attempt: 1, reason: 'BudgetExceeded' }]);
    expect(await database.transaction((tx) => gateway.haltOf(tx, identity.taskId, 1))).toMatchObject({
      reason: 'BudgetExceeded',
    });
  });

  it('bound the time of a user, whose own budget goes before that of each', async () => {
    const { gateway, database, ask, clock } = await start();
    const { identity, token } = await taskOf({ gateway, database });
    const { organizationId, ownerId } = identity;
    const of = (target: string, seconds: number) =>
      saveBudget(database.as(), {
        ...{ organizationId, scope: 'user', target, period: 'day' },
        atMost: { ...unbounded, seconds },
      });
    await of('*', 60);
    await of(ownerId, 600);
    const status = async (): Promise<number> => {
      const answer = await ask(token, 'SCENARIO:text');
      await answer.text();
      return answer.status;
    };

    clock.advance(300_000);
    const early = await status();
    clock.advance(300_000);

    expect([early, await status()]).toEqual([200, 402]);
  });

  it('that a task brings along hold with those of its organization', async () => {
    const { gateway, database, ask } = await start();
    const { token } = await taskOf({ gateway, database }, { budgetTokens: 1_000 });
    const answers = [await ask(token, 'SCENARIO:text'), await ask(token, 'SCENARIO:text')];
    for (const answer of answers) await answer.text();

    expect(answers.map(({ status }) => status)).toEqual([200, 402]);
  });
});

describe('budgets of two organizations (part of D6)', () => {
  it('warn a person of both in each, though they are alike', async () => {
    const { gateway, database, ask, told } = await start();
    const ownerId = randomUUID();
    for (const organizationId of [randomUUID(), randomUUID()]) {
      await saveBudget(database.as(), {
        ...{ organizationId, scope: 'user', target: '*', period: 'month' },
        atMost: { ...unbounded, tokens: 1_000 },
      });
      const { token } = await taskOf({ gateway, database }, { organizationId, ownerId });
      await (await ask(token, 'SCENARIO:text')).text();
    }

    expect(told.warnings).toEqual(['user tokens', 'user tokens']);
  });

  it('are looked at by turns, of which one organization has a few and waits for nobody else', async () => {
    const turns = makeTurns();
    const begun: string[] = [];
    let open: () => void = () => undefined;
    const door = new Promise<void>((resolve) => (open = resolve));
    const look = (organization: string) =>
      turns(organization, async () => {
        begun.push(organization);
        await door;
      });
    const looks = [...Array.from({ length: 10 }, () => look('busy')), look('other')];

    expect(begun).toEqual(['busy', 'busy', 'busy', 'busy', 'other']);
    open();
    await Promise.all(looks);
    expect(begun).toHaveLength(11);
  });
});

describe('what requests of one task hold in memory', () => {
  it('is bounded, for it alone, until they have ended', () => {
    const { enter } = makeBodyPlaces();
    const [leave = () => undefined] = Array.from({ length: 4 }, () => enter('one', 32 * 1024 * 1024));

    expect(() => enter('one', 10)).toThrow('as many model calls open');
    enter('other', 10);
    leave();
    for (let small = 0; small < 32; small++) enter('one', 10);
    expect(() => enter('one', 10)).toThrow('as many model calls open');
  });
});

describe('brakes (part of D6)', () => {
  it('halt an agent that repeats itself within the set number, and tell who can stop it until somebody did', async () => {
    const { gateway, database, ask, told, model } = await start({ brakes: { identicalCalls: 4 } });
    const { identity, token } = await taskOf({ gateway, database });
    const statuses: number[] = [];
    for (let call = 0; call < 6; call++) {
      const answer = await ask(token, 'SCENARIO:loop');
      statuses.push(answer.status);
      await answer.text();
    }

    expect(statuses).toEqual([200, 200, 200, 200, 402, 402]);
    expect(model.requests).toHaveLength(4);
    expect(told.halts[0]).toMatchObject({ taskId: identity.taskId, attempt: 1, reason: 'LoopDetected' });
    expect(told.audit.filter(({ action }) => action === 'attempt.halted')).toHaveLength(1);
    const before = told.halts.length;
    await gateway.tidy();
    expect(told.halts).toHaveLength(before + 1);
    await database.transaction((tx) => gateway.revokeTaskTokens(tx, identity.taskId));
    await gateway.tidy();
    expect(told.halts).toHaveLength(before + 1);
  });

  it('halt an attempt that calls faster than any model thinks', async () => {
    const { gateway, database, ask, told, clock } = await start({ brakes: { callsPerMinute: 2 } });
    const { token } = await taskOf({ gateway, database });
    const status = async (): Promise<number> => {
      const answer = await ask(token, 'SCENARIO:text');
      await answer.text();
      return answer.status;
    };

    expect([await status(), await status()]).toEqual([200, 200]);
    clock.advance(61_000);
    expect([await status(), await status(), await status()]).toEqual([200, 200, 402]);
    expect(told.halts).toMatchObject([{ reason: 'LoopDetected' }]);
  });
});
