import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeChainer } from '../../service/audit/chainer.ts';
import { openDatabase } from '../../service/platform/database.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { anEntry, chainAll, openAuditWorld, testAuditKeys, type AuditWorld } from './audit-harness.ts';

let world: AuditWorld;
let folder: string;
let anchorPath: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outrigger-chainer-'));
  anchorPath = join(folder, 'keys', 'audit-head.json');
  world = await openAuditWorld({ anchorPath });
});
afterEach(async () => {
  await world.drop();
  await rm(folder, { recursive: true });
});

const chained = async (): Promise<string[]> =>
  (
    await world.database.pool.query<{ event_id: string }>('select event_id from audit_chain order by position')
  ).rows.map((row) => row.event_id);

describe('S-62 The chain', () => {
  it('takes events in batches and ends each with a signed checkpoint', async () => {
    const ids = await world.append(12);

    expect([
      await world.chainer.chainOnce(),
      await world.chainer.chainOnce(),
      await world.chainer.chainOnce(),
      await world.chainer.chainOnce(),
    ]).toEqual([5, 5, 2, 0]);
    expect(await chained()).toEqual(ids);
    const { rows } = await world.database.pool.query(
      'select sequence, position from audit_checkpoint order by sequence',
    );
    expect(rows).toEqual([
      { sequence: 1, position: 5 },
      { sequence: 2, position: 10 },
      { sequence: 3, position: 12 },
    ]);
  });

  it('skips no event whose transaction commits late', async () => {
    let finish: () => void = () => undefined;
    const mayCommit = new Promise<void>((resolve) => (finish = resolve));
    let appended: () => void = () => undefined;
    const hasAppended = new Promise<void>((resolve) => (appended = resolve));
    const late = world.database.transaction(async (tx) => {
      const id = await world.audit.append(tx, anEntry(0));
      appended();
      await mayCommit;
      return id;
    });
    await hasAppended;
    const early = await world.append(2);
    await chainAll(world);
    expect(await chained()).toEqual(early);

    finish();
    const lateId = await late;
    await chainAll(world);

    expect(await chained()).toEqual([...early, lateId]);
    expect(await world.verify({ anchorPath })).toMatchObject({ ok: true, unchained: 0 });
  });

  it('has one order however many replicas link and write at once', async () => {
    const replicas = [1, 2, 3].map(() => openDatabase({ url: world.url, poolSize: 3 }));
    const chainers = replicas.map((database) =>
      makeChainer({ database, keys: world.keys, clock: world.clock, log: silentLogger, batch: 7 }),
    );
    let writing = true;
    const writers = Promise.all(
      [1, 2, 3, 4].map(async () => {
        for (let round = 0; round < 25; round += 1) await world.append(1);
      }),
    ).then(() => (writing = false));
    const linkers = chainers.map(async (chainer) => {
      while (writing) await chainer.chainOnce();
    });

    await Promise.all([writers, ...linkers]);
    await chainAll(world);

    expect(await world.verify({ anchorPath })).toMatchObject({ ok: true, events: 100, unchained: 0 });
    await Promise.all(replicas.map((database) => database.close()));
  });

  it('links what waits when it is stopped', async () => {
    world.chainer.start(3_600_000);
    await world.append(11);

    await world.chainer.stop();

    expect(await world.verify()).toMatchObject({ ok: true, events: 11, unchained: 0 });
  });

  it('finds events that a restore left off its list', async () => {
    await world.append(3);
    await world.database.pool.query('delete from audit_pending');
    const restarted = makeChainer({
      database: world.database,
      keys: world.keys,
      clock: world.clock,
      log: silentLogger,
    });

    expect(await restarted.chainOnce()).toBe(3);
  });

  it('takes up within ten seconds what somebody took off its list, and says so', async () => {
    await chainAll(world);
    const ids = await world.append(2);
    await world.tamper(`delete from audit_pending where event_id = $1`, [ids[0]]);
    await chainAll(world);
    expect(await chained()).toEqual([ids[1]]);

    world.clock.advance(10_000);
    await chainAll(world);

    expect(await chained()).toEqual([ids[1], ids[0]]);
    const said = world.lines.filter((line) => line.includes('neither linked nor waiting'));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(ids[0]);
  });

  it('takes up what somebody marked as refused, also before it started, and says so once', async () => {
    const [early] = await world.append(1);
    await world.tamper(`update audit_pending set refused_at = now()`);
    await chainAll(world);
    expect(await chained()).toEqual([early]);
    const [late] = await world.append(1);
    await world.tamper(`update audit_pending set refused_at = now()`);
    world.clock.advance(10_000);

    await chainAll(world);
    world.clock.advance(10_000);
    await chainAll(world);

    expect(await chained()).toEqual([early, late]);
    expect(world.lines.filter((line) => line.includes('although the service wrote them'))).toHaveLength(2);
    expect(await world.verify({ anchorPath })).toMatchObject({ ok: true, unchained: 0 });
  });

  it('sweeps again what it took up in a transaction that failed', async () => {
    const [id] = await world.append(1);
    await world.database.pool.query('delete from audit_pending');
    await world.database.pool.query('alter table audit_checkpoint rename to elsewhere');
    await expect(world.chainer.chainOnce()).rejects.toThrow('audit_checkpoint');
    await world.database.pool.query('alter table elsewhere rename to audit_checkpoint');
    await whileLocked(() => world.chainer.chainOnce());

    await chainAll(world);

    expect(await chained()).toEqual([id]);
  });

  it('says once that somebody else holds its lock, and who', async () => {
    await world.append(1);

    const backend = await whileLocked(async () => {
      for (let pass = 0; pass < 29; pass += 1) await world.chainer.chainOnce();
      expect(complaints()).toEqual([]);
      for (let pass = 0; pass < 31; pass += 1) expect(await world.chainer.chainOnce()).toBe(0);
    });

    expect(complaints()).toHaveLength(1);
    expect(JSON.parse(complaints()[0] ?? '')).toMatchObject({ misses: 30, backends: [backend] });
    expect(await world.chainer.chainOnce()).toBe(1);
  });

  const complaints = (): string[] => world.lines.filter((line) => line.includes('held the chain lock'));

  /** Another session that takes the chainer's lock; gives its backend. */
  const whileLocked = async (work: () => Promise<unknown>): Promise<number> => {
    const client = await world.database.pool.connect();
    try {
      const { rows } = await client.query<{ pid: number }>(
        `select pg_backend_pid() as pid, pg_advisory_lock(x'6f7574724155'::bigint)`,
      );
      await work();
      return rows[0]?.pid ?? 0;
    } finally {
      await client.query('select pg_advisory_unlock_all()');
      client.release();
    }
  };
});

