import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linkHash } from '../../service/audit/audit-chain.ts';
import type { AuditFault } from '../../service/audit/audit-report.ts';
import { chainAll, openAuditWorld, type AuditWorld } from './audit-harness.ts';

let world: AuditWorld;
let ids: string[];
let folder: string;
let anchorPath: string;
const id = (position: number): string => ids[position - 1] ?? '';

/** Twelve events, linked in batches of five: checkpoints at 5, 10 and 12. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outrigger-audit-'));
  anchorPath = join(folder, 'audit-head.json');
  world = await openAuditWorld({ anchorPath });
  ids = await world.append(12);
  await chainAll(world);
});

afterEach(async () => {
  await world.drop();
  await rm(folder, { recursive: true });
});

const found = async (options: { withoutHmac?: boolean } = {}): Promise<Partial<AuditFault>[]> => {
  const report = await world.verify({ anchorPath, ...options });
  expect(report.ok).toBe(report.faults.length === 0);
  return report.faults.map(({ kind, position, eventId }) => ({ kind, position, eventId }));
};

describe('D11 An audit that nobody touched', () => {
  it('verifies, and says what was checked', async () => {
    expect(await world.verify({ anchorPath })).toEqual({
      ok: true,
      events: 12,
      checkpoints: 3,
      unchained: 0,
      macsChecked: true,
      anchor: 'matches',
      faults: [],
      faultsOmitted: 0,
    });
  });

  it('verifies with the public key alone, and says that HMACs were not checked', async () => {
    expect(await world.verify({ withoutHmac: true })).toMatchObject({ ok: true, macsChecked: false });
  });

  it('verifies while events wait for their link', async () => {
    await world.append(3);

    expect(await world.verify()).toMatchObject({ ok: true, events: 15, unchained: 3 });
  });

  it('verifies when nothing was ever written', async () => {
    const empty = await openAuditWorld();

    expect(await empty.verify()).toMatchObject({ ok: true, events: 0, checkpoints: 0 });
    await empty.drop();
  });
});

describe('D11 The database refuses to change what was written', () => {
  it.each(['audit_event', 'audit_chain', 'audit_checkpoint'])(
    'refuses update, delete and truncate of %s',
    async (table) => {
      const column = table === 'audit_event' ? 'mac' : 'hash';

      for (const statement of [`update ${table} set ${column} = '\\x00'`, `delete from ${table}`, `truncate ${table}`])
        await expect(world.database.pool.query(statement)).rejects.toThrow('audit rows are never changed or deleted');
      expect(await found()).toEqual([]);
    },
  );
});

describe('D11 One changed byte of an event', () => {
  const changes: Record<string, string> = {
    actor: `'user:mallory'`,
    action: `'task.queued'`,
    target_type: `'workflow'`,
    target_id: `target_id || 'x'`,
    outcome: `'failure'`,
    owner_id: `null`,
    organization_id: `'x'`,
    workspace_id: `''`,
    request_id: `null`,
    data: `replace(data::text, ':4,', ': 4,')::json`,
    at: `at + interval '1 microsecond'`,
    mac: `set_byte(mac, 31, get_byte(mac, 31) # 1)`,
  };

  it.each(Object.keys(changes))('in column %s is found at its position', async (column) => {
    await world.tamper(`update audit_event set ${column} = ${changes[column]} where id = $1`, [id(5)]);

    expect(await found()).toEqual([{ kind: 'changed', position: 5, eventId: id(5) }]);
    expect(await found({ withoutHmac: true })).toEqual([{ kind: 'changed', position: 5, eventId: id(5) }]);
  });

  it('is found when time is moved before Christ, where formatted times repeat', async () => {
    await world.tamper(
      `update audit_event set at = (to_char(at, 'YYYY-MM-DD HH24:MI:SS.US') || '+00 BC')::timestamptz where id = $1`,
      [id(3)],
    );

    expect(await found()).toEqual([{ kind: 'changed', position: 3, eventId: id(3) }]);
  });

  it('is found in its id: the old one is missing, the new one was not written by the service', async () => {
    const other = '99999999-9999-7999-8999-999999999999';
    await world.tamper(`update audit_event set id = $2 where id = $1`, [id(4), other]);

    expect(await found()).toEqual([
      { kind: 'deleted', position: 4, eventId: id(4) },
      { kind: 'inserted', position: null, eventId: other },
    ]);
  });

  it('is found before the event was linked', async () => {
    const [late] = await world.append(1);
    await world.tamper(`update audit_event set outcome = 'denied' where id = $1`, [late]);

    expect(await found()).toEqual([{ kind: 'inserted', position: null, eventId: late }]);
  });
});

describe('D11 A removed row', () => {
  it.each([1, 5, 8, 12])('is found when event %i is deleted', async (position) => {
    await world.tamper(`delete from audit_event where id = $1`, [id(position)]);

    expect(await found()).toEqual([{ kind: 'deleted', position, eventId: id(position) }]);
  });

  it.each([1, 5, 8, 12])('is found when link %i is deleted, and the event it held is named', async (position) => {
    await world.tamper(`delete from audit_chain where position = $1`, [position]);

    const faults = await found();
    expect(faults[0]).toMatchObject({ kind: 'deleted', position });
    if (position < 12) expect(faults).toEqual([{ kind: 'deleted', position, eventId: id(position) }]);
  });

  it.each([1, 5, 8, 12])('is found when event and link %i are deleted together', async (position) => {
    await world.tamper(
      `with gone as (delete from audit_chain where position = $1 returning event_id)
      delete from audit_event where id in (select event_id from gone)`,
      [position],
    );

    expect(await found()).toEqual([{ kind: 'deleted', position, eventId: null }]);
  });

  it('is found when several in a row are gone, as one fault that says which', async () => {
    await world.tamper(`delete from audit_chain where position between 3 and 7`);
    await world.tamper(`delete from audit_event where id = any($1)`, [ids.slice(2, 7)]);

    const { faults } = await world.verify();

    expect(faults).toEqual([
      { kind: 'deleted', position: 3, eventId: null, message: 'The links at positions 3 to 7 were deleted.' },
    ]);
  });

  it('is found when the last events and links are gone: the checkpoint reaches beyond them', async () => {
    await world.tamper(`delete from audit_chain where position > 10`);
    await world.tamper(`delete from audit_event where id = any($1)`, [ids.slice(10)]);

    expect(await found()).toEqual([{ kind: 'deleted', position: 11, eventId: null }]);
  });

  it('is found by the anchor file when the end of the chain is gone with its checkpoints', async () => {
    await world.tamper(`delete from audit_chain where position > 10`);
    await world.tamper(`delete from audit_checkpoint where position > 10`);
    await world.tamper(`delete from audit_event where id = any($1)`, [ids.slice(10)]);

    expect(await world.verify()).toMatchObject({ ok: true, anchor: 'not_checked' });
    expect(await found()).toEqual([{ kind: 'checkpoint', position: 12, eventId: null }]);
  });

  it('is found by the anchor file when everything is gone', async () => {
    for (const table of ['audit_event', 'audit_chain', 'audit_checkpoint', 'audit_pending'])
      await world.tamper(`delete from ${table}`);

    expect(await found()).toEqual([{ kind: 'checkpoint', position: 12, eventId: null }]);
  });

  it('is found when an event is deleted before it was linked', async () => {
    const [late] = await world.append(1);
    await world.tamper(`delete from audit_event where id = $1`, [late]);

    expect(await found()).toEqual([{ kind: 'deleted', position: null, eventId: late }]);
  });
});

describe('D11 An event that is kept out of the chain', () => {
  let kept: string;
  beforeEach(async () => {
    kept = (await world.append(1))[0] ?? '';
  });
  const later = async (seconds: number): Promise<void> => {
    world.clock.advance(seconds * 1000);
    await world.append(1);
  };

  it('is found at once when it was marked as refused, though the service wrote it', async () => {
    await world.tamper('update audit_pending set refused_at = now()');

    expect(await found()).toEqual([{ kind: 'deleted', position: null, eventId: kept }]);
    expect(await found({ withoutHmac: true })).toEqual([{ kind: 'deleted', position: null, eventId: kept }]);
    expect((await world.verify()).faults[0]?.message).toContain('is as the service wrote it, but was marked');
  });

  it.each([
    ['it was taken off the list of work', 'delete from audit_pending'],
    ['it waits and nobody links it', 'select 1'],
  ])('is found when %s and the newest event is a minute younger', async (_what, statement) => {
    await world.tamper(statement);
    await later(59);
    expect(await found()).toEqual([]);
    await later(2);

    expect(await found()).toEqual([{ kind: 'deleted', position: null, eventId: kept }]);
    expect((await world.verify()).faults[0]?.message).toContain('more than 60 seconds older');
  });

  it('is no fault while nothing newer was written: the service was killed before it linked it', async () => {
    world.clock.advance(3_600_000);

    expect(await world.verify({ anchorPath })).toMatchObject({ ok: true, unchained: 1 });
  });

  it('is named once when its link was deleted long after it was made', async () => {
    await chainAll(world);
    await later(3600);
    await chainAll(world);
    await world.tamper('delete from audit_chain where position = 5');

    expect(await found()).toEqual([{ kind: 'deleted', position: 5, eventId: id(5) }]);
  });
});

describe('D11 Order', () => {
  it.each([
    [3, 4],
    [5, 10],
    [1, 12],
  ])('swapped events of links %i and %i are found, both', async (one, other) => {
    await swap(one, other, 'event_id');

    expect(await found()).toEqual([
      { kind: 'reordered', position: one, eventId: id(one) },
      { kind: 'reordered', position: other, eventId: id(other) },
    ]);
  });

  it.each([
    [3, 4],
    [5, 10],
    [1, 12],
  ])('swapped positions %i and %i are found, both', async (one, other) => {
    await swap(one, other, 'event_id, hash');

    expect(await found()).toEqual([
      { kind: 'reordered', position: one, eventId: id(one) },
      { kind: 'reordered', position: other, eventId: id(other) },
    ]);
  });

  it('a link moved to the end is found where it belongs', async () => {
    await world.tamper(`update audit_chain set position = 99 where position = 6`);

    expect(await found()).toContainEqual({ kind: 'reordered', position: 6, eventId: id(6) });
  });

  const swap = async (one: number, other: number, columns: string): Promise<void> => {
    const names = columns.split(', ');
    const rows = await world.database.pool.query<Record<string, unknown>>(
      `select ${columns} from audit_chain where position in ($1, $2) order by position`,
      [one, other],
    );
    await world.tamper(`delete from audit_chain where position = $1`, [other]);
    const set = names.map((name, index) => `${name} = $${index + 2}`).join(', ');
    await world.tamper(`update audit_chain set ${set} where position = $1`, [
      one,
      ...names.map((name) => rows.rows[1]?.[name]),
    ]);
    const hash = names.includes('hash') ? rows.rows[0]?.['hash'] : hashes[other - 1];
    await world.tamper(`insert into audit_chain (position, event_id, hash) values ($1, $2, $3)`, [
      other,
      rows.rows[0]?.['event_id'],
      hash,
    ]);
  };

  let hashes: Buffer[];
  beforeEach(async () => {
    const { rows } = await world.database.pool.query<{ hash: Buffer }>(
      'select hash from audit_chain order by position',
    );
    hashes = rows.map((row) => row.hash);
  });
});

describe('D11 Somebody without the keys', () => {
  it('is found when they insert an event with a made-up HMAC', async () => {
    await insertForged('77777777-7777-7777-8777-777777777777');

    expect(await found()).toEqual([
      { kind: 'inserted', position: null, eventId: '77777777-7777-7777-8777-777777777777' },
    ]);
  });

  it('is found when they also append a correct link for it', async () => {
    const forged = '77777777-7777-7777-8777-777777777777';
    await insertForged(forged);
    await relink(12, 13, { 13: forged });

    expect(await found()).toEqual([
      { kind: 'inserted', position: 13, eventId: forged },
      { kind: 'checkpoint', position: 13, eventId: null },
    ]);
  });

  it('is found when they change an event and recompute every hash after it', async () => {
    await world.tamper(`update audit_event set actor = 'user:mallory' where id = $1`, [id(7)]);
    await relink(7, 12);

    expect(await found()).toEqual([
      { kind: 'changed', position: 7, eventId: id(7) },
      { kind: 'checkpoint', position: 10, eventId: null },
    ]);
    const { faults } = await world.verify({ withoutHmac: true });
    expect(faults.map((fault) => fault.message)).toEqual([
      'The chain was rewritten between positions 6 and 10: it does not lead to what checkpoint 2 signed.',
    ]);
  });

  it('is found when they take an event out, close the gap and recompute every hash after it', async () => {
    await world.tamper(`delete from audit_event where id = $1`, [id(7)]);
    await world.tamper(`delete from audit_chain where position = 7`);
    for (let position = 8; position <= 12; position += 1)
      await world.tamper(`update audit_chain set position = $1 - 1 where position = $1`, [position]);
    await relink(7, 11);

    expect(await found()).toEqual([
      { kind: 'checkpoint', position: 10, eventId: null },
      { kind: 'deleted', position: 12, eventId: null },
    ]);
  });

  const insertForged = (forged: string) =>
    world.tamper(
      `insert into audit_event select $1, at, actor, action, target_type, target_id, outcome, owner_id, organization_id,
         workspace_id, request_id, data, mac from audit_event where id = $2`,
      [forged, id(12)],
    );

  /** Recomputes the hashes from `from` to `to`, as anyone can who reads the source. */
  const relink = async (from: number, to: number, events: Record<number, string> = {}): Promise<void> => {
    const { digestOf } = await import('../../service/audit/audit-event.ts');
    const { eventOf, storedFields } = await import('../../service/audit/audit-tables.ts');
    const { sql } = await import('kysely');
    const db = world.database.as<unknown>();
    const before = await world.database.pool.query<{ hash: Buffer }>(
      'select hash from audit_chain where position = $1',
      [from - 1],
    );
    let hash = before.rows[0]?.hash ?? Buffer.alloc(32);
    for (let position = from; position <= to; position += 1) {
      const eventId = events[position];
      const { rows } = await sql<Parameters<typeof eventOf>[0] & { event_id: string }>`
        select e.id as event_id, ${storedFields} from audit_event e
        where e.id = coalesce(${eventId ?? null}::uuid, (select event_id from audit_chain where position = ${position}))`.execute(
        db,
      );
      const row = rows[0];
      const event = row === undefined ? null : eventOf(row);
      if (row === undefined || event === null) throw new Error(`no event for position ${position}`);
      hash = linkHash(hash, position, { id: row.event_id, digest: digestOf(event.fields), mac: event.mac });
      await world.tamper(
        `insert into audit_chain (position, event_id, hash) values ($1, $2, $3)
         on conflict (position) do update set hash = excluded.hash`,
        [position, row.event_id, hash],
      );
    }
  };
});

