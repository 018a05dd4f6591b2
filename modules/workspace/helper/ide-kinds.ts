import { join } from 'node:path';
import type { ideNames } from '../../contract.ts';

/** Where the IDE keeps what is its own. */
export interface IdePlaces {
  /** Unix socket it listens on, in a folder that only its user can enter. */
  readonly socket: string;
  readonly userDataDir: string;
  readonly extensionsDir: string;
  /** Path under which browsers see it, where that is not `/`; else empty. */
  readonly basePath: string;
}

export interface IdeKind {
  /** Name of the program in PATH. */
  readonly program: string;
  readonly argv: (places: IdePlaces) => readonly string[];
  /** Answers with 200 as soon as the IDE serves. */
  readonly healthPath: string;
  /** Its settings on this side, below the user-data folder. */
  readonly settings: string;
}

/**
 * The IDEs that the helper can run; an executor image holds one or several.
 *
 * Each listens on a socket only and has no password: Coder's proxy has asked who the person is, and the gate lets nobody
 * else in. Workspace Trust stays on.
 *
 * code-server 4.139: its own proxy to other ports is off, since a page of the agent's, shown under the IDE's origin, could
 * drive its terminals. Its pages name everything by relative addresses, so it needs no base path.
 */
export const ideKinds: Readonly<Record<(typeof ideNames)[number], IdeKind>> = {
  'code-server': {
    program: 'code-server',
    argv: ({ socket, userDataDir, extensionsDir }) => [
      ...['--auth', 'none', '--socket', socket, '--socket-mode', '0600'],
      ...['--session-socket', `${socket}.session`, '--config', join(userDataDir, 'config.yaml')],
      ...['--user-data-dir', userDataDir, '--extensions-dir', extensionsDir],
      ...['--disable-telemetry', '--disable-update-check', '--disable-proxy'],
    ],
    healthPath: '/healthz',
    settings: 'User/settings.json',
  },
  'openvscode-server': serverOfCode('openvscode-server'),
  // Microsoft's web server names its program code-server too, so an image links it under this name.
  'vscode-web': serverOfCode('vscode-web', '--accept-server-license-terms'),
};

export const kindOf = (name: string): IdeKind | null =>
  Object.entries(ideKinds).find(([known]) => known === name)?.[1] ?? null;

/**
 * The server of Visual Studio Code itself, as OpenVSCode Server and Microsoft ship it.
 *
 * What a person sets stays in their browser; the machine's settings are read here, and it is they that decide which
 * extensions may be installed here.
 * Source: microsoft/vscode src/server-main.ts, src/vs/server/node (serverEnvironmentService, remoteExtensionHostAgentServer).
 */
function serverOfCode(program: string, ...more: readonly string[]): IdeKind {
  return {
    program,
    argv: ({ socket, userDataDir, extensionsDir, basePath }) => [
      ...['--socket-path', socket, '--without-connection-token'],
      ...(basePath === '' ? [] : ['--server-base-path', basePath]),
      ...['--server-data-dir', userDataDir, '--extensions-dir', extensionsDir],
      ...['--disable-telemetry', '--telemetry-level', 'off', ...more],
    ],
    healthPath: '/version',
    settings: 'data/Machine/settings.json',
  };
}
