import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { artifactBounds, artifactsDir, unknownCommand, type AttemptRef, type BridgeRequests } from '../../contract.ts';
import type { Answer } from './link.ts';
import { textOf } from './log.ts';

export type SendArtifact = (payload: BridgeRequests['artifact']['payload']) => Promise<Answer<'artifact'>>;

/** Where tools of a task leave files for people: `ARTIFACTS_DIR`. */
export const artifactsOf = (workspaceDir: string, taskId: string): string => join(workspaceDir, artifactsDir, taskId);

/** Makes that folder; null where something of the agent's is in the way. */
export function makeArtifactsDir(workspaceDir: string, taskId: string): string | null {
  const folder = artifactsOf(workspaceDir, taskId);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o775 });
    return isOwnFolder(workspaceDir, folder, taskId) ? folder : null;
  } catch {
    return null;
  }
}

/** A link in the place of a part of the path would lead elsewhere. */
const isOwnFolder = (workspaceDir: string, folder: string, taskId: string): boolean =>
  realpathSync(folder) === join(realpathSync(workspaceDir), artifactsDir, taskId);

export interface CollectParts {
  readonly workspaceDir: string;
  readonly ref: AttemptRef;
  readonly send: SendArtifact;
  /** All of it together. */
  readonly limitMs: number;
}

export interface Collected {
  readonly files: number;
  /** Why a file was not kept, by its name, which the agent chose. */
  readonly skipped: readonly { readonly name: string; readonly why: string }[];
}

const deepest = 8;
const mostEntries = 2_000;
const retryMs = 500;

/**
 * Sends the service every plain file that an attempt left in its folder, once nothing of the attempt runs any more.
 *
 * Safety   no link is followed, neither at a file nor on the way to it, and what is no plain file is not opened.
 * Bounds   those of `artifactBounds`; the service holds them as well.
 * Errors   none: what could not be sent is told in the answer.
 */
export async function collectArtifacts(parts: CollectParts): Promise<Collected> {
  const { workspaceDir, ref } = parts;
  const folder = artifactsOf(workspaceDir, ref.task_id);
  const skipped: { name: string; why: string }[] = [];
  const deadline = performance.now() + parts.limitMs;
  let files = 0;
  try {
    if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return { files, skipped };
    if (!isOwnFolder(workspaceDir, folder, ref.task_id)) throw new Error('a link is in the way of the folder');
    const taken = new Set<string>();
    for (const path of plainFiles(folder)) {
      const name = nameFor(path, taken);
      const why =
        performance.now() < deadline ? await sendFile(parts, folder, path, name, deadline) : 'there was no time left';
      if (why === null) files += 1;
      else skipped.push({ name, why });
    }
    if (files === 0 && skipped.length === 0) rmdirSync(folder);
  } catch (error) {
    skipped.push({ name: artifactsDir, why: textOf(error) });
  }
  return { files, skipped };
}

/** Paths below a folder, by name. */
function plainFiles(folder: string): string[] {
  const found: string[] = [];
  let seen = 0;
  const walk = (below: string, depth: number): void => {
    for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
      seen += 1;
      if (seen > mostEntries) return;
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isFile()) found.push(path);
      else if (entry.isDirectory() && depth < deepest) walk(path, depth + 1);
    }
  };
  walk('', 0);
  return found.sort();
}

/** A name that the service takes and no other file has. */
export function nameFor(path: string, taken: Set<string>): string {
  const plain = path
    .split('/')
    .map((part) => part.replace(/[\p{C}\\:*?"<>|]/gu, '_').slice(0, 100))
    .join('/')
    .slice(-240);
  const usable = artifactBounds.name.test(plain) ? plain : 'unnamed';
  let name = usable;
  for (let number = 2; taken.has(name); number += 1) name = `${usable}~${number}`;
  taken.add(name);
  return name;
}

/** Null when the service has it. */
async function sendFile(
  parts: CollectParts,
  folder: string,
  path: string,
  name: string,
  deadline: number,
): Promise<string | null> {
  const data = readPlainFile(folder, path);
  if (typeof data === 'string') return data;
  const file = { name, bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
  let [offset, length] = [0, 0];
  for (;;) {
    const piece = data.subarray(offset, offset + length).toString('base64');
    const answer = await sendPatiently(parts, { ...parts.ref, ...file, offset, data: piece }, deadline);
    if (!answer.success && answer.error === unknownCommand('artifact')) throw new Error('the service keeps no files');
    if (!answer.success) return answer.error.slice(0, 200);
    if (answer.data.complete) return null;
    // The first call asked where to begin. Nothing taken of a piece that was sent: it would be sent for ever.
    if (length > 0 && answer.data.received <= offset) return 'the service did not take it';
    offset = answer.data.received;
    length = artifactBounds.chunkBytes;
    if (offset >= data.length) return 'the service did not take it';
  }
}

/** A service that restarts is back within seconds, and its attempts with it. */
async function sendPatiently(
  { send }: CollectParts,
  payload: Parameters<SendArtifact>[0],
  deadline: number,
): Promise<Answer<'artifact'>> {
  for (;;) {
    try {
      return await send(payload);
    } catch (error) {
      if (performance.now() + retryMs > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

/** The bytes of a file, or why it is not read. It is opened first and looked at then, so that nobody can swap it. */
function readPlainFile(folder: string, path: string): Buffer | string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const file = openSync(join(folder, path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(file);
      if (!found.isFile()) return 'it is no plain file';
      if (found.size > artifactBounds.fileBytes)
        return `it is larger than ${artifactBounds.fileBytes / 1024 / 1024} MiB`;
      if (readlinkSync(`/proc/self/fd/${file}`) !== join(realpathSync(folder), path)) return 'a link leads to it';
      const data = readFileSync(file);
      return data.length > artifactBounds.fileBytes ? 'it grew while it was read' : data;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return textOf(error);
  }
}
