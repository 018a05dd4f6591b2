import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { agentsSeen, makePresence, silentAfterMs } from '../../service/agents/presence.ts';
import { makeRegistry } from '../../service/agents/registry.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeTestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let data: TestDatabase;
beforeAll(async () => {
  data = await createTestDatabase();
});
afterAll(() => data.drop());

describe('the registry in the database', () => {
  const clock = makeTestClock();
  const processOf = (processId: string) =>
    makePresence({ database: data.database, registry: makeRegistry(), clock, log: silentLogger, processId });
  const see = async (action?: string) =>
    [...(await agentsSeen(data.database, clock.now(), action)).values()]
      .filter(({ isAvailable }) => isAvailable)
      .map(({ agent }) => agent)
      .sort();

  it('S-70 S-02 knows an agent by its actions for as long as some process announces it', async () => {
    const [one, other] = [processOf('one'), processOf('other')];
    expect(await see()).toEqual([]);
    await one.announce();
    await other.announce();
    expect(await see('generate_ui')).toEqual(['opencode']);
    expect(await see('fly')).toEqual([]);

    clock.advance(silentAfterMs - 1_000);
    await other.announce();
    clock.advance(2_000);
    expect(await see('generate_ui')).toEqual(['opencode']);
    await other.stop();
    expect(await see('generate_ui')).toEqual([]);
    await one.announce();
    expect(await see('generate_ui')).toEqual(['opencode']);
  });

  it('S-70 S-02 finds agents by an index over their actions', async () => {
    const { rows } = await data.database.pool.query<{ indexdef: string }>(
      `select indexdef from pg_indexes where tablename = 'agent_presence'`,
    );

    expect(rows.map(({ indexdef }) => indexdef).join()).toMatch(/USING gin \(actions\)/);
  });
});
