import { join } from 'node:path';

/** Where the IDE keeps what is its own. */
export interface IdePlaces {
  /** Unix socket it listens on, in a folder that only its user can enter. */
  readonly socket: string;
  readonly userDataDir: string;
  readonly extensionsDir: string;
}

export interface IdeKind {
  readonly program: string;
  readonly argv: (places: IdePlaces) => readonly string[];
  /** Answers with 200 as soon as the IDE serves. */
  readonly healthPath: string;
}

/**
 * The IDEs that the helper can run.
 *
 * code-server 4.139: `--auth none`, because Coder's proxy has asked who the person is and the gate lets nobody else in.
 * Its own proxy to other ports is off: a page of the agent's, shown under the IDE's origin, could drive its terminals.
 * Workspace Trust stays on.
 */
export const ideKinds: Readonly<Record<string, IdeKind>> = {
  'code-server': {
    program: 'code-server',
    argv: ({ socket, userDataDir, extensionsDir }) => [
      ...['--auth', 'none', '--socket', socket, '--socket-mode', '0600'],
      ...['--session-socket', `${socket}.session`, '--config', join(userDataDir, 'config.yaml')],
      ...['--user-data-dir', userDataDir, '--extensions-dir', extensionsDir],
      ...['--disable-telemetry', '--disable-update-check', '--disable-proxy'],
    ],
    healthPath: '/healthz',
  },
};
