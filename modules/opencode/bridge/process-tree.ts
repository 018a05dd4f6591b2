import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** `R`, `S`, … ; `Z` is dead and only waits to be reaped. */
  readonly state: string;
}

const none: ReadonlySet<number> = new Set();

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

/**
 * Children of this process that are not left alone, dead ones included until they are reaped; null where the
 * kernel does not list them.
 *
 * The list is whole even while processes fork and exit: an orphan is added to it before its parent's exit is seen,
 * and only this process takes entries out. A walk over `/proc` misses a chain that forks and exits fast enough.
 */
function readChildren(rootPid: number, except: ReadonlySet<number> = none): number[] | null {
  try {
    const text = readFileSync(`/proc/${rootPid}/task/${rootPid}/children`, 'utf8');
    return (text.match(/\d+/g) ?? []).map(Number).filter((pid) => !except.has(pid));
  } catch {
    return null;
  }
}

/** The process group; stays readable until the process is reaped. */
function groupOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
  } catch {
    return null;
  }
}

/** The command name is in brackets and may itself hold brackets and spaces: count from the last one. */
export function parseStat(pid: number, stat: string): ProcessEntry {
  const [state = '?', parentPid = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, parentPid: Number(parentPid), state };
}

export const isAlive = (entry: ProcessEntry): boolean => entry.state !== 'Z' && entry.state !== 'X';

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
  /** Processes that are still alive, at least 1 where it could not be shown that there is none; 0 is the proof. */
  readonly left: number;
  /** Processes that were there beside the expected ones when the sweep began. */
  readonly unexpected: number;
}

export interface SweepOptions {
  /** This process, which must be a child subreaper for the result to be a proof. */
  readonly rootPid: number;
  /** 0 goes to KILL at once. */
  readonly termMs: number;
  readonly expectedPid?: number | null;
  /** Processes to leave alone, with everything below them. */
  readonly except?: ReadonlySet<number>;
  /** Called for dead children of the root, which would otherwise stay in the table. */
  readonly reap: (pid: number) => void;
  /** What the kernel says: whether the root has any child, dead or alive; null where it does not say. */
  readonly hasChild?: () => boolean | null;
}

/** KILL cannot be refused; what outlives it sits in the kernel or forks faster than it can be caught. */
const killMs = 6_000;
const lookMs = 25;
/** The runtime needs a moment to take the exit status of its own children. */
const settleMs = 500;
const burstMs = 50;
/** The longest a sweep may take. */
export const sweepLimitMs = (termMs: number): number => settleMs + termMs + killMs + 1_500;

/**
 * Ends everything below `rootPid`: TERM, then KILL again and again until nothing is left that could fork.
 *
 * Gone is what the kernel's own account of the root's children says, never the walk alone.
 */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const living = () => {
    const below = descendantsOf(options.rootPid, readProcesses(), options.except);
    for (const entry of below) if (!isAlive(entry) && entry.parentPid === options.rootPid) options.reap(entry.pid);
    return below.filter(isAlive);
  };
  const isGone = () => living().length === 0 && hasNoChild(options);
  const before = living();
  const unexpected = before.filter((entry) => entry.pid !== options.expectedPid).length;
  if (before.length === 0 && (await until(() => hasNoChild(options) || isGone(), settleMs)))
    return { method: 'already_gone', left: 0, unexpected };
  if (options.termMs > 0) {
    before.forEach((entry) => signal(entry.pid, 'SIGTERM'));
    if (await until(isGone, options.termMs)) return { method: 'term', left: 0, unexpected };
  }
  const gone = await until(() => {
    living().forEach((entry) => signal(entry.pid, 'SIGKILL'));
    killChildren(options);
    return isGone();
  }, killMs);
  return { method: 'kill', left: gone ? 0 : Math.max(1, living().length), unexpected };
}

function hasNoChild({ hasChild, rootPid, except }: SweepOptions): boolean {
  const answer = hasChild?.() ?? null;
  return answer === null ? readChildren(rootPid, except)?.length === 0 : !answer;
}

/**
 * Kills what becomes a child of the root, faster than a walk could, until no new one comes.
 *
 * The pid and the group of a child cannot be given to another process before the root has reaped it, so both are
 * safe to signal; a signal to the group also reaches the link of a chain that has just been forked.
 */
function killChildren({ rootPid, except, reap }: SweepOptions): void {
  const ownGroup = groupOf(rootPid);
  const deadline = performance.now() + burstMs;
  let seen = none;
  do {
    const children = readChildren(rootPid, except) ?? [];
    if (children.every((pid) => seen.has(pid))) return;
    for (const pid of children) {
      const group = groupOf(pid);
      if (group !== null && group > 1 && group !== ownGroup) signal(-group, 'SIGKILL');
      signal(pid, 'SIGKILL');
    }
    children.forEach(reap);
    seen = new Set(children);
  } while (performance.now() < deadline);
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
