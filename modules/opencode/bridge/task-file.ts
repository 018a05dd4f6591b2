import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Lease } from '../../contract.ts';

/** Writes the prompt to `task.md` (the newest task) and to a file of the task's own; both read-only. */
export function writeTaskFiles(workspaceDir: string, lease: Lease): void {
  for (const file of [
    join(workspaceDir, '.outrigger', 'tasks', lease.task_id, 'task.md'),
    join(workspaceDir, 'task.md'),
  ]) {
    mkdirSync(dirname(file), { recursive: true });
    // A read-only file cannot be written again, but it can be replaced.
    const next = `${file}.${lease.task_id}.next`;
    writeFileSync(next, lease.prompt, { mode: 0o444 });
    renameSync(next, file);
  }
}
