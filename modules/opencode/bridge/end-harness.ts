import type { StopReceipt } from '../../contract.ts';
import type { HarnessClient } from './harness.ts';
import type { SweepResult } from './process-tree.ts';
import type { RelayPlace } from './relay.ts';
import type { Runner } from './runner-client.ts';

export interface Running {
  readonly runner: Runner | null;
  readonly client: HarnessClient | null;
  readonly place: RelayPlace | null;
  readonly harnessEnded: boolean;
}

export interface EndOptions {
  readonly termMs: number;
  /** How long an abort of the open turns may take; 0 where there is nothing to abort. */
  readonly abortMs?: number;
  /** Ends what re-parented to the bridge because the runner died. */
  readonly sweepOrphans: (termMs: number) => Promise<SweepResult>;
}

const lookMs = 100;

/**
 * Ends everything below the runner, the gentle way first: abort the sessions → TERM → KILL.
 *
 * Models hear nothing more from the moment the relay's place is closed. `abort` is the method only where it
 * left nothing but the server itself.
 */
export async function endHarness(running: Running, options: EndOptions): Promise<Omit<StopReceipt, 'stopped_at'>> {
  const { runner, client, place } = running;
  const isAborted =
    client && !running.harnessEnded && options.abortMs
      ? await inTime(abort(client, options.abortMs), options.abortMs)
      : false;
  const openCalls = place?.close() ?? 0;
  if (!runner) return { method: 'already_gone', processes_left: 0, tokens_after_stop: openCalls };
  const askedAt = performance.now();
  // A runner that failed is dead by now, and what it held has moved to the bridge.
  const swept = await runner
    .sweep(options.termMs)
    .catch(() => options.sweepOrphans(Math.max(0, options.termMs - (performance.now() - askedAt))));
  const method = swept.method === 'term' && isAborted && swept.unexpected === 0 ? 'abort' : swept.method;
  return {
    method,
    processes_left: runner.isStuck() ? Math.max(1, swept.left) : swept.left,
    tokens_after_stop: openCalls,
  };
}

/** True when every session has gone idle in time. */
async function abort(client: HarnessClient, abortMs: number): Promise<boolean> {
  const deadline = performance.now() + abortMs;
  let asked = new Set<string>();
  while (performance.now() < deadline) {
    const busy = await client.busySessions().catch(() => null);
    if (busy === null) return false;
    if (busy.length === 0) return true;
    const fresh = busy.filter((id) => !asked.has(id));
    await Promise.all(fresh.map((id) => client.abort(id).catch(() => undefined)));
    asked = new Set([...asked, ...fresh]);
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  return false;
}

/** False once time is up: a harness that was stopped by a signal answers nothing. */
async function inTime(result: Promise<boolean>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), timeoutMs)));
  return Promise.race([result, late]).finally(() => clearTimeout(timer));
}
