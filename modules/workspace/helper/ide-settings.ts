import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { readJsonc, type Jsonc } from './jsonc.ts';

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
 * Writes what is missing into this `settings.json`, and the admin's list of extensions whatever stood there; comments
 * and the order of the rest stay.
 *
 * Errors   answers false where nobody could read the file: the admin's list must hold, so it is kept beside as
 *          `settings.json.broken` and begun anew.
 */
export function writeIdeSettings(file: string, allowedExtensions: readonly string[]): boolean {
  mkdirSync(dirname(file), { recursive: true });
  const text = textIn(file);
  const present = readJsonc(text?.trim() ? text : '{}');
  if (present === null) renameSync(file, `${file}.broken`);
  const next = completed(present ?? (readJsonc('{}') as Jsonc), {
    'extensions.allowed': Object.fromEntries(allowedExtensions.map((id) => [id, true])),
  });
  if (next !== text) {
    writeFileSync(`${file}.next`, next);
    renameSync(`${file}.next`, file);
  }
  return present !== null;
}

/** The text of these settings with what is missing of the first ones, and with `decided` whatever it had. */
function completed(present: Jsonc, decided: Readonly<Record<string, unknown>>): string {
  const wanted = { ...firstSettings, ...present.value, ...decided };
  const changed = Object.entries(wanted).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(present.value[name]),
  );
  let next = present;
  for (const [name, value] of changed) next = readJsonc(next.with(name, value)) ?? next;
  return next.text;
}

function textIn(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
