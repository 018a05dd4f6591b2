import type { Stage } from '../support/stage/stage.ts';
import type { Ground } from './ground.ts';
import type { Measurement } from './measurement.ts';
import { median, seconds } from './statistics.ts';

const laterStarts = 5;

/** The whole service as a process of its own, with its embedded Postgres, to its log line `listening`. */
export const measureStart: Measurement = {
  name: 'start',
  title: 'start of the whole service',
  limitMs: 80_000,
  async measure(ground, tell) {
    const stage = ground.stage();
    const firstMs = await startOnce(ground, stage);
    tell(`first start ${seconds(firstMs)}`);
    const later: number[] = [];
    for (let count = 0; count < laterStarts; count += 1) {
      await stop(stage);
      later.push(await startOnce(ground, stage));
      tell(`later start ${seconds(later.at(-1) ?? NaN)}`);
    }
    await stop(stage);
    const values = [Math.min(...later), median(later), Math.max(...later)].map(seconds);
    return [
      {
        what: 'first start, empty data directory',
        value: seconds(firstMs),
        note: 'n=1; makes the cluster, all tables',
      },
      { what: 'later start: min · median · max', value: values.join(' · '), note: `n=${later.length}; after SIGTERM` },
    ];
  },
};

async function startOnce(ground: Ground, stage: Stage): Promise<number> {
  const from = performance.now();
  await ground.start(stage);
  return performance.now() - from;
}

async function stop(stage: Stage): Promise<void> {
  const service = stage.service();
  service?.kill('SIGTERM');
  await service?.exited;
}
