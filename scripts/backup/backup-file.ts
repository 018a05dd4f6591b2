import { createReadStream, createWriteStream, existsSync, renameSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { ServiceError } from '../../service/platform/errors.ts';

/** What a backup says of itself, in its first line. */
const header = z.object({
  format: z.literal('outrigger-backup-1'),
  made_at: z.string(),
  /** The version of Outrigger that wrote it. */
  version: z.string(),
  /** Ours, by name; the database must be brought to exactly these before it takes the rows. */
  migrations: z.array(z.string()),
  engine_migration: z.number().int(),
  /** The newest signed link of the audit; null before the first. */
  audit_head: z.object({ position: z.number(), hash: z.string() }).nullable(),
  /** What opens the sealed secrets, and what signed the audit; the keys themselves are never in here. */
  keys: z.object({ encryption: z.array(z.string()), audit: z.array(z.string()) }),
});

export type BackupHeader = z.infer<typeof header>;

/** One table of a backup: where rows begin, a row (as the JSON text the database gave), the end with the number of all rows. */
const line = z.union([
  z.object({ table: z.string(), columns: z.array(z.string()) }),
  z.object({ sequence: z.string(), value: z.number() }),
  z.string(),
  z.object({ rows: z.number().int() }),
]);

export type BackupLine = z.infer<typeof line>;

/**
 * Writes a backup: gzip over lines of JSON, the header first.
 *
 * Safety  it appears under its name when it is whole, and only its owner may read it.
 */
export async function writeBackup(
  path: string,
  first: BackupHeader,
  lines: AsyncIterable<BackupLine>,
  options: { readonly force: boolean },
): Promise<void> {
  if (existsSync(path) && !options.force) throw isThereAlready(path);
  const draft = `${path}.part`;
  // One that is there could be readable by others, or a link.
  rmSync(draft, { force: true });
  async function* texts() {
    yield `${JSON.stringify(first)}\n`;
    for await (const one of lines) yield `${JSON.stringify(one)}\n`;
  }
  try {
    await pipeline(
      Readable.from(texts()),
      createGzip(),
      createWriteStream(draft, { flags: 'wx', mode: 0o600, flush: true }),
    );
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Opens a backup: its header, and its other lines as they are read. Errors: `invalid` for anything else or less. */
export async function openBackup(path: string): Promise<{ header: BackupHeader; lines: AsyncIterable<BackupLine> }> {
  if (!existsSync(path)) throw notThere(path);
  const file = createReadStream(path);
  const unpacked = createGunzip();
  file.on('error', (error) => unpacked.destroy(error));
  const texts = createInterface({ input: file.pipe(unpacked), crlfDelay: Infinity })[Symbol.asyncIterator]();
  // An error of the stream is not one of the lines.
  let failure: unknown;
  unpacked.on('error', (error) => (failure = error));
  const next = async (): Promise<unknown> => {
    const { value, done } = await texts.next().catch((error: unknown) => {
      throw notABackup(path, error);
    });
    if (failure !== undefined) throw notABackup(path, failure);
    return done ? undefined : parse(path, value);
  };
  const found = header.safeParse(await next());
  if (!found.success) throw notABackup(path, found.error);
  async function* rest() {
    let rows = 0;
    for (let value = await next(); value !== undefined; value = await next()) {
      const read = line.safeParse(value);
      if (!read.success) throw notABackup(path, read.error);
      if (typeof read.data === 'string') rows += 1;
      if (typeof read.data === 'object' && 'rows' in read.data) {
        if (read.data.rows !== rows) break;
        return;
      }
      yield read.data;
    }
    throw notABackup(path, new Error('its end is missing'));
  }
  return { header: found.data, lines: rest() };
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notABackup(path, error);
  }
}

const isThereAlready = (path: string): ServiceError =>
  new ServiceError(
    'conflict',
    'backup_exists',
    `${path} is there already, and a backup is not overwritten unasked. Choose another name, or add --force.`,
  );

const notThere = (path: string): ServiceError =>
  new ServiceError('not_found', 'backup_missing', `There is no ${path}. Name a file that outrigger backup made.`);

const notABackup = (path: string, cause: unknown): ServiceError =>
  new ServiceError(
    'invalid',
    'backup_unreadable',
    `${path} is no whole backup of Outrigger (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}). Nothing was changed. Take another copy of it.`,
    { cause },
  );
