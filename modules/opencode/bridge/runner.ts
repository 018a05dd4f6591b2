import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { runCommand } from './runner-exec.ts';
import { isAlive, readProcesses, sweep } from './process-tree.ts';
import type { RunnerCommands, RunnerCommandType, RunnerLine } from './runner-protocol.ts';
import { openSystem, type System } from './system.ts';

const reapEveryMs = 1_000;
const tailBytes = 2_000;

/**
 * The process at the root of one attempt: everything the attempt starts is below it and stays below it.
 *
 * It is a child subreaper, so a tool that daemonizes becomes its child instead of leaving. It lives exactly as
 * long as its stdin: when the bridge dies, however it dies, the pipe ends and the runner kills all of it.
 */
export async function runRunner(): Promise<never> {
  const system = await openSystem();
  const undumpable = system?.setUndumpable() ?? false;
  const subreaper = system?.setChildSubreaper() ?? false;
  // The bridge decides when an attempt ends; a signal meant for the whole group must not end it half.
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
  // The bridge may be gone before the last lines are written.
  process.stdout.on('error', () => undefined);
  const own = new Set<number>();
  const state: RunnerState = { system, own, serve: null };
  const reaper = setInterval(() => reapStrays(state), reapEveryMs);
  write({ notice: 'ready', subreaper, undumpable });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = parseCommand(line);
    if (command) void answer(state, command);
  }
  clearInterval(reaper);
  await sweepAll(state, 0);
  process.exit(0);
}

interface RunnerState {
  readonly system: System | null;
  /** Children whose exit the runtime itself waits for. */
  readonly own: Set<number>;
  serve: ChildProcess | null;
}

function write(line: RunnerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const handlers: {
  readonly [Type in RunnerCommandType]: (state: RunnerState, payload: RunnerCommands[Type]) => Promise<unknown>;
} = {
  serve: (state, payload) => startServe(state, payload),
  exec: (state, payload) => runCommand(payload, state.own),
  sweep: (state, payload) => sweepAll(state, payload.term_ms),
};

interface Command {
  readonly id: number;
  readonly type: RunnerCommandType;
  readonly payload: never;
}

/** Null for a line that is no command: one bad line must not end the attempt. */
function parseCommand(line: string): Command | null {
  try {
    return JSON.parse(line) as Command | null;
  } catch {
    return null;
  }
}

async function answer(state: RunnerState, { id, type, payload }: Command): Promise<void> {
  try {
    write({ id, ok: true, data: await handlers[type](state, payload) });
  } catch (error) {
    write({ id, ok: false, error: error instanceof Error ? error.message : String(error) });
  }
}

function startServe(state: RunnerState, command: RunnerCommands['serve']): Promise<{ pid: number }> {
  const [program = '', ...rest] = command.argv;
  const child = spawn(program, rest, {
    cwd: command.directory,
    env: command.environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  state.serve = child;
  const pid = child.pid ?? 0;
  // At once: a child that ends before `spawn` is told would be taken for a stray.
  state.own.add(pid);
  let tail = '';
  const keep = (chunk: Buffer): void => void (tail = (tail + chunk.toString('utf8')).slice(-tailBytes));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      resolve({ pid });
    });
    child.once('exit', (code) => {
      state.own.delete(pid);
      if (state.serve === child) state.serve = null;
      write({ notice: 'serve_exit', code, tail });
    });
  });
}

function sweepAll(state: RunnerState, termMs: number) {
  return sweep({
    rootPid: process.pid,
    termMs,
    expectedPid: state.serve?.pid ?? null,
    reap: (pid) => reapOne(state, pid),
    hasChild: () => state.system?.hasChild() ?? null,
  });
}

function reapOne(state: RunnerState, pid: number): void {
  if (!state.own.has(pid)) state.system?.reap(pid);
}

function reapStrays(state: RunnerState): void {
  for (const entry of readProcesses())
    if (entry.parentPid === process.pid && !isAlive(entry)) reapOne(state, entry.pid);
}
