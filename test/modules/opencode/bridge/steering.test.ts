import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World;

beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
beforeEach(async () => {
  world = await startWorld({ tools });
});
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

/** How often the newest call of the model holds a text among what people said. */
const timesHeard = (text: string): number => {
  const said = world.model.workRequests().at(-1)?.userTexts ?? [];
  return said.filter((one) => one.includes(text)).length;
};

describe('a message to a task', () => {
  it('is heard by the real OpenCode between two calls of the model, once however often it is sent', async () => {
    const { service } = world;
    const lease = aLease('SCENARIO:bash ARG:echo first > first.txt');
    service.offer(lease);
    const ask = await until('the ask', () => service.asks[0]);
    const ref = { task_id: lease.task_id, attempt: 1 };
    const message = { id: randomUUID(), text: 'SCENARIO:write ARG:second.txt|steered' };

    const replies = await Promise.all([
      service.send('message', { ...ref, message }),
      service.send('message', { ...ref, message }),
    ]);
    await service.decide(ask, 'once');
    const evidence = await until('the result', () => service.resultOf(lease));
    const late = await service.send('message', { ...ref, message: { ...message, id: randomUUID() } });

    expect(replies).toMatchObject([{ data: { applied: true } }, { data: { applied: true } }]);
    expect(late).toMatchObject({ data: { applied: false } });
    expect(evidence).toMatchObject({
      last_message: { finish: 'stop', error: null },
      tool_exits: [{ tool: 'bash' }, { tool: 'write' }],
      changed_files: ['first.txt', 'second.txt'],
      failure: null,
    });
    expect(timesHeard('second.txt|steered')).toBe(1);
    const sent = service.eventsOf(lease).filter(({ type }) => type === 'message.sent');
    expect(sent).toMatchObject([{ data: { id: message.id } }]);
  });

  it('comes with the lease to an attempt that has not begun, and to the next attempt only if it was not heard', async () => {
    const { service } = world;
    const messages = [{ id: randomUUID(), text: 'Remember: one.' }];
    const lease = aLease('SCENARIO:write ARG:one.txt|one', { messages });
    service.offer(lease);
    const first = await until('the first result', () => service.resultOf(lease));
    const heard = timesHeard('Remember: one.');
    const again = {
      ...lease,
      attempt: 2,
      messages: [...messages, { id: randomUUID(), text: 'SCENARIO:text ARG:Two.' }],
    };
    service.offer(again);
    const second = await until('the second result', () => service.resultOf(again));

    expect(first).toMatchObject({ changed_files: ['one.txt'], failure: null });
    expect(second).toMatchObject({ last_message: { finish: 'stop', text: 'Two.' }, failure: null });
    expect([heard, timesHeard('Remember: one.')]).toEqual([1, 1]);
    const sent = service.eventsOf(again).filter(({ type }) => type === 'message.sent');
    // The first one is named again: its lease says that the service never heard of it.
    expect(sent).toMatchObject(again.messages.map(({ id }) => ({ data: { id } })));
  });
});
