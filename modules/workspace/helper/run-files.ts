import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  ideStatePhases,
  runFiles,
  statusStates,
  type GitFacts,
  type IdeState,
  type IdeWish,
  type Status,
} from '../../contract.ts';
import { cleanText } from './clean-text.ts';
import { readHostile } from './read-hostile.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The part of `status.json` that the helper needs. */
export type AgentStatus = Pick<Status, 'state' | 'doing' | 'git' | 'worktree'>;

/** Longest text that is taken from a shared file, in bytes; Coder refuses an app status that is longer. */
export const maxTextBytes = 160;

/** Null where the file is missing, is no small regular file, or says anything else than the schema allows. */
export function readStatus(runDir: string): AgentStatus | null {
  const fields = fieldsIn(runDir, runFiles.status);
  if (fields === null) return null;
  const state = statusStates.find((known) => known === fields['state']);
  const doing = textOf(fields['doing']);
  if (state === undefined || doing === null) return null;
  const git = gitFactsOf(fields['git']);
  const worktree = worktreeOf(fields['worktree']);
  return { state, doing, ...(git === null ? {} : { git }), ...(worktree === null ? {} : { worktree }) };
}

/** `absent` where nobody has said anything yet, `refused` where what is there is no wish. */
export function readWish(runDir: string): IdeWish | 'absent' | 'refused' {
  const found = readHostile(join(runDir, runFiles.ide));
  if (found.kind === 'absent') return 'absent';
  const fields = found.kind === 'json' ? fieldsOf(found.value) : null;
  const [enabled, generation] = [fields?.['enabled'], countOf(fields?.['generation'])];
  return typeof enabled === 'boolean' && generation !== null ? { enabled, generation } : 'refused';
}

/** Also hostile: the sidecar can replace what the helper wrote. */
export function readIdeState(runDir: string): IdeState | null {
  const fields = fieldsIn(runDir, runFiles.ideState);
  const phase = ideStatePhases.find((known) => known === fields?.['phase']);
  const generation = countOf(fields?.['generation']);
  if (phase === undefined || generation === null) return null;
  return { phase, message: textOf(fields?.['message']) ?? '', generation };
}

/**
 * Replaces `ide-state.json` whole; everybody in the workspace can read it.
 *
 * The name of the new file cannot be guessed, and nothing is ever removed recursively: whoever shares the folder could
 * swap a directory for a link into the person's home while it is being emptied.
 *
 * Errors   those of the file system, when the folder is missing or something unmovable has the name.
 */
export function writeIdeState(runDir: string, state: IdeState): void {
  const file = join(runDir, runFiles.ideState);
  const next = `${file}.${randomBytes(12).toString('hex')}`;
  const descriptor = openSync(next, 'wx', 0o644);
  try {
    try {
      fchmodSync(descriptor, 0o644);
      writeSync(descriptor, `${JSON.stringify(state)}\n`);
    } finally {
      closeSync(descriptor);
    }
    renameSync(next, file);
  } catch (error) {
    unlinkSync(next);
    throw error;
  }
}

function fieldsIn(runDir: string, name: string): Fields | null {
  const found = readHostile(join(runDir, name));
  return found.kind === 'json' ? fieldsOf(found.value) : null;
}

const fieldsOf = (value: unknown): Fields | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;

const countOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;

const textOf = (value: unknown): string | null =>
  typeof value === 'string' ? cleanText(value, maxTextBytes) || null : null;

/** A name in one folder: no path, and no way up. */
const worktreeOf = (value: unknown): string | null =>
  typeof value === 'string' && /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(value) ? value : null;

function gitFactsOf(value: unknown): GitFacts | null {
  const fields = fieldsOf(value);
  const [ahead, behind, dirty] = [countOf(fields?.['ahead']), countOf(fields?.['behind']), fields?.['dirty']];
  if (fields === null || ahead === null || behind === null || typeof dirty !== 'boolean') return null;
  return { branch: textOf(fields['branch']), ahead, behind, dirty };
}
