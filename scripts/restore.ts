import { renameSync } from 'node:fs';
import { Command } from 'commander';
import { anchorPathIn, readAnchor } from '../service/audit/anchor.ts';
import { loadConfigFromProcess } from '../service/config.ts';
import { prepareDataDirectory } from '../service/platform/data-directory.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { exitCodeOf } from './backup.ts';
import { openBackup, type BackupHeader } from './backup/backup-file.ts';
import { installKeys } from './backup/keys-file.ts';
import { load } from './backup/load.ts';
import { describePlace, withDatabase } from './with-database.ts';

interface Flags {
  readonly config?: string;
  readonly databaseUrl?: string;
  readonly dataDir?: string;
  readonly keys?: string;
  readonly force: boolean;
}

/** `outrigger restore …` */
export function restoreCommand(): Command {
  return new Command('restore')
    .description('Puts a backup into the database of a service that is stopped')
    .argument('<file>', 'what outrigger backup wrote')
    .option('--keys <file>', 'the keys that --with-keys wrote, where this service has none yet')
    .option('--force', 'replace what is in the database, also where its audit went on after the backup', false)
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('--database-url <url>', 'the database; otherwise DATABASE_URL, else the embedded one')
    .option('--data-dir <directory>', 'where keys and the embedded database are; otherwise OUTRIGGER_DATA_DIR')
    .addHelpText(
      'after',
      '\nWork that waited or was under way when the backup was made goes on at the next start of the service.\n' +
        '\nExit codes: 0 restored · 1 broken, nothing changed · 2 refused, nothing changed\n' +
        '\nExample:\n  outrigger restore monday.backup --keys monday.keys\n  outrigger audit verify\n',
    )
    .action(async (file: string, flags: Flags) => {
      process.exitCode = await exitCodeOf(() => restore(file, flags));
    });
}

async function restore(file: string, flags: Flags): Promise<void> {
  const config = loadConfigFromProcess(flags.config);
  const place = { dataDir: flags.dataDir ?? config.dataDir, databaseUrl: flags.databaseUrl ?? config.databaseUrl };
  const anchorPath = anchorPathIn(place.dataDir, place.databaseUrl);
  const { header } = await openBackup(file);
  const isAhead = await anchorIsAhead(anchorPath, header);
  if (isAhead && !flags.force) throw auditWentOn(header);
  prepareDataDirectory(place.dataDir);
  if (flags.keys !== undefined) installKeys(flags.keys, place.dataDir);
  const { rows } = await withDatabase(place, (database) => load(database, file, flags));
  console.log(`Restored ${rows} rows of ${header.made_at} into ${describePlace(place)}.`);
  if (header.audit_head) console.log(`Audit head: position ${header.audit_head.position}, ${header.audit_head.hash}.`);
  if (isAhead) {
    const kept = `${anchorPath}.before-restore`;
    renameSync(anchorPath, kept);
    console.log(`The audit here had gone on after the backup. Its last head is kept in ${kept}.`);
  }
  console.log('Check it with: outrigger audit verify. Then start the service.');
}

/** The head that is remembered outside the database: a later one means that a restore takes events away. */
async function anchorIsAhead(path: string, { audit_head: head }: BackupHeader): Promise<boolean> {
  const anchor = await readAnchor(path);
  if (anchor === undefined) return false;
  return anchor === null || anchor.position > (head?.position ?? 0);
}

const auditWentOn = ({ made_at: madeAt }: BackupHeader): ServiceError =>
  new ServiceError(
    'conflict',
    'audit_went_on',
    `The audit here went on after ${madeAt}, when the backup was made, and a restore takes that away. If that is meant, add --force. Nothing was changed.`,
  );
