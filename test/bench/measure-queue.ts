import pg from 'pg';
import type { Measurement } from './measurement.ts';
import { median, p50p99 } from './statistics.ts';

const few = 100;
const many = 10_000;
const samples = 100;

/** What it costs to submit and to list while 100, then 10,000 tasks wait in one workspace that has no place. */
export const measureQueue: Measurement = {
  name: 'queue',
  title: `${many} queued tasks`,
  limitMs: 150_000,
  async measure(ground, tell) {
    const databaseUrl = await ground.newDatabase('queue');
    // One owner may use half of the queue.
    const stage = ground.stage(databaseUrl, { OUTRIGGER_QUEUE_MAX: String(3 * many) });
    await ground.start(stage);
    const api = ground.api(stage);
    const workspace = ground.addWorkspace('queue');
    const payload = { action: 'generate_code', prompt: 'Write a test.', context: { workspace_id: workspace.id } };
    const submit = (): Promise<unknown> => api.post('/api/v2/agents/opencode/tasks', { type: 'opencode', payload });
    const list = (): Promise<unknown> => api.get('/api/v2/agents/tasks?limit=50');
    const timed = async (ask: () => Promise<unknown>): Promise<number[]> => {
      const took: number[] = [];
      for (let count = 0; count < samples; count += 1) {
        const from = performance.now();
        await ask();
        took.push(performance.now() - from);
      }
      return took;
    };
    for (let count = 0; count < few; count += 1) await submit();
    const [submitFew, listFew] = [await timed(submit), await timed(list)];
    tell(`with ${few}: submit ${p50p99(submitFew)}, list ${p50p99(listFew)}`);
    await multiply(databaseUrl);
    const [submitMany, listMany] = [await timed(submit), await timed(list)];
    const ratio = (one: readonly number[], other: readonly number[]): string =>
      `${(median(other) / median(one)).toFixed(2)} ×`;
    return [
      { what: `submit with ${few} queued: p50 · p99`, value: p50p99(submitFew), note: `n=${samples}, one at a time` },
      { what: `submit with ${many} queued: p50 · p99`, value: p50p99(submitMany), note: `n=${samples}` },
      { what: '  ratio of the p50', value: ratio(submitFew, submitMany), note: '1 is no growth' },
      { what: `list 50 with ${few} queued: p50 · p99`, value: p50p99(listFew), note: `n=${samples}` },
      { what: `list 50 with ${many} queued: p50 · p99`, value: p50p99(listMany), note: `n=${samples}` },
      { what: '  ratio of the p50', value: ratio(listFew, listMany), note: '1 is no growth' },
    ];
  },
};

/** Copies queued tasks until there are enough: through HTTP it would take minutes and measure nothing. */
async function multiply(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(
      `insert into outrigger.task
       select copy.*
         from (select * from outrigger.task where state = 'queued' limit 100) as task, generate_series(1, $1) as number,
              jsonb_populate_record(null::outrigger.task, to_jsonb(task) || jsonb_build_object('id', md5(task.id::text || number)::uuid)) as copy`,
      [many / 100],
    );
    await client.query('vacuum analyze outrigger.task');
  } finally {
    await client.end();
  }
}
