import { lstatSync } from 'node:fs';
import { join } from 'node:path';

/** `.outrigger/context.md` of the workspace: what every task there should know, where a person or an image wrote it. */
export function contextFile(workspaceDir: string): string | null {
  const file = join(workspaceDir, '.outrigger', 'context.md');
  return isPlainFile(file) ? file : null;
}

/** The agent may have put a link or a FIFO there. */
export const isPlainFile = (file: string): boolean => lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
