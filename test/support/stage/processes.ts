import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** A child that is ended with everything else when the stage ends. */
export interface Child {
  readonly pid: number;
  readonly name: string;
  /** Resolves with the exit code, or null after a signal. */
  readonly exited: Promise<number | null>;
  readonly hasExited: boolean;
  /** Resolves with the first line of stdout for which `find` answers something. Rejects when the child ends first. */
  line<Found>(find: (line: string) => Found | undefined): Promise<Found>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts children and remembers them, so that none is left behind. */
export interface Processes {
  start(name: string, command: string, args: readonly string[], options: SpawnOptions & { log: string }): Child;
  /** TERM, then KILL after `graceMs`, for all that still run. */
  endAll(graceMs?: number): Promise<void>;
}

export function makeProcesses(): Processes {
  const children = new Set<Child>();
  let hasEnded = false;
  return {
    start(name, command, args, { log, ...options }) {
      if (hasEnded) throw new Error(`${name} is not started any more: everything is being ended.`);
      const child = observe(name, spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }), log);
      children.add(child);
      void child.exited.then(() => children.delete(child));
      return child;
    },
    async endAll(graceMs = 10_000) {
      hasEnded = true;
      const open = [...children];
      for (const child of open) child.kill('SIGTERM');
      const timer = setTimeout(() => open.forEach((child) => child.kill('SIGKILL')), graceMs);
      await Promise.all(open.map((child) => child.exited));
      clearTimeout(timer);
    },
  };
}

function observe(name: string, spawned: ChildProcess, logFile: string): Child {
  const { stdout, stderr, pid } = spawned;
  if (!stdout || !stderr || pid === undefined) throw new Error(`${name} could not be started.`);
  const log = createWriteStream(logFile, { flags: 'a' });
  stdout.pipe(log, { end: false });
  stderr.pipe(log, { end: false });
  const seen: string[] = [];
  const watchers = new Set<(line: string) => void>();
  createInterface({ input: stdout }).on('line', (line) => {
    seen.push(line);
    if (seen.length > 200) seen.shift();
    for (const watcher of [...watchers]) watcher(line);
  });
  let ended = false;
  const exited = new Promise<number | null>((resolve) => {
    spawned.once('error', () => resolve(127));
    spawned.once('close', (code) => {
      ended = true;
      log.end();
      resolve(code);
    });
  });
  return {
    pid,
    name,
    exited,
    get hasExited() {
      return ended;
    },
    kill: (signal) => void spawned.kill(signal),
    line: (find) =>
      new Promise((resolve, reject) => {
        for (const line of seen) {
          const found = find(line);
          if (found !== undefined) return resolve(found);
        }
        const watcher = (line: string): void => {
          const found = find(line);
          if (found === undefined) return;
          watchers.delete(watcher);
          resolve(found);
        };
        watchers.add(watcher);
        void exited.then((code) => reject(new Error(`${name} ended (${code}) early; its log: ${logFile}`)));
      }),
  };
}

/** The value of `key` in a JSON log line whose message is `message`. */
export const inLog =
  (message: string, key: string) =>
  (line: string): string | undefined => {
    if (!line.startsWith('{')) return undefined;
    const entry = JSON.parse(line) as Record<string, unknown>;
    return (entry['msg'] ?? entry['message']) === message ? String(entry[key]) : undefined;
  };
