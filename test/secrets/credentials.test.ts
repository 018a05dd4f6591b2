import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeSeal } from '../../service/platform/seal.ts';
import { makeAgentSecrets, type AgentSecrets } from '../../service/secrets/agent-secrets.ts';
import { makeTestClock, type TestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const acme = randomUUID();
const other = randomUUID();
const canary = `canary-${randomBytes(8).toString('hex')}`;

let data: TestDatabase;
let clock: TestClock;
let secrets: AgentSecrets;
beforeEach(async () => {
  data = await createTestDatabase();
  clock = makeTestClock();
  const audit = makeAuditLog({ database: data.database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger });
  const seal = makeSeal({ keyring: new Map([['1', randomBytes(32)]]), current: '1' });
  secrets = makeAgentSecrets({ database: data.database, seal, audit, clock });
});
afterEach(() => data.drop());

const change = (name = 'ai-credentials', organizationId = acme) => ({
  organizationId,
  name,
  actor: 'user:ada',
  requestId: null,
});
const put = (values: Record<string, string>, where = change()): Promise<void> =>
  data.database.transaction((tx) => secrets.put(tx, where, new Map(Object.entries(values))));
const rows = async (sql: string): Promise<unknown[]> => (await data.database.pool.query(sql)).rows as unknown[];

describe('secrets of an organization', () => {
  it('open again for the organization, name and key they were written for, and for no other', async () => {
    await put({ 'api-key': canary });

    expect(await secrets.open(acme, { name: 'ai-credentials', key: 'api-key' })).toBe(canary);
    expect(await secrets.open(acme, { name: 'ai-credentials', key: 'token' })).toBeNull();
    expect(await secrets.open(acme, { name: 'github-credentials', key: 'api-key' })).toBeNull();
    expect(await secrets.open(other, { name: 'ai-credentials', key: 'api-key' })).toBeNull();
  });

  it.each([
    ['another organization', `organization_id = '${other}'`, other, 'ai-credentials', 'api-key'],
    ['another name', `name = 'theirs'`, acme, 'theirs', 'api-key'],
    ['another key', `key = 'token'`, acme, 'ai-credentials', 'token'],
  ])('do not open when their row was moved to %s', async (_where, set, organizationId, name, key) => {
    await put({ 'api-key': canary });
    await data.database.pool.query(`update agent_secret set ${set}`);

    await expect(secrets.open(organizationId, { name, key })).rejects.toMatchObject({ code: 'seal_broken' });
  });

  it('are replaced as a whole: a key that is not written again is gone', async () => {
    await put({ one: '1', two: '2' });
    await put({ two: 'II', three: '3' });

    expect(await secrets.open(acme, { name: 'ai-credentials', key: 'one' })).toBeNull();
    expect(await secrets.open(acme, { name: 'ai-credentials', key: 'two' })).toBe('II');
    expect((await secrets.list(acme)).map(({ keys }) => keys)).toEqual([['three', 'two']]);
  });

  it('show names, keys and times, and store and audit no value in the clear', async () => {
    await put({ 'api-key': canary });
    clock.advance(1_000);
    await put({ token: canary }, change('github-credentials'));
    await data.database.transaction((tx) => secrets.remove(tx, change()));

    expect(await secrets.list(acme)).toEqual([
      {
        name: 'github-credentials',
        keys: ['token'],
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        updatedBy: 'user:ada',
      },
    ]);
    const stored = await rows(
      "select row_to_json(agent_secret)::text || encode(sealed, 'escape') as text from agent_secret",
    );
    const audited = await rows(
      'select action, data::text, row_to_json(audit_event)::text as text from audit_event order by id',
    );
    expect(JSON.stringify([stored, audited])).not.toContain(canary);
    expect(audited).toMatchObject([
      { action: 'agent_secret.written' },
      { action: 'agent_secret.written' },
      { action: 'agent_secret.deleted' },
    ]);
  });

  it('are not written when their audit event is not', async () => {
    const failing = data.database.transaction(async (tx) => {
      await secrets.put(tx, change(), new Map([['api-key', canary]]));
      throw new Error('rolled back');
    });
    await expect(failing).rejects.toThrow('rolled back');

    expect(await rows('select 1 from agent_secret')).toEqual([]);
    expect(await rows('select 1 from audit_event')).toEqual([]);
  });
});
