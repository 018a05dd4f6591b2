import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** `R`, `S`, … ; `Z` is dead and only waits to be reaped. */
  readonly state: string;
}

/** Every process that `/proc` shows. `stat` stays readable for undumpable processes too. */
export function readProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      entries.push(parseStat(Number(name), readFileSync(`/proc/${name}/stat`, 'utf8')));
    } catch {
      continue; // it ended between the two calls
    }
  }
  return entries;
}

/** The command name is in brackets and may itself hold brackets and spaces: count from the last one. */
export function parseStat(pid: number, stat: string): ProcessEntry {
  const [state = '?', parentPid = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, parentPid: Number(parentPid), state };
}

export const isAlive = (entry: ProcessEntry): boolean => entry.state !== 'Z' && entry.state !== 'X';

const none: ReadonlySet<number> = new Set();

/** Everything below a process, dead ones included; `except` and what is below it are left out. */
export function descendantsOf(
  rootPid: number,
  entries: readonly ProcessEntry[],
  except: ReadonlySet<number> = none,
): ProcessEntry[] {
  const children = new Map<number, ProcessEntry[]>();
  for (const entry of entries) children.set(entry.parentPid, [...(children.get(entry.parentPid) ?? []), entry]);
  const found: ProcessEntry[] = [];
  const waiting = [...(children.get(rootPid) ?? [])];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (except.has(next.pid)) continue;
    found.push(next);
    waiting.push(...(children.get(next.pid) ?? []));
  }
  return found;
}

export interface SweepResult {
  /** The hardest thing it took. */
  readonly method: 'already_gone' | 'term' | 'kill';
  /** Processes that are still alive; 0 is the proof. */
  readonly left: number;
  /** Processes that were there beside the expected ones when the sweep began. */
  readonly unexpected: number;
}

export interface SweepOptions {
  readonly rootPid: number;
  /** 0 goes to KILL at once. */
  readonly termMs: number;
  readonly expectedPid?: number | null;
  /** Processes to leave alone, with everything below them. */
  readonly except?: ReadonlySet<number>;
  /** Called for dead children of the root, which would otherwise stay in the table. */
  readonly reap: (pid: number) => void;
}

/** KILL cannot be refused; a process that outlives it sits in the kernel. */
const killMs = 10_000;
const lookMs = 25;

/** Ends everything below `rootPid`: TERM, then KILL again and again until nothing is left that could fork. */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const living = () => {
    const below = descendantsOf(options.rootPid, readProcesses(), options.except);
    for (const entry of below) if (!isAlive(entry) && entry.parentPid === options.rootPid) options.reap(entry.pid);
    return below.filter(isAlive);
  };
  const before = living();
  const unexpected = before.filter((entry) => entry.pid !== options.expectedPid).length;
  if (before.length === 0) return { method: 'already_gone', left: 0, unexpected };
  if (options.termMs > 0) {
    before.forEach((entry) => signal(entry.pid, 'SIGTERM'));
    if (await until(() => living().length === 0, options.termMs)) return { method: 'term', left: 0, unexpected };
  }
  const gone = await until(() => {
    const left = living();
    left.forEach((entry) => signal(entry.pid, 'SIGKILL'));
    return left.length === 0;
  }, killMs);
  return { method: 'kill', left: gone ? 0 : living().length, unexpected };
}

/** Sends a signal to one process, or with a negative number to a group. Gone is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    return;
  }
}

async function until(isTrue: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (isTrue()) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}
