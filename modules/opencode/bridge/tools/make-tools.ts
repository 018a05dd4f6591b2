import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { toolLimits } from '../../../contract.ts';
import { askForAccess } from '../git-access.ts';
import type { Log } from '../log.ts';
import { makeFreshGit } from '../own-git.ts';
import { pushWork } from '../push-work.ts';
import type { Relay } from '../relay.ts';
import { startRunner } from '../runner-client.ts';
import { runCommand } from '../runner-exec.ts';
import type { Environment } from '../runner-protocol.ts';
import type { BridgeSettings } from '../settings.ts';
import { removeQuietly } from '../verify-place.ts';
import { makeBrake } from './brake.ts';
import { makeCommandTools, type Exec } from './commands.ts';
import { makeFileTools } from './files.ts';
import { makeGitTools, type GitToolParts } from './git.ts';
import { makePlace } from './place.ts';
import { guardTools, type ToolCommands } from './tools.ts';

export interface ToolParts {
  readonly settings: Pick<
    BridgeSettings,
    'url' | 'agentDir' | 'toolsDir' | 'workspaceDir' | 'gitRoot' | 'repositoryDir' | 'inherited'
  >;
  readonly execPath: string;
  readonly bundle: string;
  /** Pids that no sweep of the bridge may end. */
  readonly runners: Set<number>;
  readonly relay: Pick<Relay, 'open'>;
  /** The bridge's own token, which pushes only while the service waits for a push. */
  readonly token: () => Promise<string | null>;
  readonly log: Log;
}

/** How long what a command left behind may take to end by itself. */
const leaveMs = 500;

/** The tools of a bridge, and who may use how many of them. */
export interface Tools {
  /** For one session. `reader`: only what changes nothing. */
  session(kind: 'service' | 'reader'): ToolCommands;
}

export function makeTools(parts: ToolParts): Tools {
  const { settings, runners } = parts;
  const place = makePlace(settings.workspaceDir);
  const path = `${settings.toolsDir}:${settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}`;
  const exec: Exec = (command) => runCommand(command, runners);
  const environment: Environment = { LANG: 'C.UTF-8', ...settings.inherited, PATH: path };
  const tools: ToolCommands = {
    ...makeFileTools(place),
    ...makeCommandTools({
      place,
      exec,
      execApart: makeExecApart(parts, path),
      environment,
      toolsDir: settings.toolsDir,
    }),
    ...makeGitTools({
      place,
      gitRoot: settings.gitRoot,
      repositoryDir: settings.repositoryDir,
      git: (args, options) =>
        inFolder(settings.agentDir, (directory) => makeFreshGit({ directory, path, exec })(args, options)),
      push: makePush(parts, path, exec),
    }),
  };
  return {
    session: (kind) =>
      guardTools(tools, {
        brake: makeBrake({ ...toolLimits, nowMs: () => performance.now() }),
        ...(kind === 'reader' ? { grant: { profile: 'read-only' } } : {}),
      }),
  };
}

/** Each program gets a runner, so that nothing of it is left, and directories of its own, which go with it. */
const makeExecApart =
  ({ settings, execPath, bundle, runners, log }: ToolParts, path: string): Exec =>
  (command) =>
    inFolder(settings.agentDir, async (folder) => {
      const [home, temporary] = [join(folder, 'home'), join(folder, 'tmp')];
      for (const directory of [home, temporary]) mkdirSync(directory, { mode: 0o700 });
      const runner = await startRunner({ execPath, bundle, path, onSpawn: (pid) => runners.add(pid), log });
      try {
        const environment = { ...command.environment, HOME: home, TMPDIR: temporary };
        return await runner.exec({ ...command, environment });
      } finally {
        await runner.sweep(leaveMs).catch(() => undefined);
        await runner.close();
        runners.delete(runner.pid);
      }
    });

const makePush =
  ({ settings, relay, token, log }: ToolParts, path: string, exec: Exec): GitToolParts['push'] =>
  ({ path: repository, branch, commit, origin }) =>
    inFolder(settings.agentDir, async (folder) => {
      const taskToken = await token();
      if (taskToken === null) throw new Error('The bridge is ending.');
      const access = await askForAccess({ serviceUrl: settings.url, taskToken, log });
      const open = relay.open({ taskToken, callLimit: 0, onLimit: () => undefined });
      try {
        return await pushWork({
          git: makeFreshGit({ directory: folder, path, exec }),
          workTree: { path: repository, folder: repository, base: commit, branch },
          commit,
          access,
          origin,
          relayUrl: open.gitUrl,
          taskDir: folder,
          reposJson: settings.inherited['REPOS_JSON'],
        });
      } finally {
        open.close();
      }
    });

/** A folder that only this use of it knows; removed afterwards. */
async function inFolder<Result>(agentDir: string, use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(agentDir, 'tool-'));
  try {
    return await use(folder);
  } finally {
    removeQuietly(folder);
  }
}
