import type { Database } from '../../platform/database.ts';
import type { ZipEntry } from '../../platform/zip.ts';
import type { presentTask } from '../present-task.ts';
import { readEvents } from '../task-events.ts';
import type { TaskRecord } from '../task.ts';
import { artifactData, artifactsOf } from './artifact-store.ts';

/** Events may have 64 KiB each: no more than this is in memory of one export. */
const pageSize = 100;

/** Yields the events of a task as lines of JSON, one page of them at a time. */
export async function* transcriptLines(database: Database, taskId: string): AsyncGenerator<Buffer> {
  for (let seq = 0; ;) {
    const events = await readEvents(database, taskId, seq, pageSize);
    if (events.length > 0) yield Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    const last = events.at(-1);
    if (!last || events.length < pageSize) return;
    seq = last.seq;
  }
}

/** Yields what an archive of a task holds: the task, its transcript, and the files that it left. */
export async function* archiveOf(
  database: Database,
  task: TaskRecord,
  shown: ReturnType<typeof presentTask>,
): AsyncGenerator<ZipEntry> {
  const at = task.finishedAt ?? task.submittedAt;
  yield { name: 'task.json', at, data: [Buffer.from(`${JSON.stringify(shown, null, 2)}\n`)] };
  yield { name: 'transcript.ndjson', at, data: transcriptLines(database, task.id) };
  for (const artifact of await artifactsOf(database, task.id))
    yield {
      name: `artifacts/${artifact.name}`,
      at: artifact.completedAt,
      data: artifactData(database, artifact.id),
    };
}
