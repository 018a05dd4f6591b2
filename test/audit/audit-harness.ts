import { createTestDatabase } from '../support/database.ts';
import { makeAuditLog, type AuditLog } from '../../service/audit/audit-log.ts';
import type { AuditEntry } from '../../service/audit/audit-event.ts';
import { makeChainer, type Chainer } from '../../service/audit/chainer.ts';
import { verifyAudit } from '../../service/audit/verify-audit.ts';
import type { AuditReport } from '../../service/audit/audit-report.ts';
import { createLogger } from '../../service/platform/logger.ts';
import { loadOrCreateKeys, type AuditKeys } from '../../service/platform/keys.ts';
import type { Database } from '../../service/platform/database.ts';

export const alice = '11111111-1111-4111-8111-111111111111';
export const workspace = '22222222-2222-4222-8222-222222222222';
const signingKey = Buffer.alloc(32, 7).toString('base64');

export const testAuditKeys = async (seed = signingKey): Promise<AuditKeys> => {
  const keys = await loadOrCreateKeys({
    directory: '/nonexistent',
    keyring: JSON.stringify({ '1': Buffer.alloc(32, 1).toString('base64') }),
    auditSigningKey: seed,
  });
  return keys.auditKeys;
};

export interface AuditWorld {
  readonly database: Database;
  readonly url: string;
  readonly keys: AuditKeys;
  readonly audit: AuditLog;
  readonly chainer: Chainer;
  readonly lines: string[];
  readonly clock: { now(): Date; advance(ms: number): void };
  append(count: number, entry?: Partial<AuditEntry>): Promise<string[]>;
  verify(options?: { anchorPath?: string; withoutHmac?: boolean }): Promise<AuditReport>;
  /** Runs SQL with the triggers off, as somebody who owns the database can. */
  tamper(statement: string, parameters?: unknown[]): Promise<void>;
  drop(): Promise<void>;
}

export async function openAuditWorld(options: { anchorPath?: string; batch?: number } = {}): Promise<AuditWorld> {
  const { database, url, drop } = await createTestDatabase();
  const keys = await testAuditKeys();
  const lines: string[] = [];
  const log = createLogger({ level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
  let time = Date.parse('2026-11-21T09:00:00.000Z');
  const clock = { now: () => new Date(time), advance: (ms: number) => void (time += ms) };
  const audit = makeAuditLog({ database, keys, clock, log });
  const chainer = makeChainer({
    database,
    keys,
    clock,
    log,
    batch: options.batch ?? 5,
    ...(options.anchorPath === undefined ? {} : { anchorPath: options.anchorPath }),
  });
  return {
    database,
    url,
    keys,
    audit,
    chainer,
    lines,
    clock,
    async append(count, entry = {}) {
      const ids: string[] = [];
      for (let index = 0; index < count; index += 1) {
        clock.advance(7);
        ids.push(await database.transaction((tx) => audit.append(tx, { ...anEntry(index), ...entry })));
      }
      return ids;
    },
    verify: ({ anchorPath, withoutHmac } = {}) =>
      verifyAudit({
        database,
        keys: withoutHmac === true ? { publicKey: keys.publicKey, keyId: keys.keyId } : keys,
        ...(anchorPath === undefined ? {} : { anchorPath }),
      }),
    async tamper(statement, parameters) {
      const client = await database.pool.connect();
      try {
        await client.query('set session_replication_role = replica');
        await client.query(statement, parameters);
      } finally {
        await client.query('reset session_replication_role');
        client.release();
      }
    },
    drop,
  };
}

export const anEntry = (index: number): AuditEntry => ({
  actor: index % 2 === 0 ? `user:${alice}` : 'service',
  action: 'task.finished',
  target: { type: 'task', id: `task-${index}` },
  outcome: 'success',
  ownerId: alice,
  organizationId: '33333333-3333-4333-8333-333333333333',
  workspaceId: workspace,
  requestId: `request-${index}`,
  data: { attempt: index, reason: 'Ünïcode "quoted"', stopped: false, detail: null },
});

/** Links everything that waits. */
export async function chainAll(world: Pick<AuditWorld, 'chainer'>): Promise<number> {
  let total = 0;
  for (;;) {
    const linked = await world.chainer.chainOnce();
    if (linked === 0) return total;
    total += linked;
  }
}
