import { join } from 'node:path';

/** Directories of one task; all attempts of the task share them, so that a later one finds the session. */
export interface TaskDirectories {
  readonly root: string;
  readonly home: string;
  readonly config: string;
  readonly data: string;
  readonly state: string;
  readonly cache: string;
  readonly temporary: string;
}

export const taskDirectories = (agentDir: string, taskId: string): TaskDirectories =>
  directoriesBelow(join(agentDir, 'tasks', taskId));

export function directoriesBelow(root: string): TaskDirectories {
  return {
    root,
    home: join(root, 'home'),
    config: join(root, 'config'),
    data: join(root, 'data'),
    state: join(root, 'state'),
    cache: join(root, 'cache'),
    temporary: join(root, 'tmp'),
  };
}
