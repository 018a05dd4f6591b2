import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { loadConfigFromProcess } from '../service/config.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { dump, type Dumped } from './backup/dump.ts';
import { writeKeys } from './backup/keys-file.ts';
import { describePlace, isThere, withDatabase } from './with-database.ts';

interface Flags {
  readonly config?: string;
  readonly databaseUrl?: string;
  readonly dataDir?: string;
  readonly withKeys?: string;
  readonly force: boolean;
}

/** `outrigger backup …` */
export function backupCommand(): Command {
  return new Command('backup')
    .description('Copies everything the service knows into one file, while it runs or not')
    .argument('<file>', 'the file to write; or a folder, in which it is named by the time')
    .option('--with-keys <file>', 'also write the keys that open it, readable by you alone; keep them elsewhere')
    .option('--force', 'overwrite the file', false)
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('--database-url <url>', 'the database; otherwise DATABASE_URL, else the embedded one')
    .option('--data-dir <directory>', 'where keys and the embedded database are; otherwise OUTRIGGER_DATA_DIR')
    .addHelpText(
      'after',
      '\nThe file holds work, transcripts and the audit as they stood at one moment. Secrets in it stay sealed: without\n' +
        'the keys of the service they open nowhere.\n' +
        '\nExit codes: 0 written · 1 broken · 2 nothing there to copy, or the file is there already\n' +
        '\nExample:\n  outrigger backup monday.backup --with-keys monday.keys\n  outrigger restore monday.backup\n',
    )
    .action(async (target: string, flags: Flags) => {
      process.exitCode = await exitCodeOf(() => backUp(target, flags));
    });
}

/** 2 for what the person can mend, with its sentence; anything else is thrown on. */
export async function exitCodeOf(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    console.error(error.message);
    return error.kind === 'internal' ? 1 : 2;
  }
}

async function backUp(target: string, flags: Flags): Promise<void> {
  const config = loadConfigFromProcess(flags.config);
  const place = { dataDir: flags.dataDir ?? config.dataDir, databaseUrl: flags.databaseUrl ?? config.databaseUrl };
  if (!isThere(place)) throw noDatabase(place.dataDir);
  const now = new Date();
  const file = isFolder(target) ? join(target, `outrigger-${now.toISOString().replaceAll(':', '-')}.backup`) : target;
  // First, so that a missing key is known before the long part.
  if (flags.withKeys !== undefined) writeKeys(flags.withKeys, { ...config, dataDir: place.dataDir });
  const told = await withDatabase(place, (database) =>
    dump(database, file, { version: ownVersion(), now, force: flags.force }),
  );
  for (const line of formatBackup(file, describePlace(place), told, flags.withKeys)) console.log(line);
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

const ownVersion = (): string =>
  (JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string }).version;

function formatBackup(
  file: string,
  place: string,
  { header, rows, tables }: Dumped,
  keys: string | undefined,
): string[] {
  const { audit_head: head } = header;
  const { encryption, audit } = header.keys;
  return [
    `Wrote ${file}: ${rows} rows of ${tables} tables of ${place}.`,
    head === null ? 'Audit: nothing signed yet.' : `Audit head: position ${head.position}, ${head.hash}.`,
    encryption.length + audit.length === 0
      ? 'It holds nothing that needs a key.'
      : `It needs key version ${encryption.join(', ') || 'none'} to open its secrets, and audit key ${audit.join(', ') || 'none'}: ` +
        (keys === undefined
          ? 'they are not in it. Keep them too (--with-keys).'
          : `they are in ${keys}. Keep it elsewhere.`),
  ];
}

const noDatabase = (dataDir: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'nothing_to_back_up',
    `There is no database in ${dataDir}. Name the data directory with --data-dir, or the database with --database-url.`,
  );
