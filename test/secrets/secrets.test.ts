import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import type { Transaction } from '../../service/platform/database.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeSeal } from '../../service/platform/seal.ts';
import { sealedTables } from '../../service/server-seals.ts';
import { organizationPlace, ownPlaces, type SecretPlace } from '../../service/secrets/secret-place.ts';
import { makeSecrets, type SecretUse, type Secrets } from '../../service/secrets/secrets.ts';
import { mustHoldKeys, resealAll, sealedBy } from '../../service/secrets/sealed-columns.ts';
import { eventually, makeTestClock, type TestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const other = randomUUID();
const [ada, bob] = [randomUUID(), randomUUID()];
const [one, two] = [randomUUID(), randomUUID()];
const canary = `canary-${randomBytes(8).toString('hex')}`;
const keys = { first: randomBytes(32), second: randomBytes(32) };

const ref = { name: 'ai-credentials', key: 'api-key' };
const use: SecretUse = { towards: 'gateway' };

let acme: string;
let organization: SecretPlace;
let inOne: SecretPlace;
let ofAda: SecretPlace;
let data: TestDatabase;
let clock: TestClock;
let secrets: Secrets;
beforeAll(async () => {
  data = await createTestDatabase();
});
afterAll(() => data.drop());
beforeEach(async () => {
  await data.database.pool.query('truncate secret, secret_scope, agent_secret, template_secret, webhook cascade');
  // An organization of its own, because no row of the audit goes away.
  acme = randomUUID();
  organization = organizationPlace(acme);
  [inOne, ofAda] = ownPlaces({ organizationId: acme, ownerId: ada, workspaceId: one }) as [SecretPlace, SecretPlace];
  clock = makeTestClock();
  secrets = secretsWith(sealOf('1'));
});

const ring = new Map([
  ['1', keys.first],
  ['2', keys.second],
]);
const sealOf = (current: string) => makeSeal({ keyring: ring, current });
const secretsWith = (seal: ReturnType<typeof sealOf>): Secrets =>
  makeSecrets({
    database: data.database,
    seal,
    audit: makeAuditLog({ database: data.database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger }),
    clock,
  });
const change = (place: SecretPlace = organization, name = ref.name) => ({
  place,
  name,
  actor: 'user:ada',
  requestId: null,
});
const put = (values: Record<string, string>, where = change(), rotateAfter: Date | null = null): Promise<void> =>
  data.database.transaction((tx) => secrets.put(tx, where, new Map(Object.entries(values)), rotateAfter));
const open = (place: SecretPlace, at = ref) => secrets.open([place], at, use);
const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
  (await data.database.pool.query(sql)).rows as Record<string, unknown>[];
const everything = async (): Promise<string> => {
  const tables = await rows("select tablename from pg_tables where schemaname = 'outrigger'");
  const all = [];
  for (const { tablename } of tables) {
    all.push(await rows(`select row_to_json(t)::text as text from "${String(tablename)}" t`));
    const binary =
      await rows(`select attname from pg_attribute where attrelid = 'outrigger."${String(tablename)}"'::regclass
      and atttypid = 'bytea'::regtype and attnum > 0 and not attisdropped`);
    for (const { attname } of binary)
      all.push(await rows(`select encode("${String(attname)}", 'escape') as text from "${String(tablename)}"`));
  }
  return JSON.stringify(all);
};

describe('named secrets', () => {
  it('open again for the place, name and key they were written for, and for no other', async () => {
    await put({ 'api-key': canary });

    expect(await open(organization)).toBe(canary);
    expect(await open(organization, { ...ref, key: 'token' })).toBeNull();
    expect(await open(organization, { ...ref, name: 'github-credentials' })).toBeNull();
    expect(await open(organizationPlace(other))).toBeNull();
    expect(await open(ofAda)).toBeNull();
    expect(await open(inOne)).toBeNull();
  });

  it('are found in the narrowest place first, and never in that of another owner or workspace', async () => {
    await put({ 'api-key': 'of all' });
    await put({ 'api-key': 'of ada' }, change(ofAda));
    await put({ 'api-key': 'in one' }, change(inOne));
    const openFor = (ownerId: string, workspaceId: string) =>
      secrets.open(ownPlaces({ organizationId: acme, ownerId, workspaceId }), ref, use);

    expect(await openFor(ada, one)).toBe('in one');
    expect(await openFor(ada, two)).toBe('of ada');
    expect(await openFor(bob, one)).toBeNull();
  });

  it.each([
    ['another organization', `organization_id = '${other}'`, () => organizationPlace(other), ref],
    ['another name', `name = 'theirs'`, () => organization, { ...ref, name: 'theirs' }],
    ['another key', `key = 'token'`, () => organization, { ...ref, key: 'token' }],
    ['its owner alone', `owner_id = '${ada}'`, () => ofAda, ref],
    ['a workspace', `owner_id = '${ada}', workspace_id = '${one}'`, () => inOne, ref],
  ])(
    'S-60 do not open when their row, or with it that of their data key, was moved to %s',
    async (_where, set, placeNow, at) => {
      const place = placeNow();
      await put({ 'api-key': canary });
      await data.database.pool.query(`update secret set ${set}`);
      const isElsewhere = !/^(name|key)/.test(set);
      if (isElsewhere) {
        expect(await open(place, at)).toBeNull();
        await data.database.pool.query(`update secret_scope set ${set}`);
      }

      await expect(open(place, at)).rejects.toMatchObject({ code: 'seal_broken' });
      expect(
        await rows(
          `select outcome from audit_event where action = 'agent_secret.used' and organization_id = '${place.organizationId}'`,
        ),
      ).toEqual([{ outcome: 'failure' }]);
    },
  );

  it.each(['secret', 'secret_scope'])(
    'S-60 do not open when any byte of their row in %s was flipped',
    async (table) => {
      await put({ 'api-key': canary });
      const [row] = await rows(`select sealed from ${table}`);
      const sealed = row?.['sealed'] as Buffer;

      for (let at = 0; at < sealed.length; at += 1) {
        const broken = Buffer.from(sealed);
        broken[at] = (broken[at] ?? 0) ^ 1;
        await data.database.pool.query(`update ${table} set sealed = $1`, [broken]);
        await expect(open(organization)).rejects.toMatchObject({ code: expect.stringMatching(/^seal_/) });
      }
    },
  );

  it('are replaced as a whole: a key that is not written again is gone', async () => {
    await put({ one: '1', two: '2' });
    await put({ two: 'II', three: '3' });

    expect(await open(organization, { ...ref, key: 'one' })).toBeNull();
    expect(await open(organization, { ...ref, key: 'two' })).toBe('II');
    expect((await secrets.list(organization)).map((secret) => secret.keys)).toEqual([['three', 'two']]);
  });

  it('P-37 show names, keys and times; no table of a database that was dumped holds a value in the clear', async () => {
    await put({ 'api-key': canary });
    await put({ 'api-key': canary }, change(inOne));
    clock.advance(1_000);
    await put({ token: canary }, change(organization, 'github-credentials'));
    await open(organization);
    await data.database.transaction((tx) => secrets.remove(tx, change()));

    expect(await secrets.list(organization)).toEqual([
      {
        name: 'github-credentials',
        keys: ['token'],
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        updatedBy: 'user:ada',
        rotateAfter: null,
        isOverdue: false,
      },
    ]);
    const dump = await everything();
    expect(dump).toContain('github-credentials');
    expect(dump).not.toContain(canary);
    expect(await rows(`select action from audit_event where organization_id = '${acme}' order by id`)).toMatchObject([
      { action: 'agent_secret.written' },
      { action: 'agent_secret.written' },
      { action: 'agent_secret.written' },
      { action: 'agent_secret.used' },
      { action: 'agent_secret.deleted' },
    ]);
  });

  it('are audited once for each attempt that uses them, and each time where it is nobody’s', async () => {
    await put({ 'api-key': canary });
    const task = { taskId: randomUUID(), attempt: 1, workspaceId: one, ownerId: ada };
    for (const attempt of [1, 1, 2]) await secrets.open([organization], ref, { ...use, task: { ...task, attempt } });
    for (let time = 0; time < 2; time += 1) await open(organization);

    expect(
      await rows(
        `select actor, owner_id, data->>'attempt' as attempt, data->>'towards' as towards from audit_event
          where action = 'agent_secret.used' and organization_id = '${acme}' order by id`,
      ),
    ).toEqual([
      { actor: `bridge:${one}`, owner_id: ada, attempt: '1', towards: 'gateway' },
      { actor: `bridge:${one}`, owner_id: ada, attempt: '2', towards: 'gateway' },
      { actor: 'service', owner_id: null, attempt: null, towards: 'gateway' },
      { actor: 'service', owner_id: null, attempt: null, towards: 'gateway' },
    ]);
  });

  it('are not written when their audit event is not', async () => {
    const failing = data.database.transaction(async (tx) => {
      await secrets.put(tx, change(), new Map([['api-key', canary]]));
      throw new Error('rolled back');
    });
    await expect(failing).rejects.toThrow('rolled back');

    expect(await rows('select 1 from secret')).toEqual([]);
    expect(await rows(`select 1 from audit_event where organization_id = '${acme}'`)).toEqual([]);
  });

  it('have one data key for each place, which the key ring seals', async () => {
    for (const place of [organization, ofAda, inOne]) {
      await put({ 'api-key': canary }, change(place));
      await put({ 'api-key': canary }, change(place, 'more'));
    }

    const ids = await rows('select key_id from secret_scope');
    expect(new Set(ids.map(({ key_id }) => key_id)).size).toBe(3);
    expect(await sealedBy(data.database, sealedTables)).toEqual(new Map([['1', 3]]));
  });
});

describe('S-61 rotation', () => {
  it('shows what is past its rotate_after, counts it, and forgets it once it is written again', async () => {
    const soon = new Date(clock.now().getTime() + 60_000);
    await put({ one: '1', two: '2' }, change(), soon);
    await put({ one: '1' }, change(inOne), soon);
    await put({ one: '1' }, change(ofAda, 'later'), new Date(soon.getTime() + 3_600_000));
    expect([...(await secrets.overdue())]).toEqual([]);
    clock.advance(60_000);

    expect([...(await secrets.overdue())]).toEqual([[acme, 2]]);
    expect((await secrets.list(organization))[0]).toMatchObject({ isOverdue: true, rotateAfter: soon });
    expect((await secrets.list(ofAda))[0]).toMatchObject({ isOverdue: false });
    await put({ one: 'I' });
    expect([...(await secrets.overdue())]).toEqual([[acme, 1]]);
  });

  it('leaves nothing unreadable and loses no write while 50 write and read, keys of the ring included', async () => {
    const places = [organization, ofAda, inOne, ...ownPlaces({ organizationId: acme, ownerId: bob })];
    const newer = secretsWith(sealOf('2'));
    const unreadable: unknown[] = [];
    let isOver = false;
    const writers = Array.from({ length: 50 }, async (_none, writer) => {
      const place = places[writer % places.length] as SecretPlace;
      const at = { name: `of-${writer}`, key: 'value' };
      // As replicas do while one after the other is given the new ring.
      const through = writer % 2 === 0 ? secrets : newer;
      let written = 0;
      while (!isOver || written === 0) {
        written += 1;
        const value = `${writer}/${written}`;
        await data.database.transaction((tx) =>
          through.put(tx, change(place, at.name), new Map([[at.key, value]]), null),
        );
        const read = await through.open([place], at, use).catch((error: unknown) => error);
        if (read !== value) unreadable.push([value, read]);
      }
      return { place, at, value: `${writer}/${written}` };
    });

    for (let round = 0; round < 4; round += 1) {
      await newer.rotate({ organizationId: acme }, change());
      await resealAll(data.database, sealOf('2'), '2', sealedTables);
    }
    isOver = true;
    const last = await Promise.all(writers);

    expect(unreadable).toEqual([]);
    for (const { place, at, value } of last) expect(await newer.open([place], at, use)).toBe(value);
  });

  it('exchanges data keys of an organization, or of one owner, and of nobody else', async () => {
    for (const place of [organization, ofAda, inOne, organizationPlace(other)])
      await put({ 'api-key': canary }, change(place));
    const idsBy = async () =>
      (
        await rows(
          'select key_id from secret_scope order by organization_id = $$' + acme + '$$, owner_id, workspace_id',
        )
      ).map(({ key_id }) => key_id);
    const before = await idsBy();

    expect(await secrets.rotate({ organizationId: acme, ownerId: ada }, change())).toEqual({ places: 2, values: 2 });
    const afterOwner = await idsBy();
    expect(await secrets.rotate({ organizationId: acme }, change())).toEqual({ places: 3, values: 3 });
    const afterAll = await idsBy();

    expect(before.map((id, index) => id === afterOwner[index])).toEqual([true, true, false, false]);
    expect(afterOwner.map((id, index) => id === afterAll[index])).toEqual([true, false, false, false]);
    for (const place of [organization, ofAda, inOne, organizationPlace(other)]) expect(await open(place)).toBe(canary);
  });

  it('makes an old key of the ring unneeded, for every table that has something sealed', async () => {
    const seal = sealOf('1');
    await put({ 'api-key': canary });
    await fillOthers(seal);

    expect([...(await sealedBy(data.database, sealedTables)).keys()]).toEqual(['1']);
    expect(await resealAll(data.database, sealOf('2'), '2', sealedTables)).toEqual({ resealed: 4, broken: 0 });

    const alone = makeSeal({ keyring: new Map([['2', keys.second]]), current: '2' });
    expect([...(await sealedBy(data.database, sealedTables)).keys()]).toEqual(['2']);
    await mustHoldKeys(data.database, alone, new Map([['2', keys.second]]), sealedTables);
    secrets = secretsWith(alone);
    expect(await open(organization)).toBe(canary);
    expect(await open(organization, { name: 'earlier', key: 'key' })).toBe('of before');
  });

  it('leaves what does not open as it is, and says how much that is', async () => {
    await put({ 'api-key': canary });
    await put({ 'api-key': canary }, change(ofAda));
    await data.database.pool.query(`update secret_scope set key_id = 'other' where owner_id <> ''`);

    expect(await resealAll(data.database, sealOf('2'), '2', sealedTables)).toEqual({ resealed: 1, broken: 1 });
    expect(await open(organization)).toBe(canary);
  });

  it('takes what an earlier version wrote into the envelope; what is newer there is not overwritten', async () => {
    await fillOthers(sealOf('1'));
    expect((await secrets.list(organization)).map(({ name }) => name)).toEqual(['earlier']);
    expect(await open(organization, { name: 'earlier', key: 'key' })).toBe('of before');

    await secrets.rotate({ organizationId: acme }, change());
    expect(await rows('select 1 from agent_secret')).toEqual([]);
    expect(await open(organization, { name: 'earlier', key: 'key' })).toBe('of before');

    await put({ key: 'newer' }, change(organization, 'earlier'));
    await fillEarlier(sealOf('1'), new Date(clock.now().getTime() - 1_000));
    await secrets.rotate({ organizationId: acme }, change());
    expect(await open(organization, { name: 'earlier', key: 'key' })).toBe('newer');
  });
});

describe('what an earlier version wrote', () => {
  const where = (): ReturnType<typeof change> => change(organization, 'earlier');
  it.each([
    ['written', (tx: Transaction) => secrets.put(tx, where(), new Map([['key', 'newer']])), 'newer'],
    ['deleted', (tx: Transaction) => secrets.remove(tx, where()), null],
  ] as const)('does not come back when it is %s while it is taken into the envelope', async (_how, work, value) => {
    await put({ other: 'x' });
    await fillEarlier(sealOf('1'), new Date(clock.now().getTime() - 1_000));
    let rotating: Promise<unknown> = Promise.resolve();
    await data.database.transaction(async (tx) => {
      await work(tx);
      rotating = secrets.rotate({ organizationId: acme }, change());
      await eventually('the rotation to wait', async () => {
        const waits = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return (await rows(waits)).length > 0;
      });
    });
    await rotating;

    expect(await open(organization, { name: 'earlier', key: 'key' })).toBe(value);
  });
});

describe('a place', () => {
  it('holds a bounded number of secrets, and one that is there can still be written', async () => {
    await put({ 'api-key': canary });
    await data.database.pool.query(
      `insert into secret (organization_id, owner_id, workspace_id, name, key, sealed, created_at, updated_at, updated_by)
       select $1, '', '', 'other-' || place, 'key', '', now(), now(), 'user:ada' from generate_series(1, 499) as place`,
      [acme],
    );

    await put({ 'api-key': 'again' });
    await expect(put({ key: 'x' }, change(organization, 'one-more'))).rejects.toMatchObject({
      code: 'secrets_too_many',
    });
    await put({ key: 'x' }, change(ofAda, 'one-more'));
  });
});

describe('S-60 a start', () => {
  const holding = (ofOne: Record<string, Buffer>) => {
    const keyring = new Map(Object.entries(ofOne));
    return mustHoldKeys(
      data.database,
      makeSeal({ keyring, current: [...keyring.keys()][0] ?? '' }),
      keyring,
      sealedTables,
    );
  };

  it('is refused while rows are sealed with a key that the ring lacks, and names it', async () => {
    await holding({ '2': keys.second });
    await put({ 'api-key': canary });

    await holding({ '1': keys.first, '2': keys.second });
    await expect(holding({ '2': keys.second })).rejects.toMatchObject({
      kind: 'invalid',
      code: 'encryption_key_missing',
      message: expect.stringContaining('key version 1'),
    });
  });

  it('is refused while the ring holds another key of that name', async () => {
    await put({ 'api-key': canary });

    await expect(holding({ '1': keys.second })).rejects.toMatchObject({ code: 'encryption_key_wrong' });
  });

  it('is not kept from happening by one row that was tampered with', async () => {
    await put({ 'api-key': canary });
    await put({ 'api-key': canary }, change(ofAda));
    await data.database.pool.query(`update secret_scope set key_id = 'moved' where owner_id <> ''`);

    await holding({ '1': keys.first });
  });

  it('looks at every table that has a column of that name', async () => {
    const found = await rows(`select table_name from information_schema.columns
      where table_schema = 'outrigger' and data_type = 'bytea' and column_name like '%seal%' order by 1`);
    // Values of secrets are sealed with data keys, not with the ring.
    const own = found.map(({ table_name }) => table_name).filter((name) => name !== 'secret');

    expect(own).toEqual(sealedTables.map(({ table }) => table).sort());
  });
});

async function fillEarlier(seal: ReturnType<typeof sealOf>, at = clock.now()): Promise<void> {
  const context = `agent_secret/${acme}/earlier/key`;
  await data.database.pool.query(
    `insert into agent_secret (organization_id, name, key, sealed, created_at, updated_at, updated_by)
     values ($1, 'earlier', 'key', $2, $3, $3, 'user:before')`,
    [acme, seal.seal('of before', context), at],
  );
}

async function fillOthers(seal: ReturnType<typeof sealOf>): Promise<void> {
  await fillEarlier(seal);
  await data.database.pool.query(
    `insert into template_secret (kid, organization_id, template_name, sealed, created_at, created_by)
     values ('000000000001', $1, 'docker', $2, $3, 'user:x')`,
    [acme, seal.seal('x', `template_secret/${acme}/docker/000000000001`), clock.now()],
  );
  const id = randomUUID();
  await data.database.pool.query(
    `insert into webhook (id, name, kind, owner_id, owner_name, organization_id, rules, work, sealed, created_at, updated_at, rotated_at)
     values ($1, 'hook', 'github', $2, 'ada', $3, '{}', '{}', $4, $5, $5, $5)`,
    [id, ada, acme, seal.seal('x', `webhook/${id}`), clock.now()],
  );
}
