import { Command } from 'commander';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { anchorPathIn } from '../service/audit/anchor.ts';
import type { AuditFault, AuditReport } from '../service/audit/audit-report.ts';
import type { AuditTables } from '../service/audit/audit-tables.ts';
import { verifyAudit } from '../service/audit/verify-audit.ts';
import { loadConfigFromProcess } from '../service/config.ts';
import type { Database } from '../service/platform/database.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { keyFiles, loadAuditKeys } from '../service/platform/keys.ts';
import { describePlace, isThere, withDatabase } from './with-database.ts';

export interface AuditVerification extends AuditReport {
  /** Which database, without credentials. */
  readonly database: string;
  /** Of the key that the checkpoints must be signed with. */
  readonly keyId: string;
  readonly durationMs: number;
}

export interface AuditVerifyOptions {
  readonly dataDir: string;
  /** Undefined: the embedded database of `dataDir`, running or not. */
  readonly databaseUrl?: string | undefined;
  /** AUDIT_SIGNING_KEY; undefined: the key file of `dataDir`. */
  readonly auditSigningKey?: string | undefined;
}

/**
 * Verifies the audit of one installation. Changes nothing, also while the service runs.
 *
 * Errors   `unavailable` or `invalid` when there is no database, no audit in it or no key to check it with.
 */
export async function runAuditVerify(options: AuditVerifyOptions): Promise<AuditVerification> {
  const { dataDir, databaseUrl, auditSigningKey } = options;
  if (!isThere(options)) throw noDatabase(dataDir);
  if (auditSigningKey === undefined && !existsSync(join(dataDir, 'keys', keyFiles.auditSigningKey)))
    throw noKey(dataDir);
  const keys = await loadAuditKeys({ directory: join(dataDir, 'keys'), auditSigningKey, mayGenerate: false });
  return withDatabase(options, async (database) => {
    await mustHoldAudit(database);
    const startedAt = performance.now();
    const report = await verifyAudit({ database, keys, anchorPath: anchorPathIn(dataDir, databaseUrl) });
    return {
      database: describePlace(options),
      keyId: keys.keyId,
      durationMs: Math.round(performance.now() - startedAt),
      ...report,
    };
  });
}

async function mustHoldAudit(database: Database): Promise<void> {
  const anyEvent = database.as<AuditTables>().selectFrom('audit_event').select('id').limit(1);
  await anyEvent.execute().catch((cause: unknown) => {
    throw noAudit(database.url, cause);
  });
}

const noDatabase = (dataDir: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'audit_database_missing',
    `There is no database in ${dataDir}. Name the data directory with --data-dir, or the database with --database-url.`,
  );

const noKey = (dataDir: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'audit_key_missing',
    `The audit cannot be checked without the service's key, and ${dataDir} holds none. Set AUDIT_SIGNING_KEY as the service has it, or name its data directory with --data-dir.`,
  );

const noAudit = (url: string, cause: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'audit_unreadable',
    `No audit can be read at ${describePlace({ dataDir: '', databaseUrl: url })}: ${(cause as Error).message}. Check that it is the service's database and that it runs.`,
    { cause },
  );

/** What a person reads: what was checked, each fault on its line, the verdict last. */
export function formatVerification(verification: AuditVerification): string[] {
  const { events, unchained, checkpoints, faults, faultsOmitted } = verification;
  const anchors: Record<AuditReport['anchor'], string> = {
    matches: 'the newest checkpoint outside the database matches',
    differs: 'DIFFERS from the newest checkpoint outside the database',
    absent: 'none outside the database: a deleted end of the chain would not be seen',
    not_checked: 'not checked',
  };
  const count = faults.length + faultsOmitted;
  return [
    `Audit: ${verification.database}`,
    `  events       ${events}, of which ${unchained} wait for their link`,
    `  checkpoints  ${checkpoints}, signed with key ${verification.keyId}`,
    `  anchor       ${anchors[verification.anchor]}`,
    ...faults.map(formatFault),
    ...(faultsOmitted > 0 ? [`  … and ${faultsOmitted} more`] : []),
    verification.ok
      ? `Verified in ${verification.durationMs} ms: nothing was changed, deleted, inserted or reordered.`
      : `NOT AS WRITTEN: ${count} fault${count === 1 ? '' : 's'}. Keep the database as it is and find out who could write to it.`,
  ];
}

const formatFault = ({ kind, position, eventId, message }: AuditFault): string =>
  `  ${kind.padEnd(11)}  ${position === null ? 'not linked' : `position ${position}`}${eventId === null ? '' : `, event ${eventId}`}: ${message}`;

interface Flags {
  readonly config?: string;
  readonly databaseUrl?: string;
  readonly dataDir?: string;
  readonly output: string;
}

/** `outrigger audit …` */
export function auditCommand(): Command {
  const command = new Command('audit').description('Verifies the audit');
  command
    .command('verify')
    .description('Checks every event, link and checkpoint, and names each row that is not as it was written')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('--database-url <url>', 'the database; otherwise DATABASE_URL, else the embedded one')
    .option('--data-dir <directory>', 'where keys and the embedded database are; otherwise OUTRIGGER_DATA_DIR')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText(
      'after',
      '\nExit codes: 0 as written · 1 faults found · 2 no database, no audit or no key\n\nExample:\n  outrigger audit verify --data-dir ./data\n',
    )
    .action(async (flags: Flags) => {
      if (flags.output !== 'text' && flags.output !== 'json') command.error('error: --output must be text or json');
      process.exitCode = await verifyAndPrint(flags);
    });
  return command;
}

async function verifyAndPrint(flags: Flags): Promise<number> {
  const config = loadConfigFromProcess(flags.config);
  try {
    const verification = await runAuditVerify({
      dataDir: flags.dataDir ?? config.dataDir,
      databaseUrl: flags.databaseUrl ?? config.databaseUrl,
      auditSigningKey: config.auditSigningKey,
    });
    if (flags.output === 'json') console.log(JSON.stringify(verification, null, 2));
    else for (const line of formatVerification(verification)) console.log(line);
    return verification.ok ? 0 : 1;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    console.error(error.message);
    return 2;
  }
}
