import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chainAll, openAuditWorld, type AuditWorld } from './audit-harness.ts';

const total = 23;
const evidence = ['audit_event', 'audit_chain', 'audit_checkpoint'] as const;

/** For each column an expression that gives another value of the same type, whatever `$1` (a random integer) is. */
const text = (column: string) =>
  `overlay(coalesce(${column}, '') placing chr(1000 + $1 % 5000) from 1 + $1 % (1 + length(coalesce(${column}, ''))))`;
const bytes = (column: string) =>
  `set_byte(${column}, $1 % length(${column}), get_byte(${column}, $1 % length(${column})) # (1 + $1 % 255))`;
const uuid = 'gen_random_uuid()';
const changes: Record<string, Record<string, string>> = {
  audit_event: {
    id: uuid,
    at: `at + make_interval(secs => (1 + $1) / 1000000.0)`,
    actor: `'user:' || ${text('actor')}`,
    action: `action || '_' || chr(97 + $1 % 26)`,
    target_type: text('target_type'),
    target_id: text('target_id'),
    outcome: `(array_remove(array['success', 'failure', 'denied', 'intent'], outcome))[1 + $1 % 3]`,
    owner_id: text('owner_id'),
    organization_id: text('organization_id'),
    workspace_id: text('workspace_id'),
    request_id: text('request_id'),
    data: `(case when $1 % 2 = 0 then repeat(' ', 1 + $1 % 7) || data::text else jsonb_set(data::jsonb, '{attempt}', to_jsonb(-1 - $1))::text end)::json`,
    mac: bytes('mac'),
  },
  audit_chain: { position: `position + ${total} + $1`, event_id: uuid, hash: bytes('hash') },
  audit_checkpoint: {
    sequence: `sequence + 1000 + $1`,
    position: `position + 1000 + $1`,
    hash: bytes('hash'),
    at: `at - make_interval(secs => (1 + $1) / 1000000.0)`,
    key_id: text('key_id'),
    signature: bytes('signature'),
  },
};

type Mutation = {
  readonly table: (typeof evidence)[number];
  readonly column: string | null;
  readonly row: number;
  readonly noise: number;
};

const mutation: fc.Arbitrary<Mutation> = fc.constantFrom(...evidence).chain((table) =>
  fc.record({
    table: fc.constant(table),
    // null deletes the row
    column: fc.constantFrom(null, ...Object.keys(changes[table] ?? {})),
    row: fc.nat({ max: 1000 }),
    noise: fc.nat({ max: 100_000 }),
  }),
);

describe('D11 A random change of a random row', () => {
  let world: AuditWorld;

  beforeAll(async () => {
    world = await openAuditWorld({ batch: 6 });
    await world.append(total);
    await chainAll(world);
    for (const table of evidence)
      await world.database.pool.query(`create table saved_${table} as select * from ${table}`);
  });
  afterAll(() => world.drop());

  it('is always found, and the right row is named', async () => {
    await fc.assert(
      fc.asyncProperty(mutation, async ({ table, column, row, noise }) => {
        const key = { audit_event: 'id', audit_chain: 'position', audit_checkpoint: 'sequence' }[table];
        const { rows } = await world.database.pool.query<Record<string, unknown>>(
          `select * from ${table} order by ${key}`,
        );
        const victim = rows[row % rows.length] ?? {};
        const place = await placeOf(table, victim);

        if (column === null) await world.tamper(`delete from ${table} where ${key} = $1`, [victim[key]]);
        else
          await world.tamper(
            `update ${table} set ${column} = ${changes[table]?.[column] ?? ''} where ${key} = '${String(victim[key])}' and $1::int >= 0`.replaceAll(
              '$1',
              String(noise),
            ),
          );
        const report = await world.verify();
        await restore();

        expect(report.ok).toBe(false);
        const named =
          table === 'audit_checkpoint'
            ? report.faults.filter(
                (fault) =>
                  fault.kind === 'checkpoint' &&
                  namesCheckpoint(fault.message, Number(victim['sequence']), Number(victim['position'])),
              )
            : report.faults.filter((fault) => fault.position === place.position || fault.eventId === place.eventId);
        expect({ named: named.length > 0, faults: report.faults }).toMatchObject({ named: true });
      }),
      { numRuns: 150 },
    );
    expect(await world.verify()).toMatchObject({ ok: true, events: total });
  });

  const placeOf = async (table: string, victim: Record<string, unknown>) => {
    if (table !== 'audit_event') return { position: Number(victim['position']), eventId: String(victim['event_id']) };
    const { rows } = await world.database.pool.query<{ position: number }>(
      'select position from audit_chain where event_id = $1',
      [victim['id']],
    );
    return { position: rows[0]?.position ?? null, eventId: String(victim['id']) };
  };

  /** By its number, or, for the newest one (nothing signed comes after it), by the links it leaves uncovered. */
  const namesCheckpoint = (message: string, sequence: number, position: number): boolean =>
    message.includes(`Checkpoint ${sequence} `) || message.includes(`to ${position}:`);

  const restore = async (): Promise<void> => {
    for (const table of evidence) {
      await world.tamper(`delete from ${table}`);
      await world.tamper(`insert into ${table} select * from saved_${table}`);
    }
  };
});
