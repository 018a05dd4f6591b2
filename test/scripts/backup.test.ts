import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { runAuditVerify } from '../../scripts/audit.ts';
import { dump } from '../../scripts/backup/dump.ts';
import { writeKeys } from '../../scripts/backup/keys-file.ts';
import { load } from '../../scripts/backup/load.ts';
import { withDatabase } from '../../scripts/with-database.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/engine-harness.ts';
import { pushingWorkflow, startReplicas, type Replicas } from '../support/replicas/replicas.ts';

const program = join(import.meta.dirname, '..', '..', 'scripts', 'outrigger.mjs');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-backup-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const outrigger = (...words: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: folder };
    execFile(process.execPath, [program, ...words], { env, cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });

interface WorkflowAnswer {
  readonly state: string;
  readonly steps: readonly { readonly state: string; readonly outcome: string | null; readonly attempts: number }[];
}

describe('S-111 outrigger backup and restore, with the embedded Postgres', () => {
  let replicas: Replicas | undefined;
  afterEach(async () => {
    await replicas?.end();
    replicas = undefined;
  });

  it('S-111 gives the same audit head and the same work after a wipe, and what was under way goes on', async () => {
    replicas = await startReplicas({ count: 1 });
    const { api, forge } = replicas;
    const [stage] = replicas.stages;
    if (!stage) throw new Error('one replica');
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const worker = await replicas.addWorker('canoe', { slots: 2, gate });
    const paths: string[] = [];
    for (const name of ['one', 'two', 'three']) {
      const { id } = await api.post<{ id: string }>(
        '/api/v2/agents/agentzero/workflows',
        pushingWorkflow(name, worker.workspaceId),
      );
      paths.push(`/api/v2/agents/agentzero/workflows/${id}`);
    }
    await until('two attempts to be held, the third to wait', () => worker.begun.length === 2);
    const file = join(folder, 'monday.backup');
    const keys = join(folder, 'monday.keys');

    const backup = await outrigger('backup', file, '--with-keys', keys, '--data-dir', stage.dataDir);
    expect(backup).toMatchObject({ code: 0, stderr: '' });
    const head = /Audit head: (position \d+, [0-9a-f]{64})\./.exec(backup.stdout)?.[1] ?? 'none';
    expect([statSync(file).mode & 0o777, statSync(keys).mode & 0o777]).toEqual([0o600, 0o600]);
    const before = await Promise.all(paths.map((path) => api.get<WorkflowAnswer>(path)));

    stage.service()?.kill('SIGTERM');
    await stage.service()?.exited;
    rmSync(stage.dataDir, { recursive: true });
    const restored = await outrigger('restore', file, '--keys', keys, '--data-dir', stage.dataDir);

    expect(restored).toMatchObject({ code: 0, stderr: '' });
    expect(restored.stdout).toContain(`Audit head: ${head}.`);
    const verified = await runAuditVerify({ dataDir: stage.dataDir });
    expect(verified).toMatchObject({ ok: true, faults: [] });
    expect(await newestHead(stage.dataDir)).toBe(head);
    await stage.startService();
    expect(await Promise.all(paths.map((path) => api.get<WorkflowAnswer>(path)))).toEqual(before);
    open();
    for (const path of paths)
      await until(`${path} to finish`, async () => (await api.get<WorkflowAnswer>(path)).state === 'finished', 90_000);
    for (const path of paths)
      expect((await api.get<WorkflowAnswer>(path)).steps).toEqual(
        Array.from({ length: 3 }, () => expect.objectContaining({ outcome: 'succeeded', attempts: 1 }) as unknown),
      );
    expect([...forge.counts.values()]).toEqual(Array.from({ length: 9 }, () => 1));
    expect(await runAuditVerify({ dataDir: stage.dataDir })).toMatchObject({ ok: true, faults: [] });
  });
});

