import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Migrator } from 'kysely';
import { formatVerification, runAuditVerify, type AuditVerifyOptions } from '../../scripts/audit.ts';
import { anchorPathIn } from '../../service/audit/anchor.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { makeChainer } from '../../service/audit/chainer.ts';
import { migrations } from '../../service/audit/migrations.ts';
import { systemClock } from '../../service/platform/clock.ts';
import { openDatabase } from '../../service/platform/database.ts';
import { startEmbeddedPostgres } from '../../service/platform/embedded-postgres.ts';
import type { ServiceError } from '../../service/platform/errors.ts';
import { loadOrCreateKeys } from '../../service/platform/keys.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { anEntry, chainAll, openAuditWorld, type AuditWorld } from './audit-harness.ts';

const program = join(import.meta.dirname, '../../scripts/outrigger.mjs');
const signingKey = Buffer.alloc(32, 7).toString('base64');
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outrigger-verify-'));
});
afterEach(() => rm(folder, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `outrigger audit verify` with nothing of this process's own configuration. */
const verify = (flags: readonly string[], environment: Record<string, string> = {}): Promise<Ended> =>
  new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: folder, ...environment };
    execFile(
      process.execPath,
      [program, 'audit', 'verify', ...flags],
      { env, cwd: folder },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });

describe('outrigger audit verify, on a database of one’s own (part of S-64)', () => {
  let world: AuditWorld;
  let ids: string[];
  beforeEach(async () => {
    world = await openAuditWorld();
    ids = await world.append(8);
    await chainAll(world);
  });
  afterEach(() => world.drop());

  it('ends with 0 and says what it checked, without password or key', async () => {
    const ended = await verify(['--database-url', world.url, '--data-dir', folder], { AUDIT_SIGNING_KEY: signingKey });

    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(
      /events +8, of which 0 wait[^]*checkpoints +2, signed with key [0-9a-f]{16}[^]*Verified in \d+ ms/,
    );
    expect(ended.stdout).not.toContain(signingKey);
    expect(ended.stdout).toContain(`Audit: ${new URL(world.url).hostname}:`);
    expect(ended.stdout).not.toContain('postgres://');
  });

  it('ends with 1 and gives a program each row and what happened to it', async () => {
    await world.tamper(`delete from audit_chain where position = 4`);

    const ended = await verify(['--data-dir', folder, '-o', 'json'], {
      AUDIT_SIGNING_KEY: signingKey,
      DATABASE_URL: world.url,
    });

    expect(ended.code).toBe(1);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      ok: false,
      events: 8,
      anchor: 'absent',
      faults: [{ kind: 'deleted', position: 4, eventId: ids[3] }],
    });
  });

  it('gives a person a line for each', async () => {
    await world.tamper(`update audit_event set actor = 'user:mallory' where id = $1`, [ids[2]]);
    await world.tamper(`delete from audit_event where id = $1`, [ids[5]]);

    const lines = formatVerification(
      await runAuditVerify({ dataDir: folder, databaseUrl: world.url, auditSigningKey: signingKey }),
    );

    expect(lines).toContain(`  changed      position 3, event ${ids[2]}: The event is not as the service wrote it.`);
    expect(lines).toContain(`  deleted      position 6, event ${ids[5]}: The event was deleted; its link remains.`);
    expect(lines.at(-1)).toContain('NOT AS WRITTEN: 2 faults');
  });

  it('trusts nothing when it is given another key', async () => {
    const auditSigningKey = Buffer.alloc(32, 8).toString('base64');
    const { ok, faults } = await runAuditVerify({ dataDir: folder, databaseUrl: world.url, auditSigningKey });

    expect(ok).toBe(false);
    expect(faults.map((fault) => fault.message).join()).toMatch(/Checkpoint 1 names the key/);
  });
});

describe('outrigger audit verify says what to do (part of S-64)', () => {
  const nowhere = 'postgres://root:CANARY@127.0.0.1:1/x';

  it('and ends with 2', async () => {
    const ended = await verify(['--data-dir', folder]);

    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('There is no database in');
  });

  it.each<[string, Partial<AuditVerifyOptions>, string]>([
    ['there is no database', {}, 'There is no database in'],
    ['there is no key', { databaseUrl: nowhere }, 'Set AUDIT_SIGNING_KEY'],
    ['the key is none', { databaseUrl: nowhere, auditSigningKey: 'CANARY' }, 'AUDIT_SIGNING_KEY is neither'],
    ['nothing answers', { databaseUrl: nowhere, auditSigningKey: signingKey }, 'No audit can be read at 127.0.0.1:1/x'],
    ['the URL is none', { databaseUrl: 'CANARY', auditSigningKey: signingKey }, 'The database URL is none'],
  ])('when %s', async (_what, options, words) => {
    const refusal = await runAuditVerify({ dataDir: folder, ...options }).catch(
      (error: unknown) => error as ServiceError,
    );

    expect((refusal as ServiceError).name).toBe('ServiceError');
    expect((refusal as ServiceError).message).toContain(words);
    expect((refusal as ServiceError).message).not.toContain('CANARY');
  });
});

describe('outrigger audit verify, on the embedded database (part of S-64)', () => {
  it('verifies while it runs, and when it is stopped, and leaves it as it was', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres') });
    try {
      await writeAudit(postgres.url);

      const running = await verify(['--data-dir', folder]);

      expect(running).toMatchObject({ code: 0, stderr: '' });
      expect(running.stdout).toContain('the newest checkpoint outside the database matches');
      expect(await answers(postgres.url)).toBe(true);
    } finally {
      await postgres.stop();
    }

    const stopped = await verify(['--data-dir', folder]);

    expect(stopped).toMatchObject({ code: 0, stderr: '' });
    expect(stopped.stdout).toMatch(/events +4, of which 1 wait/);
    expect(await answers(postgres.url)).toBe(false);

    await writeFile(anchorPathIn(folder), 'damaged');
    expect(await verify(['--data-dir', folder])).toMatchObject({ code: 1 });
  });

  const writeAudit = async (url: string): Promise<void> => {
    const database = openDatabase({ url });
    await database.pool.query('create schema if not exists outrigger');
    const provider = { getMigrations: () => Promise.resolve(migrations) };
    await new Migrator({ db: database.as<unknown>(), provider, migrationTableSchema: 'outrigger' }).migrateToLatest();
    await mkdir(join(folder, 'keys'), { mode: 0o700 });
    const { auditKeys: keys } = await loadOrCreateKeys({ directory: join(folder, 'keys') });
    const common = { database, keys, clock: systemClock, log: silentLogger };
    const audit = makeAuditLog(common);
    const chainer = makeChainer({ ...common, anchorPath: anchorPathIn(folder) });
    const append = (index: number) => database.transaction((tx) => audit.append(tx, anEntry(index)));
    for (const index of [1, 2, 3]) await append(index);
    await chainer.chainOnce();
    await append(4);
    await database.close();
  };

  const answers = async (url: string): Promise<boolean> => {
    const database = openDatabase({ url });
    try {
      await database.pool.query('select 1');
      return true;
    } catch {
      return false;
    } finally {
      await database.close();
    }
  };
});
