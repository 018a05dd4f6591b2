import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { uuidv7, type Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database.ts';

interface Tables {
  artifact: {
    id: string;
    task_id: string;
    attempt: number;
    name: string;
    bytes: number;
    sha256: Buffer;
    received: number;
    created_at: Date;
    completed_at: Date | null;
  };
  artifact_chunk: { artifact_id: string; at: number; data: Buffer };
}

/** A whole file that a task left. */
export interface Artifact {
  readonly id: string;
  readonly taskId: string;
  readonly attempt: number;
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly completedAt: Date;
}

/** One that is on its way. */
export interface Upload {
  readonly id: string;
  /** Bytes that are here, from the first on. */
  readonly received: number;
}

const columns = ['id', 'task_id', 'attempt', 'name', 'bytes', 'sha256', 'completed_at'] as const;

type Row = Pick<Tables['artifact'], (typeof columns)[number]>;

const artifactFrom = (row: Row): Artifact => ({
  id: row.id,
  taskId: row.task_id,
  attempt: row.attempt,
  name: row.name,
  bytes: row.bytes,
  sha256: row.sha256.toString('hex'),
  completedAt: row.completed_at ?? new Date(0),
});

/** The whole files of a task, by name. */
export async function artifactsOf(database: Pick<Database, 'as'>, taskId: string): Promise<readonly Artifact[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('artifact')
    .select(columns)
    .where('task_id', '=', taskId)
    .where('completed_at', 'is not', null)
    .orderBy('name')
    .execute();
  return rows.map(artifactFrom);
}

export async function readArtifact(database: Database, taskId: string, id: string): Promise<Artifact | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('artifact')
    .select(columns)
    .where('task_id', '=', taskId)
    .where('id', '=', id)
    .where('completed_at', 'is not', null)
    .executeTakeFirst();
  return row ? artifactFrom(row) : null;
}

/** Yields the bytes of a file, one chunk in memory at a time. */
export async function* artifactData(database: Pick<Database, 'as'>, id: string): AsyncGenerator<Buffer> {
  for (let from = 0; ;) {
    const row = await database
      .as<Tables>()
      .selectFrom('artifact_chunk')
      .select(['at', 'data'])
      .where('artifact_id', '=', id)
      .where('at', '>=', from)
      .orderBy('at')
      .limit(1)
      .executeTakeFirst();
    if (!row) return;
    yield row.data;
    from = row.at + row.data.length;
  }
}

/** What the task has of this name now: whole, on its way, and all of it together. */
export async function standOf(
  tx: Transaction,
  taskId: string,
  name: string,
): Promise<{ whole: Artifact | null; upload: (Upload & { bytes: number; sha256: string }) | null }> {
  const rows = await tx
    .as<Tables>()
    .selectFrom('artifact')
    .select([...columns, 'received'])
    .where('task_id', '=', taskId)
    .where('name', '=', name)
    .execute();
  const whole = rows.find((row) => row.completed_at !== null);
  const open = rows.find((row) => row.completed_at === null);
  return {
    whole: whole ? artifactFrom(whole) : null,
    upload: open
      ? { id: open.id, received: open.received, bytes: open.bytes, sha256: open.sha256.toString('hex') }
      : null,
  };
}

/** Files of a task and their bytes, those on their way among them but none of this name. */
export async function sumOf(
  tx: Transaction,
  taskId: string,
  except: string,
): Promise<{ files: number; bytes: number }> {
  const { rows } = await sql<{ files: number; bytes: number }>`
    select count(*)::int as files, coalesce(sum(bytes), 0)::float8 as bytes
      from (select max(bytes) as bytes from artifact where task_id = ${taskId} and name <> ${except} group by name) each
  `.execute(tx.as<unknown>());
  return rows[0] ?? { files: 0, bytes: 0 };
}

export async function beginUpload(
  tx: Transaction,
  clock: Clock,
  file: { taskId: string; attempt: number; name: string; bytes: number; sha256: string },
): Promise<Upload> {
  const id = uuidv7(clock);
  await tx
    .as<Tables>()
    .insertInto('artifact')
    .values({
      id,
      task_id: file.taskId,
      attempt: file.attempt,
      name: file.name,
      bytes: file.bytes,
      sha256: Buffer.from(file.sha256, 'hex'),
      received: 0,
      created_at: clock.now(),
      completed_at: null,
    })
    .execute();
  return { id, received: 0 };
}

export async function addChunk(tx: Transaction, upload: Upload, data: Buffer): Promise<Upload> {
  const received = upload.received + data.length;
  await tx
    .as<Tables>()
    .insertInto('artifact_chunk')
    .values({ artifact_id: upload.id, at: upload.received, data })
    .execute();
  await tx.as<Tables>().updateTable('artifact').set({ received }).where('id', '=', upload.id).execute();
  return { ...upload, received };
}

/** Makes an upload the file of its name; false, and gone, where its bytes are not those that were announced. */
export async function completeUpload(tx: Transaction, now: Date, uploadId: string): Promise<boolean> {
  const upload = await tx
    .as<Tables>()
    .selectFrom('artifact')
    .select(['task_id', 'name', 'sha256'])
    .where('id', '=', uploadId)
    .executeTakeFirstOrThrow();
  const hash = createHash('sha256');
  for await (const piece of artifactData(tx, uploadId)) hash.update(piece);
  if (!hash.digest().equals(upload.sha256)) {
    await dropArtifact(tx, uploadId);
    return false;
  }
  await tx
    .as<Tables>()
    .deleteFrom('artifact')
    .where('task_id', '=', upload.task_id)
    .where('name', '=', upload.name)
    .where('completed_at', 'is not', null)
    .execute();
  await tx.as<Tables>().updateTable('artifact').set({ completed_at: now }).where('id', '=', uploadId).execute();
  return true;
}

export async function dropArtifact(tx: Transaction, id: string): Promise<void> {
  await tx.as<Tables>().deleteFrom('artifact').where('id', '=', id).execute();
}

/** Deletes every file of a task; answers how many. */
export async function dropArtifactsOf(tx: Transaction, taskId: string): Promise<number> {
  const { numDeletedRows } = await tx
    .as<Tables>()
    .deleteFrom('artifact')
    .where('task_id', '=', taskId)
    .executeTakeFirst();
  return Number(numDeletedRows);
}

/** Forgets what was on its way and never came. */
export async function forgetLostUploads(tx: Transaction, before: Date): Promise<void> {
  await tx
    .as<Tables>()
    .deleteFrom('artifact')
    .where('completed_at', 'is', null)
    .where('created_at', '<', before)
    .execute();
}
