import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
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
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bridgeEnvironment, type Lease } from '../../../modules/contract.ts';
import { buildBridge } from '../../../scripts/build-bridge.ts';
import type { FakeService } from './fake-service.ts';

export const opencodeBinary = resolve(import.meta.dirname, '../../../node_modules/opencode-linux-x64/bin/opencode');

/** Everything below runs as this user when the tests run as root: nobody's own rights hide a leak. */
const user = process.getuid?.() === 0 ? 65_534 : undefined;

/** What an init container leaves in `/tools`: the real binary, executable and unreadable, and the bridge. */
export interface Tools {
  readonly directory: string;
  remove(): void;
}

export async function installTools(): Promise<Tools> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-tools-'));
  chmodSync(directory, 0o755);
  copyFileSync(opencodeBinary, join(directory, 'opencode'));
  chmodSync(join(directory, 'opencode'), 0o111);
  await buildBridge(join(directory, 'bridge.js'));
  chmodSync(join(directory, 'bridge.js'), 0o444);
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A workspace with one git repository `app`, owned by the user the bridge runs as. */
export interface TestWorkspace {
  readonly directory: string;
  readonly repository: string;
  readonly agentDir: string;
  /** Runs git in the person's checkout and answers its output. */
  git(...args: string[]): string;
  worktreeOf(lease: Lease): string;
  remove(): void;
}

const asUser = user === undefined ? {} : { uid: user, gid: user };

export function makeWorkspace(files: Readonly<Record<string, string>> = { 'README.md': 'hello\n' }): TestWorkspace {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-workspace-'));
  const directory = join(root, 'workspace');
  const repository = join(directory, 'app');
  const agentDir = join(root, 'agent');
  for (const path of [root, directory, repository, agentDir]) {
    mkdirSync(path, { recursive: true });
    if (user !== undefined) chownSync(path, user, user);
  }
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: repository,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: root,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'Ada',
        GIT_AUTHOR_EMAIL: 'ada@example.com',
        GIT_COMMITTER_NAME: 'Ada',
        GIT_COMMITTER_EMAIL: 'ada@example.com',
      },
      ...asUser,
    }).trimEnd();
  git('-c', 'init.defaultBranch=main', 'init', '--quiet');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(repository, name), text);
  if (user !== undefined) execFileSync('chown', ['-R', `${user}:${user}`, repository]);
  git('add', '--all');
  git('commit', '--quiet', '-m', 'first');
  return {
    directory,
    repository,
    agentDir,
    git,
    worktreeOf: (lease) => join(directory, '.outrigger', 'worktrees', lease.branch.replaceAll('/', '-')),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

export interface BridgeProcess {
  readonly pid: number;
  readonly lines: readonly string[];
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

export interface BridgeOptions {
  readonly service: Pick<FakeService, 'url' | 'proof'>;
  readonly tools: Tools;
  readonly workspace: TestWorkspace;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Secrets that no tool may find anywhere. */
export const harnessKeyCanary = 'canaryharnesskey0123456789';

/** Runs the bridge as a real process by the real OpenCode binary, exactly as a template starts it. */
export function startBridgeProcess({ service, tools, workspace, environment = {} }: BridgeOptions): BridgeProcess {
  const child: ChildProcess = spawn(join(tools.directory, 'opencode'), [join(tools.directory, 'bridge.js')], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: workspace.agentDir,
      BUN_BE_BUN: '1',
      [bridgeEnvironment.url]: service.url,
      [bridgeEnvironment.proof]: service.proof,
      [bridgeEnvironment.workspaceId]: randomUUID(),
      [bridgeEnvironment.ownerId]: randomUUID(),
      [bridgeEnvironment.workspaceAgentId]: randomUUID(),
      [bridgeEnvironment.harnessKey]: harnessKeyCanary,
      [bridgeEnvironment.workspaceDir]: workspace.directory,
      [bridgeEnvironment.agentDir]: workspace.agentDir,
      [bridgeEnvironment.toolsDir]: tools.directory,
      [bridgeEnvironment.port]: '0',
      ...environment,
    },
    ...asUser,
  });
  const lines: string[] = [];
  let rest = '';
  const keep = (chunk: Buffer): void => {
    const pieces = (rest + chunk.toString('utf8')).split('\n');
    rest = pieces.pop() ?? '';
    lines.push(...pieces);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return {
    pid: child.pid ?? 0,
    lines,
    exited: new Promise((settle) => child.once('exit', (code) => settle(code))),
    kill: (signal) => void child.kill(signal),
  };
}

/** Pids of living processes that belong to a workspace or its tools: what the bridge may leave behind. */
export function processesOf(...places: readonly string[]): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        const state = /\) (\w)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1];
        const isTheirs = state !== 'Z' && places.some((place) => command.includes(place));
        return isTheirs ? [{ pid: Number(name), command }] : [];
      } catch {
        return [];
      }
    });
}

/** True when exactly this command runs; a shell that only mentions it does not count. */
export const isRunning = (command: string): boolean => processesOf(command).some((one) => one.command === command);

/** Looks until it is so; fails with `what` after the deadline. */
export async function until<Value>(
  what: string,
  look: () => Value | undefined | null | false,
  timeoutMs = 150_000,
): Promise<Value> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs} ms for: ${what}`);
    await new Promise((settle) => setTimeout(settle, 25));
  }
}

export const readIfThere = (file: string): string | null => (existsSync(file) ? readFileSync(file, 'utf8') : null);

/** A lease with everything set; `prompt` usually names a scenario of the scripted model. */
export function aLease(prompt: string, more: Partial<Lease> = {}): Lease {
  const task_id = more.task_id ?? randomUUID();
  const id = task_id.replaceAll('-', '');
  return {
    task_id,
    attempt: 1,
    title: 'Do the thing',
    prompt,
    session_id: null,
    message_id: `msg_${id}`,
    part_id: `prt_${id}`,
    profile: 'ask',
    model: 'scripted/model',
    verify: null,
    timeout_ms: 120_000,
    task_token: `ort_${id}canarytask`,
    branch: `agent/${id.slice(0, 12)}`,
    base_commits: [],
    identity: { name: 'Ada Agent', email: 'ada@example.com' },
    environment: { TASK_ID: task_id, TASK_NAME: 'Do the thing', TASK_NAMESPACE: 'acme' },
    ...more,
  };
}
