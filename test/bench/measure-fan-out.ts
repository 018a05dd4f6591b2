import { get, type IncomingMessage } from 'node:http';
import { eventChannel } from '../../service/tasks/task-events.ts';
import { takeLease } from '../support/fake-bridge.ts';
import type { Ground } from './ground.ts';
import { startHearing } from './hearing.ts';
import type { Measurement } from './measurement.ts';
import { p50p99, percentile } from './statistics.ts';
import { inLanes, nowMs, until } from './waiting.ts';

const watchers = 500;
const events = 60;
const warmUps = 5;

/** One task, 500 watchers, all on this machine: from the event's commit to the watcher in the middle and the last one. */
export const measureFanOut: Measurement = {
  name: 'fan-out',
  title: `SSE fan-out to ${watchers} watchers`,
  limitMs: 60_000,
  async measure(ground, tell) {
    const databaseUrl = await ground.newDatabase('fan_out');
    const stage = ground.stage(databaseUrl);
    await ground.start(stage);
    const workspace = ground.addWorkspace('fan-out');
    const bridge = await ground.bridge(stage, workspace);
    const leased = takeLease(bridge);
    await ground.api(stage).post('/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Write a test.', context: { workspace_id: workspace.id } },
    });
    const lease = await leased;
    const hearing = await startHearing(databaseUrl, [eventChannel], ground.afterwards);
    const audience = await gather(ground, `${stage.serviceUrl}/api/v2/agents/tasks/${lease.task_id}/events`);
    tell(`${watchers} watchers are connected`);

    const middle: number[] = [];
    const last: number[] = [];
    for (let index = 1; index <= warmUps + events; index += 1) {
      const data = { text: 'A line of the assistant, about as long as such lines are. '.repeat(3), index };
      hearing.reset();
      const heard = audience.hear(`"index":${index}}`);
      await bridge.event(lease, index, 'message.text', data);
      const arrivals = await heard;
      const committedAt = hearing.times(lease.task_id)[0];
      if (committedAt === undefined) throw new Error('The NOTIFY of an event was not heard.');
      if (index <= warmUps) continue;
      middle.push(percentile(arrivals, 0.5) - committedAt);
      last.push(Math.max(...arrivals) - committedAt);
    }
    const note = `n=${events} events`;
    return [
      { what: 'event committed → median watcher: p50 · p99', value: p50p99(middle), note },
      { what: 'event committed → last watcher: p50 · p99', value: p50p99(last), note },
    ];
  },
};

interface Audience {
  /** When each watcher received the event whose text holds `mark`. Ask before it is sent. */
  hear(mark: string): Promise<readonly number[]>;
}

async function gather(ground: Ground, url: string): Promise<Audience> {
  let mark: string | undefined;
  let arrivals: number[] = [];
  let complete: (times: readonly number[]) => void = () => undefined;
  let greeted = 0;

  await inLanes(watchers, 25, async () => {
    const response = await watch(url, ground.ada.token);
    ground.afterwards(() => Promise.resolve(response.destroy()));
    let greetedThis = false;
    let text = '';
    response.setEncoding('utf8');
    response.on('error', () => undefined);
    response.on('data', (chunk: string) => {
      text += chunk;
      if (!greetedThis && text.includes('task.leased')) {
        greetedThis = true;
        greeted += 1;
      }
      if (mark !== undefined && text.includes(mark)) {
        arrivals.push(nowMs());
        if (arrivals.length === watchers) complete(arrivals);
      }
      text = text.slice(text.lastIndexOf('\n\n') + 2);
    });
  });
  await until(() => greeted === watchers, 10);
  return {
    hear(next) {
      mark = next;
      arrivals = [];
      return new Promise((resolve) => (complete = resolve));
    },
  };
}

const watch = (url: string, token: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { 'Coder-Session-Token': token } }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`A watcher was answered ${response.statusCode}.`));
    });
    request.on('error', reject);
  });
