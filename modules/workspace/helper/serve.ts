import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IdeState, IdeWish } from '../../contract.ts';
import { makeAppStatus } from './app-status.ts';
import { factNames, facts } from './facts.ts';
import { openGate, type Gate } from './gate.ts';
import { ideKinds, kindOf, type IdeKind, type IdePlaces } from './ide-kinds.ts';
import { endForgottenIde, IdeMissing, launchIde } from './ide-process.ts';
import { writeIdeSettings } from './ide-settings.ts';
import { nixWait } from './nix-wait.ts';
import { forgetPid, livingProcess, notePid } from './processes.ts';
import { readStatus, readWish, writeIdeState } from './run-files.ts';
import type { HelperSettings } from './settings.ts';
import { superviseIde } from './supervisor.ts';
import { taskFiles } from './task-files.ts';

export interface ServeOptions {
  readonly settings: HelperSettings;
  /** What the IDE and its terminals inherit. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
}

export interface Serving {
  /** Ends the IDE and everything else; nothing is left behind. */
  end(): Promise<void>;
}

const lookMs = 1_000;
/** The sidecar can remove the file, and starts anew without having seen it. */
const tellAgainMs = 15_000;

export const helperPidFile = (dataDir: string): string => join(dataDir, 'helper.pid');

/**
 * The helper that already serves from this folder; null when there is none.
 *
 * The file outlives the container and process ids begin anew in the next one, so the shell that starts the helper, with
 * the same words, may have the id that the helper had before.
 */
export const livingHelper = (dataDir: string): number | null =>
  livingProcess(
    helperPidFile(dataDir),
    (command) =>
      command.at(-2) === 'serve' && command.join(' ').includes('helper') && !/(^|\/)\w*sh$/.test(command[0] ?? ''),
  );

/** Runs the IDE, the gate, the app status and the facts for Coder's metadata, until it is told to end. */
export async function serve({ settings, environment, log, nowMs, wait }: ServeOptions): Promise<Serving> {
  const { runDir, dataDir, agentToken, agentUrl } = settings;
  mkdirSync(dataDir, { recursive: true });
  chmodSync(dataDir, 0o700);
  const kind = kindOf(settings.ide);
  if (kind !== null) await endForgottenIde(dataDir, kind, wait);

  const places = makePlaces(dataDir, settings.basePath);
  const tell = makeTeller(runDir, log, nowMs);
  let obstacle: string | null = null;
  const supervisor = superviseIde({
    wish: wishReader(settings),
    waitsFor: nixWait(settings.nixDir, nowMs),
    launch: () => launch(kind, obstacle),
    tell: (state) => {
      log(`IDE: ${state.phase}${state.message === '' ? '' : `: ${state.message}`}`);
      tell(state);
    },
    nowMs,
  });
  const gate = await tryGate(() => (supervisor.state().phase === 'Ready' ? places.socket : null));
  notePid(helperPidFile(dataDir), process.pid);
  const appStatus = agentToken && agentUrl ? makeAppStatus({ url: agentUrl, token: agentToken, nowMs, log }) : null;

  let isEnding = false;
  const watching = watch();
  return {
    async end() {
      isEnding = true;
      await watching;
      gate?.close();
      await supervisor.end();
      rmSync(places.directory, { recursive: true, force: true });
      forgetPid(helperPidFile(dataDir));
    },
  };

  async function watch(): Promise<void> {
    let telling: Promise<void> | null = null;
    while (!isEnding) {
      await supervisor.look();
      tell(supervisor.state());
      writeFacts(settings.factsDir, runDir);
      // Coder may be slow, and the IDE must not wait for it.
      telling ??= (appStatus?.publish(readStatus(runDir)) ?? Promise.resolve()).finally(() => (telling = null));
      await wait(lookMs);
    }
  }

  function launch(known: IdeKind | null, why: string | null) {
    if (why !== null) throw new IdeMissing(why);
    if (known === null) throw new IdeMissing(noSuchIde(settings.ide));
    if (!writeIdeSettings(join(places.userDataDir, known.settings), settings.allowedExtensions))
      log('IDE: settings.json could not be read. It is kept as settings.json.broken, and a new one is begun.');
    return launchIde({ kind: known, places, enter: settings.enter, dataDir, environment, wait });
  }

  async function tryGate(ideSocket: () => string | null): Promise<Gate | null> {
    const { gatePath, gatePort } = settings;
    if (gatePath === null) obstacle = 'CODER_AGENT_TOKEN is not set, so nobody could open the IDE.';
    else if (isSpent(dataDir, gatePath)) obstacle = portTaken(gatePort);
    else {
      try {
        return await openGate({
          port: gatePort,
          gatePath,
          ideSocket,
          absence: () => absence(supervisor.state()),
          healthPath: kind?.healthPath ?? '/',
          taskFiles: () => taskFiles(settings.workspaceDir, readStatus(runDir)),
        });
      } catch {
        spend(dataDir, gatePath);
        obstacle = portTaken(gatePort);
      }
    }
    return null;
  }
}

