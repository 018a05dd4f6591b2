import { spawn } from 'node:child_process';
import { signal } from './process-tree.ts';
import type { ExecCommand, ExecResult } from './runner-protocol.ts';

/** A background child may hold the pipes for ever; what has not arrived by then is not waited for. */
const drainMs = 250;
const killGraceMs = 2_000;
/** The longest a command may take beyond its own time. */
export const execGraceMs = drainMs + killGraceMs + 5_000;

/**
 * Runs a program without a shell, in a process group of its own, and ends the whole group when time is up.
 *
 * `own` is told which pid the runtime waits for.
 */
export function runCommand(command: ExecCommand, own: Set<number>): Promise<ExecResult> {
  const [program = '', ...rest] = command.argv;
  const stdout = collector(command.max_bytes, command.tail === true);
  const stderr = command.tail === true ? stdout : collector(command.max_bytes, true);
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: command.directory,
      env: command.environment,
      detached: true,
      stdio: [command.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let timedOut = false;
    let isDone = false;
    const timers: NodeJS.Timeout[] = [];
    const finish = (exit: number | null): void => {
      if (isDone) return;
      isDone = true;
      timers.forEach(clearTimeout);
      own.delete(child.pid ?? 0);
      if (child.pid) signal(-child.pid, 'SIGKILL');
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({
        exit: timedOut ? null : exit,
        timed_out: timedOut,
        stdout: stdout.text(),
        stderr: command.tail === true ? '' : stderr.text(),
      });
    };
    child.stdout?.on('data', stdout.add);
    child.stderr?.on('data', stderr.add);
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(command.input);
    child.once('error', (error) =>
      isDone ? undefined : ((isDone = true), timers.forEach(clearTimeout), reject(error)),
    );
    if (child.pid) own.add(child.pid);
    child.once('exit', (code) => timers.push(setTimeout(() => finish(code), drainMs)));
    child.once('close', (code) => finish(code));
    timers.push(
      setTimeout(() => {
        timedOut = true;
        if (child.pid) signal(-child.pid, 'SIGTERM');
        timers.push(
          setTimeout(() => {
            if (child.pid) signal(-child.pid, 'SIGKILL');
          }, killGraceMs),
        );
      }, command.timeout_ms),
    );
  });
}

function collector(maxBytes: number, keepsTail: boolean) {
  let pieces: Buffer[] = [];
  let size = 0;
  return {
    add: (chunk: Buffer): void => {
      if (!keepsTail && size >= maxBytes) return;
      pieces.push(chunk);
      size += chunk.length;
      if (keepsTail && size > 4 * maxBytes) {
        pieces = [Buffer.concat(pieces).subarray(-maxBytes)];
        size = maxBytes;
      }
    },
    text: (): string => {
      const all = Buffer.concat(pieces);
      return (keepsTail ? all.subarray(-maxBytes) : all.subarray(0, maxBytes)).toString('utf8');
    },
  };
}
