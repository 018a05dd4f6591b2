import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeVerifyPlaces } from './verify-place.ts';

/** A task that nobody resumed for a month is over; its transcript is in the service. */
const keptMs = 30 * 24 * 3_600_000;
/** Of the others the newest: a megabyte each, so that many short tasks do not fill the disk before a month is over. */
const keptTasks = 64;

/**
 * Deletes the harness data of tasks whose last attempt began long ago or before those of many others, and what killed
 * verify runs left. A task that is resumed without its data begins a new session.
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
  const entries = (names ?? []).flatMap((name) => {
    const entry = attempt(() => lstatSync(join(tasks, name)));
    return entry ? [{ name, isDirectory: entry.isDirectory(), ageMs: now.getTime() - entry.mtimeMs }] : [];
  });
  const kept = entries
    .filter(({ isDirectory, ageMs }) => isDirectory && ageMs <= keptMs)
    .sort((one, other) => one.ageMs - other.ageMs)
    .slice(0, keptTasks)
    .map(({ name }) => name);
  for (const name of kept) attempt(() => removeVerifyPlaces(join(tasks, name)));
  return entries
    .map(({ name }) => name)
    .filter((name) => !kept.includes(name))
    .filter((name) =>
      attempt(() => {
        rmSync(join(tasks, name), { recursive: true, force: true });
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
