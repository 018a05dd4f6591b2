import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, until, type GatewayHarness } from './gateway-harness.ts';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await startGateway({ maximumCallsPerAttempt: 3, tokenMs: 3_600_000, timeoutMs: 60_000 });
});
afterAll(() => harness.close());

const revoke = (taskId: string) => harness.database.transaction((tx) => harness.gateway.revokeTaskTokens(tx, taskId));

describe('P-47 a task token', () => {
  it('says for whom it speaks, and is stored as a hash only', async () => {
    const { identity, token } = await harness.newTask();

    const { rows } = await harness.database.pool.query<{ row: string }>(
      'select task_token::text as row from task_token',
    );

    expect(token).toMatch(/^ort_[A-Za-z0-9_-]{43}$/);
    expect(await harness.gateway.authenticate(token)).toEqual(identity);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.map(({ row }) => row).join()).not.toContain(token);
  });

  it.each(['', 'ort_', 'ort_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'])('%p is nobody', async (token) => {
    await expect(harness.gateway.authenticate(token)).rejects.toMatchObject({ kind: 'unauthenticated' });
    expect((await harness.ask(token || 'x', 'SCENARIO:text')).status).toBe(401);
  });

  it('ends when it is revoked', async () => {
    const { identity, token } = await harness.newTask();

    await revoke(identity.taskId);

    await expect(harness.gateway.authenticate(token)).rejects.toMatchObject({ code: 'task_token_refused' });
  });

  it('ends when the next attempt gets one', async () => {
    const { identity, token } = await harness.newTask();

    const next = await harness.database.transaction((tx) =>
      harness.gateway.mintTaskToken(tx, { ...identity, attempt: 2 }),
    );

    await expect(harness.gateway.authenticate(token)).rejects.toMatchObject({ kind: 'unauthenticated' });
    expect(await harness.gateway.authenticate(next)).toMatchObject({ attempt: 2 });
  });

  it('ends with its time', async () => {
    const { token } = await harness.newTask();

    harness.clock.advance(3_600_000);

    await expect(harness.gateway.authenticate(token)).rejects.toMatchObject({ kind: 'unauthenticated' });
  });

  it('is not minted when the transaction around it fails', async () => {
    const { identity, token } = await harness.newTask();

    const failing = harness.database.transaction(async (tx) => {
      await harness.gateway.mintTaskToken(tx, { ...identity, attempt: 2 });
      throw new Error('the caller changed its mind');
    });

    await expect(failing).rejects.toThrow('changed its mind');
    expect(await harness.gateway.authenticate(token)).toEqual(identity);
  });
});

describe('the ceiling of calls (part of D6)', () => {
  it('halts the attempt at its last call with 402, says so afterwards, and spares the next attempt', async () => {
    const { identity, token } = await harness.newTask();
    const before = harness.model.requests.length;

    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => harness.ask(token, 'SCENARIO:text')));
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    const next = await harness.database.transaction((tx) =>
      harness.gateway.mintTaskToken(tx, { ...identity, attempt: 2 }),
    );
    const fresh = await harness.ask(next, 'SCENARIO:text');

    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 402, 402]);
    expect(texts.filter((text) => text.includes('BudgetExceeded'))).toHaveLength(2);
    expect(harness.model.requests.length - before).toBe(4);
    expect(fresh.status).toBe(200);
    await fresh.text();
    const limits = await harness.database.transaction((tx) =>
      Promise.all([1, 2].map((attempt) => harness.gateway.haltOf(tx, identity.taskId, attempt))),
    );
    expect(limits).toMatchObject([{ reason: 'BudgetExceeded' }, null]);
  });
});

describe('a stop (part of D2)', () => {
  it('lets no call begin, and counts tokens that arrive late apart', async () => {
    const { identity, token } = await harness.newTask();
    const tokensAfter = () =>
      harness.database.transaction((tx) => harness.gateway.tokensAfterRevoke(tx, identity.taskId));
    const slow = await harness.ask(token, 'SCENARIO:slow ARG:40');
    const stopped = await tokensAfter();

    await revoke(identity.taskId);
    harness.clock.advance(1);
    await slow.text();
    await until(() => harness.gateway.openCalls(identity.taskId) === 0);

    expect(stopped).toBe(0);
    expect(await tokensAfter()).toBe(1050);
    expect((await harness.ask(token, 'SCENARIO:text')).status).toBe(401);
  });

  it('leaves no tokens behind when the open calls are ended with it', async () => {
    const { identity, token } = await harness.newTask();
    const slow = await harness.ask(token, 'SCENARIO:slow ARG:200');

    await revoke(identity.taskId);
    harness.gateway.abortCalls(identity.taskId);
    await slow.text();

    const after = await harness.database.transaction((tx) => harness.gateway.tokensAfterRevoke(tx, identity.taskId));
    expect(after).toBe(0);
  });
});
