import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { anEntry, openAuditWorld, type AuditWorld } from './audit-harness.ts';

let world: AuditWorld;
beforeEach(async () => {
  world = await openAuditWorld();
});
afterEach(() => world.drop());

const count = async (): Promise<number> =>
  (await world.database.pool.query<{ id: string }>('select id from audit_event')).rows.length;

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition did not come true within 10 s.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

describe('S-62 An event and the change it describes', () => {
  it('are written together', async () => {
    const id = await world.database.transaction((tx) => world.audit.append(tx, anEntry(0)));

    const { rows } = await world.database.pool.query('select id, actor, action, data from audit_event');
    expect(rows).toEqual([{ id, actor: anEntry(0).actor, action: 'task.finished', data: anEntry(0).data }]);
  });

  it('are not written when the transaction fails', async () => {
    const work = world.database.transaction(async (tx) => {
      await world.audit.append(tx, anEntry(0));
      throw new Error('changed my mind');
    });

    await expect(work).rejects.toThrow('changed my mind');
    expect(await count()).toBe(0);
  });

  it('holds text that Postgres cannot store, marked, and still verifies', async () => {
    await world.append(1, {
      target: { type: 'file', id: 'a\0b\uD800c' },
      data: { name: '\uDC00\0', size: 1e21, none: null },
    });

    const { rows } = await world.database.pool.query<{ target_id: string }>('select target_id from audit_event');
    expect(rows[0]?.target_id).toBe('a\uFFFDb\uFFFDc');
    expect(await world.verify()).toMatchObject({ ok: true, unchained: 1 });
  });

  it.each([{ actor: 'alice' }, { action: 'Finish task' }, { action: 'finished' }])(
    'refuses %p before it reaches the table',
    async (wrong) => {
      await expect(world.append(1, wrong)).rejects.toMatchObject({ code: 'audit_entry_malformed' });
      expect(() => world.audit.record({ ...anEntry(0), ...wrong })).toThrow('malformed');
    },
  );
});

describe('Reads (part of S-34)', () => {
  it('are written within a second without anybody waiting for them', async () => {
    world.audit.record(anEntry(0));
    expect(await count()).toBe(0);

    await until(async () => (await count()) === 1);
  });

  it('are written at once on flush, in order and all', async () => {
    for (let index = 0; index < 1203; index += 1) world.audit.record(anEntry(index));

    await Promise.all([world.audit.flush(), world.audit.flush()]);

    const { rows } = await world.database.pool.query<{ request_id: string }>(
      'select e.request_id from audit_pending p join audit_event e on e.id = p.event_id order by p.serial',
    );
    expect(rows.map((row) => row.request_id)).toEqual(Array.from({ length: 1203 }, (_, index) => `request-${index}`));
    expect(await world.verify()).toMatchObject({ ok: true, events: 1203 });
  });

  it('are kept when the database refuses, and written when it takes them again', async () => {
    await world.database.pool.query('alter table audit_event rename to elsewhere');
    world.audit.record(anEntry(0));
    await expect(world.audit.flush()).rejects.toThrow('audit_event');

    await world.database.pool.query('alter table elsewhere rename to audit_event');
    await world.audit.flush();

    expect(await count()).toBe(1);
  });
});
