import { spawn } from 'node:child_process';
import { BlockList } from 'node:net';
import { noEngine } from '../executor/engine.ts';
import { CommandFailure } from '../command-failure.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; other work goes on meanwhile. Rejects with the signal's reason when it was stopped. */
export function runProgram(
  program: string,
  words: readonly string[],
  options: {
    readonly signal: AbortSignal;
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly onLine?: (line: string) => void;
  },
): Promise<Ended> {
  const { signal, onLine, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { ...rest, stdio: ['ignore', 'pipe', 'pipe'] });
    const stop = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        said[stream] += chunk;
        for (const line of chunk.split(/[\r\n]+/)) if (line.trim() !== '') onLine?.(line);
      });
    child.once('error', (error) => reject(noEngine(program, error)));
    child.once('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve({ code: code ?? 1, ...said });
    });
  });
}

export type Docker = (...words: readonly string[]) => Promise<Ended>;

/** Docker's own command. Throws a `CommandFailure` 2 where no daemon answers it. */
export async function openDocker(signal: AbortSignal): Promise<Docker> {
  const docker: Docker = (...words) => runProgram('docker', words, { signal });
  const { code, stderr } = await docker('version', '--format', '{{.Server.Version}}');
  if (code === 0) return docker;
  throw new CommandFailure(
    2,
    `Docker does not answer: ${lastLine(stderr)}. Start it, and see that you may use it: \`docker version\`.`,
  );
}

/**
 * The address of this machine in Docker's default network; null where it has none.
 *
 * Trap  after a restart some daemons tell the network's subnet and no gateway.
 */
export async function bridgeAddress(docker: Docker, own: readonly string[]): Promise<string | null> {
  const { code, stdout } = await docker('network', 'inspect', 'bridge', '--format', '{{json .IPAM.Config}}');
  if (code !== 0) return null;
  const networks = (JSON.parse(stdout) ?? []) as readonly { readonly Subnet?: string; readonly Gateway?: string }[];
  for (const { Subnet, Gateway } of networks) {
    if (Gateway !== undefined && own.includes(Gateway)) return Gateway;
    const [network = '', prefix = ''] = (Subnet ?? '').split('/');
    if (!/^\d+(\.\d+){3}$/.test(network)) continue;
    const subnet = new BlockList();
    subnet.addSubnet(network, Number(prefix));
    const found = own.find((one) => /^\d+(\.\d+){3}$/.test(one) && subnet.check(one));
    if (found !== undefined) return found;
  }
  return null;
}

export const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