describe('D11 The chainer refuses', () => {
  it('events that the service did not write, says so once, and links the rest', async () => {
    const ids = await world.append(3);
    await world.tamper(`update audit_event set outcome = 'denied' where id = $1`, [ids[1]]);

    await chainAll(world);
    await chainAll(world);

    expect(await chained()).toEqual([ids[0], ids[2]]);
    expect(world.lines.filter((line) => line.includes('not written by this service'))).toHaveLength(1);
    expect((await world.verify({ anchorPath })).faults).toMatchObject([{ kind: 'inserted', eventId: ids[1] }]);
  });

  it('to forget an event that was deleted before it was linked', async () => {
    const ids = await world.append(3);
    await world.tamper(`delete from audit_event where id = $1`, [ids[1]]);

    await chainAll(world);

    expect((await world.verify({ anchorPath })).faults).toMatchObject([{ kind: 'deleted', eventId: ids[1] }]);
  });

  it.each([
    ['whose last link was changed', `update audit_chain set hash = '\\x00' where position = 7`],
    ['whose last link was deleted', `delete from audit_chain where position = 7`],
    ['whose last checkpoint was deleted', `delete from audit_checkpoint where sequence = 2`],
    ['whose last checkpoint was changed', `update audit_checkpoint set at = now() where sequence = 2`],
    [
      'that is older than the anchor file',
      `with gone as (delete from audit_checkpoint where sequence = 2) delete from audit_chain where position > 5`,
    ],
  ])('to extend a chain %s', async (_what, statement) => {
    await world.append(7);
    await chainAll(world);
    await world.tamper(statement);
    await world.append(1);

    expect([await world.chainer.chainOnce(), await world.chainer.chainOnce()]).toEqual([0, 0]);

    expect(world.lines.filter((line) => line.includes('audit chain is damaged'))).toHaveLength(1);
    expect((await world.verify({ anchorPath })).ok).toBe(false);
  });

  it('to extend a chain that another key signed', async () => {
    await world.append(2);
    await chainAll(world);
    const keys = await testAuditKeys(Buffer.alloc(32, 8).toString('base64'));
    const stranger = makeChainer({ database: world.database, keys, clock: world.clock, log: silentLogger });
    await world.append(1);

    expect(await stranger.chainOnce()).toBe(0);
  });
});
