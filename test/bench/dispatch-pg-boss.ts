import { setTimeout as sleep } from 'node:timers/promises';
import PgBoss from 'pg-boss';
import { pauseMs } from './dispatch-ours.ts';
import type { Ground } from './ground.ts';
import { nowMs } from './waiting.ts';

const queue = 'work';

/** pg-boss as fast as it lets itself be set: it polls, twice a second at most, and hears no NOTIFY. Milliseconds. */
export async function preparePgBoss(ground: Ground, databaseUrl: string): Promise<() => Promise<number>> {
  const boss = new PgBoss({ connectionString: databaseUrl, supervise: false, schedule: false });
  boss.on('error', () => undefined);
  await boss.start();
  ground.afterwards(() => boss.stop({ graceful: false }));
  await boss.createQueue(queue);
  let called: () => void = () => undefined;
  await boss.work(queue, { pollingIntervalSeconds: 0.5 }, () => Promise.resolve(called()));
  return async () => {
    const wasCalled = new Promise<void>((resolve) => (called = resolve));
    await sleep(5 + Math.random() * pauseMs);
    const sentAt = nowMs();
    await boss.send(queue, { prompt: 'Write a test.' });
    await wasCalled;
    return nowMs() - sentAt;
  };
}
