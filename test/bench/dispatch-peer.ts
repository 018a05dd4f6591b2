import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, run } from 'graphile-worker';
import { pauseMs } from './dispatch-ours.ts';
import type { Ground } from './ground.ts';
import { startHearing } from './hearing.ts';
import { nowMs } from './waiting.ts';

/** The way of one job of graphile-worker, in milliseconds. */
export interface PeerDispatch {
  /** `addJob` called → task function called. */
  readonly wholeMs: number;
  /** Job row committed → task function called. */
  readonly innerMs: number;
}

/**
 * A plain Postgres queue as it comes: LISTEN/NOTIFY, one job at a time, in this very process, so it pays for no
 * HTTP, no second process and no socket to the one who works.
 */
export async function preparePeer(ground: Ground, databaseUrl: string): Promise<() => Promise<PeerDispatch>> {
  let called: (() => void) | undefined;
  let finished: (() => void) | undefined;
  const runner = await run({
    connectionString: databaseUrl,
    noHandleSignals: true,
    logger: new Logger(() => () => undefined),
    taskList: { work: () => called?.() },
  });
  ground.afterwards(() => runner.stop());
  runner.events.on('job:complete', () => finished?.());
  const hearing = await startHearing(databaseUrl, ['jobs:insert'], ground.afterwards);

  return async () => {
    let calledAt = 0;
    const wasCalled = new Promise<void>((resolve) => {
      called = () => {
        calledAt = nowMs();
        resolve();
      };
    });
    const hasFinished = new Promise<void>((resolve) => (finished = resolve));
    await sleep(5 + Math.random() * pauseMs);
    hearing.reset();

    const sentAt = nowMs();
    await runner.addJob('work', { prompt: 'Write a test.' });
    const answeredAt = nowMs();
    await wasCalled;
    await hasFinished;
    // The worker is often called before our own connection hears of the commit, or before addJob has its answer.
    const committedAt = Math.min(hearing.first ?? calledAt, answeredAt, calledAt);
    return { wholeMs: calledAt - sentAt, innerMs: calledAt - committedAt };
  };
}
