import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { createHash, randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Checkpoint } from './audit-chain.ts';

/**
 * Where the newest checkpoint is kept outside the database, beside the keys.
 *
 * Whoever deletes the end of the chain together with its checkpoints leaves a database that is consistent in itself;
 * only a memory outside the database can tell. Each database has a file of its own: one that was never here before
 * must not be taken for one that lost its past. `databaseUrl` is undefined for the embedded one.
 */
export function anchorPathIn(dataDir: string, databaseUrl?: string): string {
  if (databaseUrl === undefined) return join(dataDir, 'keys', 'audit-head.json');
  const { hostname, port, pathname } = new URL(databaseUrl);
  const id = createHash('sha256')
    .update(`${hostname}:${port || '5432'}${pathname}`)
    .digest('hex')
    .slice(0, 12);
  return join(dataDir, 'keys', `audit-head-${id}.json`);
}

/** The checkpoint in `path`; undefined when there is no file, null when it holds something else. */
export async function readAnchor(path: string): Promise<Checkpoint | null | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return parseAnchor(text);
}

function parseAnchor(text: string): Checkpoint | null {
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    return {
      sequence: Number(value['sequence']),
      position: Number(value['position']),
      hash: Buffer.from(String(value['hash']), 'hex'),
      at: String(value['at']),
      keyId: String(value['key_id']),
      signature: Buffer.from(String(value['signature']), 'hex'),
    };
  } catch {
    return null;
  }
}

/** Replaces the file as a whole, after the commit, so that it is never ahead of the database. */
export async function writeAnchor(path: string, checkpoint: Checkpoint): Promise<void> {
  const text = JSON.stringify({
    sequence: checkpoint.sequence,
    position: checkpoint.position,
    hash: checkpoint.hash.toString('hex'),
    at: checkpoint.at,
    key_id: checkpoint.keyId,
    signature: checkpoint.signature.toString('hex'),
  });
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text + '\n');
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
