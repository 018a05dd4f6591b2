import { createServer } from 'node:net';
import { ports } from '../../../contract.ts';
import { AttemptFailure } from '../failure.ts';
import type { HarnessClient, HarnessStart } from '../harness.ts';
import type { ServeExit } from '../runner-client.ts';
import { makeHarnessClient } from './client.ts';
import { harnessEnvironment, isGuarded, writeHarnessFiles } from './files.ts';
import { requirePinned } from './version.ts';

/** It takes two seconds, and minutes on a machine that has too much to do; a try that is given up makes that worse. */
const readyMs = 180_000;
const probeEveryMs = 250;
const tries = 3;

/**
 * Starts `opencode serve` for one attempt and waits until it answers; its ready line proves nothing.
 *
 * Errors   `AgentServerNotReady`: retryable after three minutes, or when it ended three times before it answered; final
 *          where it is another version than ours.
 */
export async function startHarness(start: HarnessStart): Promise<HarnessClient> {
  writeHarnessFiles(start);
  const environment = harnessEnvironment(start);
  const directory = start.workTree.folder;
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort(start.prefersKnownPort && attempt === 1 ? ports.opencode : 0);
    const client = makeHarnessClient({ port, password: start.password, directory });
    await start.runner.serve({
      argv: [start.program, 'serve', '--port', String(port), '--hostname', '127.0.0.1'],
      environment,
      directory,
    });
    const came = await untilHealthy(client, start.runner.serveEnded());
    if ('version' in came) {
      requirePinned(came.version);
      await requireGuard(client, start);
      return client;
    }
    // Between finding a port free and binding it somebody else may have taken it.
    if (attempt === tries)
      throw new AttemptFailure(
        'AgentServerNotReady',
        `OpenCode ended with code ${came.code} before it was ready.`,
        true,
      );
  }
}

/** The first call for a directory makes OpenCode load its plugins; the next may already be the prompt. */
async function requireGuard(client: HarnessClient, { directories }: HarnessStart): Promise<void> {
  await client.busySessions();
  if (isGuarded(directories)) return;
  throw new AttemptFailure(
    'AgentServerNotReady',
    'OpenCode did not load the plugin that keeps it from running programs of the repository, so nothing was begun.',
    true,
  );
}

async function untilHealthy(
  client: HarnessClient,
  serveEnded: Promise<ServeExit>,
): Promise<ServeExit | { readonly version: string }> {
  const deadline = performance.now() + readyMs;
  const end = serveEnded.then((exit) => ({ exit }));
  while (performance.now() < deadline) {
    const now = await Promise.race([client.health(), end]);
    if (now && 'exit' in now) return now.exit;
    if (now) return now;
    await new Promise((resolve) => setTimeout(resolve, probeEveryMs));
  }
  throw new AttemptFailure('AgentServerNotReady', `OpenCode did not answer within ${readyMs / 1000} s.`, true);
}

/** The wanted port where it is free, else any free one. */
async function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (wanted === 0 ? reject(error) : resolve(freePort(0))));
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
