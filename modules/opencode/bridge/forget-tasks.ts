import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeVerifyPlaces } from './verify-place.ts';

/** A task that nobody resumed for a month is over; its transcript is in the service. */
const keptMs = 30 * 24 * 3_600_000;

/**
 * Deletes the harness data of tasks whose last attempt began long ago, and what killed verify runs left.
 *
 * Work trees and branches stay. The agent can write here: what cannot be read or removed is passed over, because
 * nothing on disk may keep the bridge from starting.
 */
export function forgetOldTasks(agentDir: string, now: Date): readonly string[] {
  const tasks = join(agentDir, 'tasks');
  const names = attempt(() => {
    const found = lstatSync(tasks, { throwIfNoEntry: false });
    if (found && !found.isDirectory()) rmSync(tasks, { force: true });
    return found?.isDirectory() ? readdirSync(tasks) : [];
  });
  return (names ?? []).filter((name) =>
    attempt(() => {
      const path = join(tasks, name);
      const entry = lstatSync(path);
      if (entry.isDirectory() && now.getTime() - entry.mtimeMs <= keptMs) {
        removeVerifyPlaces(path);
        return false;
      }
      rmSync(path, { recursive: true, force: true });
      return true;
    }),
  );
}

function attempt<Value>(work: () => Value): Value | null {
  try {
    return work();
  } catch {
    return null;
  }
}