const newestHead = (dataDir: string): Promise<string> =>
  withDatabase({ dataDir }, async ({ pool }) => {
    const { rows } = await pool.query<{ position: number; hash: string }>(
      `select position, encode(hash, 'hex') as hash from outrigger.audit_checkpoint order by sequence desc limit 1`,
    );
    return `position ${rows[0]?.position}, ${rows[0]?.hash}`;
  });

describe('outrigger restore refuses, and changes nothing', () => {
  let from: TestDatabase;
  let to: TestDatabase;
  let file: string;
  beforeEach(async () => {
    from = await createTestDatabase();
    to = await createTestDatabase();
    file = join(folder, 'a.backup');
    await write(from, 'from');
    await dump(from.database, file, { version: '0.0.0', now: new Date(), force: false });
  });
  afterEach(async () => {
    await from.drop();
    await to.drop();
  });

  it('a database that holds work, until it is told to', async () => {
    await write(to, 'to');

    await expect(load(to.database, file, { force: false })).rejects.toMatchObject({ code: 'restore_over_data' });
    expect(await written(to)).toEqual(['to']);
    await load(to.database, file, { force: true });
    expect(await written(to)).toEqual(['from']);
  });

  it('while a service runs on it', async () => {
    await to.database.pool.query(`insert into outrigger.replica (id) values ('a-service')`);

    await expect(load(to.database, file, { force: true })).rejects.toMatchObject({ code: 'data_in_use' });
    expect(await written(to)).toEqual([]);
  });

  it('a backup of a later version', async () => {
    edit(file, (header) => ({
      ...header,
      migrations: [...(header['migrations'] as string[]), '2099-01-01-001-later'],
    }));

    await expect(load(to.database, file, { force: true })).rejects.toMatchObject({
      code: 'backup_newer',
      message: expect.stringContaining('2099-01-01-001-later') as unknown,
    });
  });

  it('a file that is cut off, and keeps what was there', async () => {
    await write(to, 'to');
    const whole = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
    writeFileSync(file, gzipSync(whole.slice(0, -1).join('\n') + '\n'));

    await expect(load(to.database, file, { force: true })).rejects.toMatchObject({ code: 'backup_unreadable' });
    expect(await written(to)).toEqual(['to']);
    writeFileSync(file, readFileSync(file).subarray(0, 200));
    await expect(load(to.database, file, { force: true })).rejects.toMatchObject({ code: 'backup_unreadable' });
    expect(await written(to)).toEqual(['to']);
  });

  it('a database whose last restore was killed, and gives back what that one had set aside', async () => {
    await write(to, 'to');
    // As a killed one leaves it: what was there is aside, and in its place are tables without rows.
    for (const schema of ['outrigger', 'dbos'])
      await to.database.pool.query(`alter schema ${schema} rename to ${schema}_before_restore`);
    const { pool } = to.database;
    await pool.query('create schema outrigger create table outrigger.audit_event (id uuid)');

    await expect(load(to.database, file, { force: false })).rejects.toMatchObject({ code: 'restore_over_data' });
    expect(await written(to)).toEqual(['to']);
    const { rows } = await pool.query(`select nspname from pg_namespace where nspname like '%before_restore'`);
    expect(rows).toEqual([]);
  });

  it('to overwrite a backup unasked', async () => {
    const again = { version: '0.0.0', now: new Date() };
    await expect(dump(from.database, file, { ...again, force: false })).rejects.toMatchObject({
      code: 'backup_exists',
    });
    // A draft that somebody left there, led elsewhere.
    const elsewhere = join(folder, 'elsewhere');
    symlinkSync(elsewhere, `${file}.part`);
    await dump(from.database, file, { ...again, force: true });
    expect([existsSync(elsewhere), statSync(file).mode & 0o777]).toEqual([false, 0o600]);
  });

  it('to overwrite keys, also when it may overwrite the backup', () => {
    const keys = join(folder, 'a.keys');
    writeFileSync(keys, 'the only ones');
    const made = { dataDir: folder, keyring: '{}', auditSigningKey: 'x' };

    expect(() => writeKeys(keys, made)).toThrow(/keys are never overwritten/);
    expect(readFileSync(keys, 'utf8')).toBe('the only ones');
  });
});

