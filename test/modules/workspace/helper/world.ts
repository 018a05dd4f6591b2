import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { IdeState } from '../../../../modules/contract.ts';
import { gatePathOf } from '../../../../modules/workspace/helper/settings.ts';
import { buildHelper } from '../../../../scripts/build-bridge.ts';

const binary = resolve(import.meta.dirname, '../../../../node_modules/opencode-linux-x64/bin/opencode');
const enter = resolve(import.meta.dirname, '../../../../modules/opencode/enter.sh');
const stub = resolve(import.meta.dirname, 'stub-ide.mjs');

/** The person's user and the agent's: different where the tests run as root, as nobody's own rights may hide a leak. */
const isRoot = process.getuid?.() === 0;
const asPerson = isRoot ? { uid: 65_534, gid: 65_534 } : {};
const asAgent = isRoot ? { uid: 65_533, gid: 65_533 } : {};

/** Known to the worker only; must come out nowhere. */
export const tokenCanary = 'canaryagenttoken0123456789';
export const fileCanary = 'canaryfileofthehome0123456789';
export const gatePath = gatePathOf(tokenCanary);

/** What the init container leaves, plus a stub of the IDE in the person's PATH. */
export interface Tools {
  readonly directory: string;
  readonly stubIdeDir: string;
  remove(): void;
}

export async function installHelper(): Promise<Tools> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-helper-tools-'));
  const stubIdeDir = join(directory, 'ide');
  mkdirSync(stubIdeDir);
  copyFileSync(binary, join(directory, 'opencode'));
  copyFileSync(enter, join(directory, 'enter'));
  copyFileSync(stub, join(directory, 'stub-ide.mjs'));
  await buildHelper(join(directory, 'helper.js'));
  const start = `#!/bin/sh\nexec ${process.execPath} ${join(directory, 'stub-ide.mjs')} code-server "$@"\n`;
  writeFileSync(join(stubIdeDir, 'code-server'), start);
  for (const [name, mode] of [
    ['.', 0o755],
    ['ide', 0o755],
    ['enter', 0o555],
    ['opencode', 0o111],
    ['helper.js', 0o444],
    ['stub-ide.mjs', 0o444],
    ['ide/code-server', 0o555],
  ] as const)
    chmodSync(join(directory, name), mode);
  return { directory, stubIdeDir, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** What the stub was asked, beside its health. */
export interface Asked {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Worker {
  /** Home of the person, closed for everybody else; holds `secret.txt` with `fileCanary`. */
  readonly home: string;
  /** Shared with the agent, who may do there as they like. */
  readonly runDir: string;
  readonly port: number;
  readonly lines: readonly string[];
  state(): IdeState | null;
  asked(): readonly Asked[];
  /** How the stub was started; null while it was not. */
  ideStart(): {
    readonly argv: readonly string[];
    readonly environment: Record<string, string>;
    readonly pid: number;
  } | null;
  wish(enabled: boolean, generation: number): void;
  /** Makes a folder of the home, and what is in it, the person's. */
  give(folder: string): void;
  /** Starts `helper.js` with these words, by the real OpenCode binary, as the template does. */
  start(...words: string[]): HelperProcess;
  /** Ends what still runs and removes everything; answers what was left running. */
  end(): Promise<readonly string[]>;
}

export interface HelperProcess {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** Everything it wrote, once it has ended. */
  readonly output: Promise<string>;
  kill(signal: NodeJS.Signals): void;
}

export async function makeWorker(tools: Tools, environment: Readonly<Record<string, string>> = {}): Promise<Worker> {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-worker-'));
  const [home, runDir, temporary] = [join(root, 'home'), join(root, 'run'), join(root, 'tmp')];
  for (const [path, mode] of [
    [home, 0o700],
    [runDir, 0o777],
    [temporary, 0o777],
  ] as const) {
    mkdirSync(path);
    if (isRoot) chownSync(path, 65_534, 65_534);
    chmodSync(path, mode);
  }
  chmodSync(root, 0o755);
  writeFileSync(join(home, 'secret.txt'), fileCanary);
  if (isRoot) chownSync(join(home, 'secret.txt'), 65_534, 65_534);
  chmodSync(join(home, 'secret.txt'), 0o600);
  const port = await freePort();
  const notes = join(home, 'stub-notes');
  const lines: string[] = [];
  const started: ChildProcess[] = [];
  return {
    home,
    runDir,
    port,
    lines,
    state: () => jsonIn<IdeState>(join(runDir, 'ide-state.json')),
    asked: () =>
      existsSync(notes)
        ? readFileSync(notes, 'utf8')
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line) as Asked)
        : [],
    ideStart: () => jsonIn(`${notes}.start`),
    wish: (enabled, generation) => writeFileSync(join(runDir, 'ide.json'), JSON.stringify({ enabled, generation })),
    give: (folder) => {
      if (isRoot) execFileSync('chown', ['-R', '65534:65534', join(home, folder)]);
    },
    start(...words) {
      const child = spawn(join(tools.directory, 'opencode'), [join(tools.directory, 'helper.js'), ...words], {
        cwd: '/',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: `${tools.stubIdeDir}:/usr/local/bin:/usr/bin:/bin`,
          HOME: home,
          TMPDIR: temporary,
          BUN_BE_BUN: '1',
          CODER_AGENT_TOKEN: tokenCanary,
          OUTRIGGER_RUN_DIR: runDir,
          TOOLS_DIR: tools.directory,
          OUTRIGGER_IDE_PORT: String(port),
          STUB_NOTES: notes,
          ...environment,
        },
        ...asPerson,
      });
      started.push(child);
      return watch(child, lines);
    },
    async end() {
      for (const child of started) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const gone = new Promise((settle) => child.once('exit', settle));
        child.kill('SIGTERM');
        await gone;
      }
      const left = [...processesOf(stub), ...processesOf(join(tools.directory, 'stub-ide.mjs'))];
      rmSync(root, { recursive: true, force: true });
      return left;
    },
  };
}

