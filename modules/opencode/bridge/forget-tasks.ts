import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A task that nobody resumed for a month is over; its transcript is in the service. */
const keptMs = 30 * 24 * 3_600_000;

/** Deletes the harness data of tasks whose last attempt began long ago. Work trees and branches stay. */
export function forgetOldTasks(agentDir: string, now: Date): readonly string[] {
  const tasks = join(agentDir, 'tasks');
  if (!existsSync(tasks)) return [];
  const old = readdirSync(tasks).filter((name) => now.getTime() - statSync(join(tasks, name)).mtimeMs > keptMs);
  for (const name of old) rmSync(join(tasks, name), { recursive: true, force: true });
  return old;
}
