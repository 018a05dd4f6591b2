import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../service/config.ts';
import { CommandFailure } from '../command-failure.ts';
import type { Surroundings } from '../template-context.ts';
import type { Address } from './address.ts';
import { poll } from './steps.ts';

export interface RunningService {
  readonly url: string;
  /** Null where it ran already. */
  readonly started: { readonly pid: number; readonly log: string } | null;
}

interface Parts extends Pick<Surroundings, 'clock' | 'signal' | 'pollMs'> {
  readonly address: Address;
  readonly config: Config;
  readonly configFile: string | undefined;
  readonly coderUrl: string;
  /** The service's own token of Coder. */
  readonly serviceToken: () => Promise<string>;
  readonly environment: NodeJS.ProcessEnv;
}

const startMs = 120_000;
const answerMs = 5_000;

/** The service at that address: the one that runs there, else one started in the background. */
export async function findOrStartService(parts: Parts): Promise<RunningService> {
  const { address } = parts;
  const found = await look(address.url);
  if (found === 'ready') return { url: address.url, started: null };
  if (found === 'starting') {
    if (
      await poll({ ...parts, timeoutMs: startMs }, async () =>
        (await look(address.url)) === 'ready' ? true : undefined,
      )
    )
      return { url: address.url, started: null };
    throw new CommandFailure(
      1,
      `Outrigger at ${address.url} does not become ready: \`curl ${address.url}/readyz\` says why.`,
    );
  }
  if (found === 'other')
    throw new CommandFailure(
      2,
      `What answers at ${address.url} is not Outrigger. Choose another address, or another port, with --url.`,
    );
  if (address.listen === null)
    throw new CommandFailure(
      2,
      `Nothing answers at ${address.url}, and it is not an address that this machine can listen on. Start the service there (CODER_URL=${parts.coderUrl} OUTRIGGER_URL=${address.url} outrigger serve; docs/deploy.md has more), then run this again.`,
    );
  return { url: address.url, started: await start(parts, address.listen) };
}

type Seen = 'ready' | 'starting' | 'other' | 'nothing';

async function look(url: string): Promise<Seen> {
  try {
    const response = await fetch(`${url}/readyz`, { redirect: 'manual', signal: AbortSignal.timeout(answerMs) });
    const body = (await response.json().catch(() => null)) as { status?: unknown; code?: unknown } | null;
    if (response.status === 200 && body?.status === 'ready') return 'ready';
    return body?.code === 'not_ready' ? 'starting' : 'other';
  } catch {
    return 'nothing';
  }
}

async function start(parts: Parts, listen: string): Promise<{ pid: number; log: string }> {
  const { config, environment, configFile } = parts;
  if (config.model.apiKey === undefined && config.model.upstreamUrl === 'https://openrouter.ai/api/v1')
    throw new CommandFailure(
      2,
      'Which model? Set OPENROUTER_API_KEY, or MODEL_UPSTREAM_URL and OUTRIGGER_MODEL for another provider, then run this again.',
    );
  const token = await parts.serviceToken();
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const log = join(config.dataDir, 'serve.log');
  const { CODER_SESSION_TOKEN: _person, CODER_SESSION_TOKEN_FILE: _file, OUTRIGGER_URL: _url, ...kept } = environment;
  const own = config.coder.serviceToken === undefined ? { OUTRIGGER_CODER_TOKEN: token } : {};
  const output = openSync(log, 'a', 0o600);
  const words = [
    join(import.meta.dirname, '..', 'outrigger.mjs'),
    'serve',
    ...(configFile ? ['--config', configFile] : []),
  ];
  // In a session of its own: it goes on when this command has ended, and hears no Ctrl-C of its terminal.
  const child = spawn(process.execPath, words, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...kept, ...own, CODER_URL: parts.coderUrl, OUTRIGGER_LISTEN: listen },
  });
  closeSync(output);
  const ended = new Promise<true>((resolve) =>
    child.once('exit', () => resolve(true)).once('error', () => resolve(true)),
  );
  let hasEnded = false;
  void ended.then(() => (hasEnded = true));
  child.unref();
  const ready = await poll({ ...parts, timeoutMs: startMs }, async () =>
    hasEnded ? 'ended' : (await look(`http://${listen}`)) === 'ready' ? 'ready' : undefined,
  ).catch((error: unknown) => {
    child.kill('SIGTERM');
    throw error;
  });
  if (ready === 'ready' && child.pid !== undefined) return { pid: child.pid, log };
  child.kill('SIGTERM');
  throw new CommandFailure(
    ready === undefined ? 124 : 1,
    `The service ${ready === undefined ? 'did not become ready' : 'ended'}. The end of ${log}:\n${lastLines(log)}`,
  );
}

const lastLines = (path: string): string =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .slice(-5)
    .map((line) => `  ${line}`)
    .join('\n');
