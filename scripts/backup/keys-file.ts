import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ServiceError } from '../../service/platform/errors.ts';
import { keyFiles } from '../../service/platform/keys.ts';

const keysFile = z.object({ keyring: z.string(), audit_signing_key: z.string() });

export interface KeySources {
  readonly dataDir: string;
  /** CREDENTIAL_ENCRYPTION_KEYRING and AUDIT_SIGNING_KEY, where they are set. */
  readonly keyring?: string | undefined;
  readonly auditSigningKey?: string | undefined;
}

/** Writes the keys of the service beside a backup, for its owner only. Errors: `unavailable` when one cannot be found; `conflict` for a file that is there. */
export function writeKeys(path: string, { dataDir, keyring, auditSigningKey }: KeySources): void {
  if (existsSync(path)) throw isThereAlready(path);
  const read = (given: string | undefined, file: string): string => {
    const place = join(dataDir, 'keys', file);
    if (given !== undefined) return given;
    if (existsSync(place)) return readFileSync(place, 'utf8').trim();
    throw new ServiceError(
      'unavailable',
      'keys_missing',
      `There is no ${place}. Set CREDENTIAL_ENCRYPTION_KEYRING and AUDIT_SIGNING_KEY as the service has them, or name its data directory with --data-dir.`,
    );
  };
  const text = JSON.stringify(
    { keyring: read(keyring, keyFiles.keyring), audit_signing_key: read(auditSigningKey, keyFiles.auditSigningKey) },
    null,
    2,
  );
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true });
}

/**
 * Puts the keys of a backup into a data directory.
 *
 * Errors  `invalid` for a file that holds none; `conflict` where other keys are: they may be the only ones for other data.
 */
export function installKeys(path: string, dataDir: string): void {
  const keys = readKeys(path);
  mkdirSync(join(dataDir, 'keys'), { recursive: true, mode: 0o700 });
  for (const [file, text] of [
    [keyFiles.keyring, keys.keyring],
    [keyFiles.auditSigningKey, keys.audit_signing_key],
  ] as const) {
    const place = join(dataDir, 'keys', file);
    if (!existsSync(place)) writeFileSync(place, text, { mode: 0o600, flag: 'wx', flush: true });
    else if (readFileSync(place, 'utf8').trim() !== text) throw otherKeys(place);
  }
}

function readKeys(path: string): z.infer<typeof keysFile> {
  try {
    return keysFile.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    // Not the cause's words: they may repeat a key.
    throw new ServiceError(
      'invalid',
      'keys_unreadable',
      `${path} holds no keys of a backup. Name the file that --with-keys made.`,
      {
        cause,
      },
    );
  }
}

/** Also with --force: it may be the only copy of other keys. */
const isThereAlready = (path: string): ServiceError =>
  new ServiceError(
    'conflict',
    'keys_exist',
    `${path} is there already, and keys are never overwritten. Choose another name for --with-keys, or move it away.`,
  );

const otherKeys = (place: string): ServiceError =>
  new ServiceError(
    'conflict',
    'other_keys',
    `${place} holds another key than the backup's, and it may be the only one for other data. Move it away and restore again.`,
  );
