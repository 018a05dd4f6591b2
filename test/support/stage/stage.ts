import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bridgeEnvironment } from '../../../modules/contract.ts';
import { deriveProof } from '../../../service/secrets/registration-proof.ts';
import { inLog, makeProcesses, type Child } from './processes.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** Where Coder is and who takes part: simulated or real. */
export interface CoderSide {
  readonly url: string;
  readonly serviceToken: string;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly workspaceAgentId: string;
}

export interface StageOptions {
  readonly coder: CoderSide;
  readonly model: { readonly url: string; readonly name: string; readonly apiKey?: string };
  /** Folder for everything the stage writes; removed at the end when it was made here. */
  readonly directory?: string;
  readonly databaseUrl?: string;
  /** What bridge and worker share. @default a folder of the stage's own */
  readonly runDir?: string;
  readonly slots?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * A whole Outrigger on this machine: the service as a process of its own, and a workspace that is a folder and a
 * bridge process run by the real OpenCode.
 */
export interface Stage {
  readonly directory: string;
  readonly workspaceDir: string;
  readonly repositoryDir: string;
  readonly dataDir: string;
  /** The service's address; fixed over restarts. */
  readonly serviceUrl: string;
  service(): Child | undefined;
  bridge(): Child | undefined;
  /** From `codeDir`, another checkout than this one, where it is given. */
  startService(codeDir?: string): Promise<void>;
  /** `secret` is the template secret from which the workspace's proof follows. */
  startBridge(secret: string): void;
  /** Ends every process; removes the folder unless it is to be kept. */
  end(options?: { keep: boolean }): Promise<void>;
}

export function makeStage(options: StageOptions): Stage {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'outrigger-'));
  const place = (name: string): string => join(directory, name);
  const processes = makeProcesses();
  const repositoryDir = join(place('workspace'), 'users');
  for (const name of ['workspace', 'agent', 'tools', 'logs', 'home', 'run'])
    mkdirSync(place(name), { recursive: true });
  let service: Child | undefined;
  let bridge: Child | undefined;
  let listen = '127.0.0.1:0';
  let url = '';

  const inherited = { PATH: process.env['PATH'] ?? '', HOME: place('home'), TMPDIR: tmpdir() };

  return {
    directory,
    workspaceDir: place('workspace'),
    repositoryDir,
    dataDir: place('data'),
    get serviceUrl() {
      return url;
    },
    service: () => service,
    bridge: () => bridge,
    async startService(codeDir = root) {
      service = processes.start('service', process.execPath, [join(codeDir, 'scripts', 'outrigger.mjs'), 'serve'], {
        cwd: directory,
        log: join(place('logs'), 'service.log'),
        env: {
          ...inherited,
          CODER_URL: options.coder.url,
          OUTRIGGER_CODER_TOKEN: options.coder.serviceToken,
          OUTRIGGER_DATA_DIR: place('data'),
          OUTRIGGER_LISTEN: listen,
          MODEL_UPSTREAM_URL: options.model.url,
          OUTRIGGER_MODEL: options.model.name,
          // The scripted model has no price; a real one may be newer than our list.
          OUTRIGGER_ALLOW_UNPRICED_MODELS: 'true',
          ...(options.model.apiKey === undefined ? {} : { OPENROUTER_API_KEY: options.model.apiKey }),
          ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
          ...(options.slots === undefined ? {} : { OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: String(options.slots) }),
          ...options.environment,
        },
      });
      url = await service.line(inLog('listening', 'url'));
      listen = new URL(url).host;
    },
    startBridge(secret) {
      const { coder } = options;
      const opencode = join(place('tools'), 'opencode');
      if (!existsSync(opencode)) linkOrCopy(openCodeBinary(), opencode);
      bridge = processes.start('bridge', opencode, [join(root, 'dist', 'bridge.js')], {
        // Not the workspace: the runtime preloads what a bunfig.toml of its directory names.
        cwd: '/',
        log: join(place('logs'), 'bridge.log'),
        env: {
          ...inherited,
          BUN_BE_BUN: '1',
          [bridgeEnvironment.url]: url,
          [bridgeEnvironment.proof]: deriveProof(secret, coder.workspaceId, coder.ownerId, coder.workspaceAgentId),
          [bridgeEnvironment.workspaceId]: coder.workspaceId,
          [bridgeEnvironment.ownerId]: coder.ownerId,
          [bridgeEnvironment.workspaceAgentId]: coder.workspaceAgentId,
          [bridgeEnvironment.harnessKey]: 'a key of this stage only',
          [bridgeEnvironment.slots]: String(options.slots ?? 1),
          [bridgeEnvironment.workspaceDir]: place('workspace'),
          [bridgeEnvironment.repositoryDir]: repositoryDir,
          [bridgeEnvironment.agentDir]: place('agent'),
          [bridgeEnvironment.toolsDir]: place('tools'),
          [bridgeEnvironment.runDir]: options.runDir ?? place('run'),
          [bridgeEnvironment.port]: '0',
        },
      });
    },
    async end({ keep } = { keep: false }) {
      await processes.endAll();
      if (options.directory === undefined && !keep) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** The OpenCode program of this platform's npm package. */
export function openCodeBinary(): string {
  const name = `opencode-${process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'opencode');
  } catch (cause) {
    throw new Error(`There is no OpenCode for this platform (${name}). Outrigger runs it on Linux x64 with glibc.`, {
      cause,
    });
  }
}

/** A hard link costs nothing; across file systems it takes a copy of 180 MB. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