describe('D11 Links and checkpoints', () => {
  it.each([1, 5, 8, 12])('a changed hash of link %i is found there', async (position) => {
    await world.tamper(`update audit_chain set hash = set_byte(hash, 0, get_byte(hash, 0) # 1) where position = $1`, [
      position,
    ]);

    expect(await found()).toEqual([{ kind: 'changed', position, eventId: id(position) }]);
  });

  it('a link that names an event that never was is found', async () => {
    await world.tamper(`update audit_chain set event_id = '88888888-8888-7888-8888-888888888888' where position = 6`);

    expect(await found()).toEqual([{ kind: 'changed', position: 6, eventId: '88888888-8888-7888-8888-888888888888' }]);
  });

  it.each([
    [1, 10],
    [2, 12],
  ])('a deleted checkpoint %i is found by the one after it', async (sequence, position) => {
    await world.tamper(`delete from audit_checkpoint where sequence = $1`, [sequence]);

    const { faults } = await world.verify({ anchorPath });
    expect(faults).toEqual([
      { kind: 'checkpoint', position, eventId: null, message: `Checkpoint ${sequence} was deleted before this one.` },
    ]);
  });

  it('a deleted newest checkpoint is found by the links it covered, and by the anchor file', async () => {
    await world.tamper(`delete from audit_checkpoint where sequence = 3`);

    expect(await found()).toEqual([
      { kind: 'checkpoint', position: 11, eventId: null },
      { kind: 'checkpoint', position: 12, eventId: null },
    ]);
  });

  it.each([
    "hash = hash || '\\x00'",
    'position = 9',
    `at = at + interval '1 microsecond'`,
    `signature = set_byte(signature, 0, get_byte(signature, 0) # 1)`,
    `key_id = 'other'`,
  ])('an edited checkpoint (%s) is found', async (change) => {
    await world.tamper(`update audit_checkpoint set ${change} where sequence = 2`);

    const { ok, faults } = await world.verify({ anchorPath });
    expect(ok).toBe(false);
    expect(faults).toHaveLength(1);
    expect(faults[0]?.kind).toBe('checkpoint');
    expect(faults[0]?.message).toMatch(/^Checkpoint 2 (was changed|names the key other)/);
  });

  it('a position of 2^63-1 neither loops nor ends the walk early', async () => {
    await world.tamper(`update audit_chain set position = 9223372036854775807 where position = 12`);

    expect((await found()).map((fault) => fault.kind)).toContain('reordered');
  });

  it('a position below one is found', async () => {
    await world.tamper(`update audit_chain set position = -4 where position = 3`);

    expect(await found()).toContainEqual({ kind: 'reordered', position: 3, eventId: id(3) });
  });
});

describe('D11 The anchor file', () => {
  it('that was edited is found', async () => {
    const anchor = JSON.parse(await readFile(anchorPath, 'utf8')) as Record<string, unknown>;
    await writeFile(anchorPath, JSON.stringify({ ...anchor, position: 11 }));

    expect(await world.verify({ anchorPath })).toMatchObject({ ok: false, anchor: 'differs' });
  });

  it('that is not JSON is found', async () => {
    await writeFile(anchorPath, 'gone');

    expect(await world.verify({ anchorPath })).toMatchObject({ ok: false, anchor: 'differs' });
  });

  it('that is not there is said, and is no fault', async () => {
    expect(await world.verify({ anchorPath: join(folder, 'elsewhere.json') })).toMatchObject({
      ok: true,
      anchor: 'absent',
    });
  });

  it('that is older than the database matches', async () => {
    const older = await readFile(anchorPath, 'utf8');
    ids = [...ids, ...(await world.append(6))];
    await chainAll(world);
    await writeFile(anchorPath, older);

    expect(await world.verify({ anchorPath })).toMatchObject({ ok: true, anchor: 'matches' });
  });
});
