import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What an IDE starts with; whatever the person chooses afterwards stays.
 *
 * Git in a repository that the agent can write runs what its configuration names. Workspace Trust keeps it off until
 * the person trusts the folder; this keeps it off after that too, until they turn it on.
 */
const firstSettings: Readonly<Record<string, unknown>> = {
  'security.workspace.trust.enabled': true,
  'security.workspace.trust.startupPrompt': 'always',
  'security.workspace.trust.untrustedFiles': 'prompt',
  'git.enabled': false,
  'git.autofetch': false,
  'git.openRepositoryInParentFolders': 'never',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'workbench.enableExperiments': false,
};

/**
 * Writes `User/settings.json` of this user-data folder: missing keys, and the admin's list of extensions.
 *
 * Errors   answers false, and leaves the file alone, where it is not plain JSON: people may write comments in it.
 */
export function writeIdeSettings(userDataDir: string, allowedExtensions: readonly string[]): boolean {
  const file = join(userDataDir, 'User', 'settings.json');
  mkdirSync(dirname(file), { recursive: true });
  const present = settingsIn(file);
  if (present === null) return false;
  const allowed = Object.fromEntries(allowedExtensions.map((id) => [id, true]));
  const wanted = { ...firstSettings, ...present, 'extensions.allowed': allowed };
  if (JSON.stringify(wanted) === JSON.stringify(present)) return true;
  writeFileSync(`${file}.next`, `${JSON.stringify(wanted, null, 2)}\n`);
  renameSync(`${file}.next`, file);
  return true;
}

function settingsIn(file: string): Record<string, unknown> | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
