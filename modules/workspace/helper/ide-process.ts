import { spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { delimiter, join } from 'node:path';
import { ideKinds, type IdeKind, type IdePlaces } from './ide-kinds.ts';
import { forgetPid, livingProcess, notePid, signalGroup } from './processes.ts';

/** A running IDE. */
export interface IdeProcess {
  /** How it ended, in words for people; null while it runs. */
  ended(): string | null;
  /** Whether it serves now; never throws. */
  isServing(): Promise<boolean>;
  /** Ends it and everything it started; settles when nothing of its process group is left. */
  stop(): Promise<void>;
}

export interface LaunchOptions {
  readonly kind: IdeKind;
  readonly places: IdePlaces;
  /** The wrapper that gives it the environment of a terminal, with the tools of a workspace.nix. */
  readonly enter: string;
  /** Folder of its log and of the file that names its process. */
  readonly dataDir: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly wait: (ms: number) => Promise<void>;
}

/** What stands in the way needs another image, so trying again changes nothing. */
export class IdeMissing extends Error {}

const termMs = 5_000;
const killMs = 5_000;
const stepMs = 100;
const probeMs = 5_000;

/**
 * Starts the IDE in a process group of its own.
 *
 * Errors   `IdeMissing` where the image does not hold it.
 */
export function launchIde({ kind, places, enter, dataDir, environment, wait }: LaunchOptions): IdeProcess {
  const program = findProgram(kind.program, environment['PATH'] ?? '');
  if (program === null) throw new IdeMissing(whatIsThere(kind.program, environment['PATH'] ?? ''));
  for (const directory of [places.userDataDir, places.extensionsDir]) mkdirSync(directory, { recursive: true });
  // Its own, so that a configuration in the home folder cannot name another address or ask for a password.
  writeFileSync(join(places.userDataDir, 'config.yaml'), 'auth: none\n');
  // A dead one leaves its socket, and the next could not listen there.
  rmSync(places.socket, { force: true });

  const log = openSync(join(dataDir, 'ide.log'), 'w', 0o600);
  const child = spawn(enter, [program, ...kind.argv(places)], {
    cwd: '/',
    detached: true,
    env: environment,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended: string | null = null;
  child.once('error', () => (ended ??= 'could not be started'));
  child.once(
    'exit',
    (code, signal) => (ended ??= signal === null ? `ended with ${String(code)}` : `died of ${signal}`),
  );
  const pidFile = join(dataDir, 'ide.pid');
  if (child.pid !== undefined) notePid(pidFile, child.pid);
  return {
    ended: () => ended,
    async isServing() {
      return (await answers(places.socket, kind.healthPath)) && isClosed(places.socket);
    },
    async stop() {
      if (child.pid !== undefined) await endGroup(child.pid, wait);
      forgetPid(pidFile);
    },
  };
}

/** Ends the IDE of a helper that was killed: it would keep memory and the person's files busy for ever. */
export async function endForgottenIde(
  dataDir: string,
  kind: IdeKind,
  wait: (ms: number) => Promise<void>,
): Promise<void> {
  const isIde = (command: readonly string[]): boolean => command.some((word) => word.endsWith(kind.program));
  const pid = livingProcess(join(dataDir, 'ide.pid'), isIde);
  if (pid !== null) await endGroup(pid, wait);
}

async function endGroup(leader: number, wait: (ms: number) => Promise<void>): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGTERM', termMs],
    ['SIGKILL', killMs],
  ] as const) {
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += stepMs) {
      // Signal 0 is not in the type of names; a repeated SIGTERM would end some programs without their goodbye.
      if (waitedMs === 0 ? !signalGroup(leader, signal) : !isGroupAlive(leader)) return;
      await wait(stepMs);
    }
  }
}

function isGroupAlive(leader: number): boolean {
  try {
    process.kill(-leader, 0);
    return true;
  } catch {
    return false;
  }
}

/** An image that holds another IDE says so, because choosing that one is easier than building an image. */
function whatIsThere(wanted: string, path: string): string {
  const others = Object.values(ideKinds).flatMap(({ program }) =>
    findProgram(program, path) === null ? [] : [program],
  );
  return others.length === 0
    ? `This image holds no ${wanted}. Choose an executor image that has it.`
    : `This image holds no ${wanted}, but ${others.join(' and ')}. Choose that, or another image.`;
}

function findProgram(name: string, path: string): string | null {
  for (const folder of path.split(delimiter)) {
    // A relative folder would be looked up wherever we happen to be.
    if (!folder.startsWith('/')) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      continue;
    }
  }
  return null;
}

/**
 * Closes the socket to everybody else, whom its folder keeps out already: not every kind can say a mode. An IDE that is
 * ending removes it between its answer and here.
 */
function isClosed(socket: string): boolean {
  try {
    chmodSync(socket, 0o600);
    return true;
  } catch {
    return false;
  }
}

async function answers(socketPath: string, path: string): Promise<boolean> {
  return await new Promise((settle) => {
    const probe = request({ socketPath, path, timeout: probeMs }, (response) => {
      response.resume();
      settle(response.statusCode === 200);
    });
    probe.once('timeout', () => probe.destroy());
    probe.once('error', () => settle(false));
    probe.end();
  });
}