it('outrigger backup names the version of every key that its secrets need', async () => {
  const from = await createTestDatabase();
  try {
    const sealed = (version: string): Buffer => Buffer.concat([Buffer.of(1, version.length), Buffer.from(version)]);
    await from.database.pool.query(
      `insert into outrigger.template_secret (kid, organization_id, template_name, sealed, created_at, created_by)
       values ('a', gen_random_uuid(), 'docker', $1, now(), 'user:a')`,
      [sealed('old')],
    );
    await from.database.pool.query(
      `insert into outrigger.webhook (id, name, kind, owner_id, owner_name, organization_id, rules, work, sealed,
                                      created_at, updated_at, rotated_at)
       values (gen_random_uuid(), 'a', 'github', gen_random_uuid(), 'ada', gen_random_uuid(), '{}', '{}', $1,
               now(), now(), now())`,
      [sealed('new')],
    );

    const options = { version: '0.0.0', now: new Date(), force: false };
    const { header } = await dump(from.database, join(folder, 'a.backup'), options);

    expect(header.keys.encryption).toEqual(['new', 'old']);
  } finally {
    await from.drop();
  }
});

describe('outrigger restore of a backup of an earlier version', () => {
  it('gives the tables as they were then the rows, and brings both up to date', async () => {
    const from = await createTestDatabase();
    const to = await createTestDatabase();
    try {
      const file = join(folder, 'a.backup');
      await write(from, 'from');
      await dump(from.database, file, { version: '0.0.0', now: new Date(), force: false });
      // As it was before workspaces were looked after: without the table, and without two columns of another.
      const [header = '', ...lines] = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
      const { migrations, ...said } = JSON.parse(header) as { migrations: string[] };
      const earlier = { ...said, migrations: migrations.filter((name) => !name.endsWith('-workspace-upkeep')) };
      const kept = lines.filter((line) => !/"outrigger\.workspace_(check|ide)"/.test(line));
      writeFileSync(file, gzipSync([JSON.stringify(earlier), ...kept].join('\n')));

      await load(to.database, file, { force: false });

      expect(earlier.migrations).toHaveLength(migrations.length - 1);
      const { rows } = await to.database.pool.query<{ name: string }>(
        'select name from outrigger.kysely_migration order by name',
      );
      expect(rows.map(({ name }) => name)).toEqual(migrations);
      expect(await written(to)).toEqual(['from']);
    } finally {
      await from.drop();
      await to.drop();
    }
  });
});

/** An audit event stands for all data: without one there is none. */
const write = (to: TestDatabase, actor: string): Promise<unknown> =>
  to.database.pool.query(
    `insert into outrigger.audit_event (id, at, actor, action, target_type, target_id, outcome, data, mac)
     values (gen_random_uuid(), now(), $1, 'task.submitted', 'task', 'x', 'success', '{"b" : 1,  "a":2}', '\\x00ff')`,
    [`user:${actor}`],
  );

async function written({ database }: TestDatabase): Promise<string[]> {
  const { rows } = await database.pool.query<{ actor: string; data: string }>(
    'select actor, data::text as data from outrigger.audit_event',
  );
  // The bytes that were authenticated, spaces and all.
  for (const { data } of rows) expect(data).toBe('{"b" : 1,  "a":2}');
  return rows.map(({ actor }) => actor.replace('user:', ''));
}

function edit(file: string, change: (header: Record<string, unknown>) => Record<string, unknown>): void {
  const [first = '', ...rest] = gunzipSync(readFileSync(file)).toString().split('\n');
  const header = change(JSON.parse(first) as Record<string, unknown>);
  writeFileSync(file, gzipSync([JSON.stringify(header), ...rest].join('\n')));
}