function watch(child: ChildProcess, lines: string[]): HelperProcess {
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      chunks.push(chunk.toString('utf8'));
      lines.push(...chunk.toString('utf8').trimEnd().split('\n'));
    });
  const exited = new Promise<number | null>((settle) => child.once('close', (code) => settle(code)));
  return {
    pid: child.pid ?? 0,
    exited,
    output: exited.then(() => chunks.join('')),
    kill: (signal) => void child.kill(signal),
  };
}

/** Command lines that hold this text. */
export function processesOf(text: string): readonly string[] {
  return listProcesses().filter((command) => command.includes(text));
}

function listProcesses(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => textIn(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') ?? '');
}

/** Runs a program of the agent: another user, without the worker's environment. Answers what it wrote. */
export async function asTheAgent(script: string, words: readonly string[] = []): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, ...words], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin' },
    ...asAgent,
  });
  return await watch(child, []).output;
}

/** Sends these bytes to the loopback port and answers everything that comes until the other side ends. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<string> {
  return await new Promise((settle) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port }, () => void socket.write(bytes));
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => settle(Buffer.concat(chunks).toString('latin1')));
  });
}

/** Waits until `look` answers something; fails with `what` when it does not within a minute. */
export async function until<Value>(what: string, look: () => Value | null | undefined | false): Promise<Value> {
  for (let tries = 0; tries < 1_200; tries += 1) {
    const value = look();
    if (value !== null && value !== undefined && value !== false) return value;
    await new Promise((settle) => setTimeout(settle, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

async function freePort(): Promise<number> {
  return await new Promise((settle) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => settle(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function jsonIn<Value>(file: string): Value | null {
  try {
    return JSON.parse(textIn(file) ?? 'null') as Value;
  } catch {
    return null;
  }
}

function textIn(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