function noSuchIde(name: string): string {
  if (name === 'none')
    return 'This workspace was built without an IDE. Build it again with ide_enabled=true and an image that has one.';
  return `The template asks for an IDE that is not known here. Known: ${Object.keys(ideKinds).join(', ')}.`;
}

const portTaken = (port: number): string =>
  `Another program took port ${String(port)}, so the IDE's address is no secret any more. Restart the workspace.`;

function absence({ phase, message }: IdeState): string {
  if (message !== '') return message;
  return phase === 'Stopped' ? 'The IDE is not running. Turn it on in Outrigger.' : 'The IDE is starting.';
}

/**
 * Unlike the workspace's volumes, /tmp is the worker's own; whatever TMPDIR says may be shared. The folder is the same
 * for each start, so that a killed helper leaves no second one.
 */
function makePlaces(dataDir: string, basePath: string): IdePlaces & { readonly directory: string } {
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const directory = privateDirectory(`/tmp/outrigger-ide-${name}`);
  return {
    directory,
    socket: join(directory, 'ide.sock'),
    userDataDir: join(dataDir, 'user-data'),
    extensionsDir: join(dataDir, 'extensions'),
    basePath,
  };
}

/** This folder where it is ours and closed, else a new one beside it: in /tmp anybody may have been first. */
function privateDirectory(path: string): string {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch {
    const found = lstatSync(path, { throwIfNoEntry: false });
    const isOurs = found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
    if (!isOurs) return mkdtempSync(`${path}-`);
  }
  return path;
}

/** A wish that cannot be read changes nothing: garbage must not turn the IDE on or off. */
function wishReader({ runDir, ideEnabled }: HelperSettings): () => IdeWish {
  const first: IdeWish = { enabled: ideEnabled, generation: 0 };
  let last = first;
  return () => {
    const found = readWish(runDir);
    if (found === 'absent') last = first;
    else if (found !== 'refused') last = found;
    return last;
  };
}

function makeTeller(runDir: string, log: (line: string) => void, nowMs: () => number): (state: IdeState) => void {
  let [told, toldMs, isBroken] = ['', -Infinity, false];
  return (state) => {
    const text = JSON.stringify(state);
    if (text === told && nowMs() - toldMs < tellAgainMs) return;
    [told, toldMs] = [text, nowMs()];
    try {
      writeIdeState(runDir, state);
      isBroken = false;
    } catch {
      if (!isBroken) log(`${runDir} cannot be written, so Outrigger does not see the IDE.`);
      isBroken = true;
    }
  };
}

function writeFacts(directory: string, runDir: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    for (const name of factNames) {
      writeFileSync(join(directory, `${name}.next`), `${facts[name](runDir)}\n`);
      renameSync(join(directory, `${name}.next`), join(directory, name));
    }
  } catch {
    // A full or read-only home: the metadata stays old, and the rest goes on.
  }
}

/**
 * Whoever listened at the port in our place may have been sent the gate's path by Coder's health check. That path must
 * never open anything again, so it is remembered until the next build brings another.
 */
const spentFile = (dataDir: string): string => join(dataDir, 'spent-path');
const spend = (dataDir: string, gatePath: string): void => writeFileSync(spentFile(dataDir), gatePath, { mode: 0o600 });

function isSpent(dataDir: string, gatePath: string): boolean {
  try {
    return readFileSync(spentFile(dataDir), 'utf8') === gatePath;
  } catch {
    return false;
  }
}
