import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lease } from '../../../modules/contract.ts';
import type { Harness, HarnessClient, HarnessStart } from '../../../modules/opencode/bridge/harness.ts';
import { taskDirectories, type TaskDirectories } from '../../../modules/opencode/bridge/task-directories.ts';
import { startScriptedModel, type Play, type ScriptedModel } from '../model/scripted-model.ts';
import { makeRepository } from '../stage/repository.ts';
import { aLease, opencodeBinary } from './bridge-process.ts';

/** A harness that its adapter started as in an attempt, without a bridge: a repository, a model and the program. */
export interface HarnessProcess {
  readonly client: HarnessClient;
  readonly model: ScriptedModel;
  readonly lease: Lease;
  /** Holds everything of it. */
  readonly root: string;
  readonly repository: string;
  readonly directories: TaskDirectories;
  readonly pid: number;
  /** Kills the program and starts it on the same directories, as the next attempt would. */
  restart(): Promise<void>;
  end(): Promise<void>;
}

export interface HarnessProcessOptions {
  readonly harness: Harness;
  readonly program?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly plays?: readonly Play[];
  readonly lease?: Partial<Lease>;
  /** Runs before the program starts. */
  readonly prepare?: (place: { readonly root: string; readonly repository: string }) => void;
  /** Changes what is asked of the adapter. */
  readonly change?: (start: HarnessStart) => HarnessStart;
}

export const passwordOfTests = 'canarypassword0123456789';

export async function startHarnessProcess(options: HarnessProcessOptions): Promise<HarnessProcess> {
  const { harness, program = opencodeBinary, files = {}, plays = [], change = (start) => start } = options;
  const root = mkdtempSync(join(tmpdir(), 'outrigger-harness-'));
  const repository = join(root, 'repository');
  mkdirSync(repository);
  makeRepository(repository, { 'README.md': 'hello\n', ...files });
  options.prepare?.({ root, repository });
  const model = await startScriptedModel({ plays });
  const lease = aLease('unused', options.lease);
  const runner = makeProgramRunner();
  const directories = taskDirectories(join(root, 'agent'), lease.task_id);
  const start = (): Promise<HarnessClient> =>
    harness.start(
      change({
        ...{ runner, program, lease, directories },
        workTree: { path: repository, folder: repository },
        modelUrl: model.url,
        password: passwordOfTests,
        inherited: {},
        path: process.env['PATH'] ?? '/usr/bin:/bin',
        context: null,
        gitSettings: [],
        prefersKnownPort: false,
        now: new Date(),
      }),
    );
  const end = async (): Promise<void> => {
    await runner.kill();
    await model.close();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    let client = await start();
    return {
      ...{ model, lease, root, repository, directories, end },
      get client() {
        return client;
      },
      get pid() {
        return runner.pid();
      },
      async restart() {
        await runner.kill();
        client = await start();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

type ProgramRunner = HarnessStart['runner'] & { pid(): number; kill(): Promise<void> };

/** Starts one program at a time; no child subreaper, so tools that daemonize are not its business. */
export function makeProgramRunner(): ProgramRunner {
  let child: ChildProcess | undefined;
  let ended: ReturnType<HarnessStart['runner']['serveEnded']> = Promise.resolve({ code: null, tail: '' });
  return {
    serve({ argv: [path = '', ...args], environment, directory }) {
      const started = spawn(path, args, { cwd: directory, env: { ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
      let tail = '';
      const keep = (chunk: Buffer): void => void (tail = (tail + chunk.toString('utf8')).slice(-2_000));
      started.stdout.on('data', keep);
      started.stderr.on('data', keep);
      child = started;
      ended = new Promise((resolve) => {
        started.once('exit', (code) => resolve({ code, tail }));
        started.once('error', (error) => resolve({ code: null, tail: error.message }));
      });
      return Promise.resolve({ pid: started.pid ?? 0 });
    },
    serveEnded: () => ended,
    pid: () => child?.pid ?? 0,
    async kill() {
      if (!child) return;
      child.kill('SIGKILL');
      await ended;
      // What it has started may hold the other ends.
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
  };
}
