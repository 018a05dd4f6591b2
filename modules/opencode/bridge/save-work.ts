import type { Story } from './attempt-parts.ts';
import { saveCheckpoint } from './checkpoint.ts';
import { textOf } from './log.ts';
import { taskDirectories } from './task-directories.ts';

/**
 * Makes a checkpoint of what an attempt has not committed, and tells the service; never throws.
 *
 * Nobody may come back to the work tree: the container can be gone for good, or its disk be copied without it.
 */
export async function saveWork({ parts, lease, progress }: Pick<Story, 'parts' | 'lease' | 'progress'>): Promise<void> {
  const { workTree } = progress;
  if (!workTree) return;
  const taskDir = taskDirectories(parts.settings.agentDir, lease.task_id).root;
  const ref = { task_id: lease.task_id, attempt: lease.attempt };
  try {
    const saved = await parts.alone(() => saveCheckpoint({ git: parts.git, workTree, lease, taskDir }));
    if (!saved?.isNew) return;
    const { isNew: _isNew, ...facts } = saved;
    parts.log('info', 'unfinished work saved', { ...ref, ...facts });
    parts.outbox.event('checkpoint.created', facts);
  } catch (error) {
    parts.log('error', 'unfinished work could not be saved; it is still in its work tree', {
      ...ref,
      error: textOf(error),
    });
  }
}
