import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';
import type { TaskEvent, WorkflowEvent } from '../../modules/contract.ts';
import { appendWorkflowEvents, readWorkflowEvents } from '../../service/workflows/workflow-events.ts';
import { eventually } from '../support/clock.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';
import { step, workflowsOf, workflowsPath } from '../support/workflows-room.ts';

type AnyEvent = WorkflowEvent | TaskEvent;

let outrigger: TestService;
let bridge: FakeBridge;
let room: ReturnType<typeof workflowsOf>;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '2' });
  bridge = await outrigger.bridge();
  room = workflowsOf(outrigger, bridge);
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const tokenOf = (person: Person) => ({ 'Coder-Session-Token': person.token });
const eventsPath = (id: string) => `${workflowsPath}/${id}/events`;

const sse = (path: string, lastId = 0, person = outrigger.people.ada) =>
  fetch(outrigger.url + path, {
    headers: { ...tokenOf(person), 'Last-Event-ID': String(lastId) },
    signal: AbortSignal.timeout(30_000),
  });

interface Sent {
  readonly id: string;
  readonly event: AnyEvent;
}
const eventsIn = (text: string): Sent[] =>
  text
    .split('\n\n')
    .map((block) => ({ id: /^id:\s*(.+)$/m.exec(block)?.[1], data: /^data:(.+)$/m.exec(block)?.[1] }))
    .flatMap(({ id, data }) => (id && data ? [{ id, event: JSON.parse(data) as AnyEvent }] : []));

/** A WebSocket on the events of something: what came, and the code it was closed with. */
function socket(path: string, headers: Record<string, string> = tokenOf(outrigger.people.ada)) {
  const webSocket = new WebSocket(outrigger.url.replace(/^http/, 'ws') + path, { headers });
  const events: AnyEvent[] = [];
  webSocket.on('message', (raw: Buffer) => events.push(JSON.parse(raw.toString()) as AnyEvent));
  const closed = new Promise<number>((resolve) => {
    webSocket.once('close', resolve);
    webSocket.once('error', () => undefined);
    webSocket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
  });
  return { webSocket, events, closed };
}

/** Two steps, of which the first asks a person; both watched from the beginning. */
async function runWatched() {
  const id = await room.submit({ steps: [step('a'), step('b', ['a']), step('undo', [], { on_failure_of: ['b'] })] });
  const watching = sse(eventsPath(id)).then((answer) => answer.text());
  const mirrored = socket(eventsPath(id));
  const told = (count: number) => eventually(`${count} events`, () => Promise.resolve(mirrored.events.length >= count));
  const lease = await room.take();
  await room.begin(lease);
  await told(3);
  await bridge.request('ask', { ...lease, ask_id: 'q', kind: 'permission', title: 'May I?', detail: {} });
  await told(4);
  const { body } = await room.call('GET', '/api/v2/agents/approvals?state=pending');
  await room.call('POST', `/api/v2/agents/approvals/${body.items[0].id}/decision`, { decision: 'once' });
  await told(5);
  await room.succeed(lease);
  const second = await room.take();
  await room.begin(second);
  await room.succeed(second);
  await room.finished(id);
  return { id, lease, sent: eventsIn(await watching), mirrored: mirrored.events, code: await mirrored.closed };
}

describe('S-49 the progress of a workflow', () => {
  it('comes as Server-Sent Events and as WebSocket with the same events and ids, in one order without gaps', async () => {
    const { id, sent, mirrored, code } = await runWatched();

    expect(sent.map(({ event }) => [event.type, (event as WorkflowEvent).step_id])).toEqual([
      ['workflow.submitted', null],
      ['step.queued', 'a'],
      ['step.started', 'a'],
      ['step.waiting', 'a'],
      ['step.resumed', 'a'],
      ['step.finished', 'a'],
      ['step.queued', 'b'],
      ['step.started', 'b'],
      ['step.finished', 'b'],
      ['step.skipped', 'undo'],
      ['workflow.finished', null],
    ]);
    expect(sent.map((one) => Number(one.id))).toEqual(sent.map((_one, index) => index + 1));
    expect(sent.map(({ event }) => event.seq)).toEqual(sent.map((one) => Number(one.id)));
    expect(mirrored).toEqual(sent.map(({ event }) => event));
    expect(code).toBe(1000);
    expect(sent[3]?.event.data).toMatchObject({ reason: 'PermissionRequired' });
    expect(sent.at(-1)?.event).toMatchObject({ workflow_id: id, run: 1, data: { outcome: 'succeeded' } });
  });

  it('goes on after Last-Event-ID, both ways, and has nothing to say after the end', async () => {
    const id = await room.submit({ steps: [step('a')] });
    await room.succeed(await room.take());
    await room.finished(id);
    const all = eventsIn(await (await sse(eventsPath(id))).text());
    const last = all.length;

    expect(eventsIn(await (await sse(eventsPath(id), 2)).text())).toEqual(all.slice(2));
    const byHeader = socket(eventsPath(id), { ...tokenOf(outrigger.people.ada), 'Last-Event-ID': '2' });
    const byQuery = socket(`${eventsPath(id)}?last_event_id=2`);
    expect([await byHeader.closed, await byQuery.closed]).toEqual([1000, 1000]);
    expect(byHeader.events).toEqual(all.slice(2).map(({ event }) => event));
    expect(byQuery.events).toEqual(byHeader.events);

    expect((await sse(eventsPath(id), last)).status).toBe(204);
    const nothing = socket(`${eventsPath(id)}?last_event_id=${last}`);
    expect([await nothing.closed, nothing.events]).toEqual([1000, []]);
    expect(await socket(`${eventsPath(id)}?last_event_id=x`).closed).toBe(1008);
  });

  it('tells a retry in the same row of numbers', async () => {
    const id = await room.submit({ steps: [step('a')] });
    await room.succeed(await room.take(), { last_message: { finish: 'length', error: null, text: '' } });
    await room.finished(id);
    const before = eventsIn(await (await sse(eventsPath(id))).text()).length;
    await room.post(id, 'retry', { from: 'a' });
    const watching = sse(eventsPath(id)).then((answer) => answer.text());
    await room.succeed(await room.take());
    await room.finished(id);

    const events = eventsIn(await watching).map(({ event }) => event as WorkflowEvent);
    expect(events[before]).toMatchObject({ type: 'workflow.retried', run: 2, data: { from: 'a' } });
    expect(events.at(-1)).toMatchObject({ type: 'workflow.finished', run: 2, data: { outcome: 'succeeded' } });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_one, index) => index + 1));
  });

  it('is for those who may see the workflow, whichever way they ask', async () => {
    const id = await room.submit({ steps: [step('a')] });
    expect((await sse(eventsPath(id), 0, outrigger.people.bob)).status).toBe(404);
    expect(await socket(eventsPath(id), tokenOf(outrigger.people.bob)).closed).toBe(404);
    expect(await socket(eventsPath(id), {}).closed).toBe(401);
    expect(await socket(`${workflowsPath}/nonsense/events`).closed).toBe(404);
    expect(await socket('/api/v2/agents/nothing').closed).toBe(404);
    await room.succeed(await room.take());
    await room.finished(id);
  });
});

describe('S-49 the events of a task', () => {
  it('come as WebSocket with the events and ids of the Server-Sent Events', async () => {
    const id = await room.submit({ steps: [step('a')] });
    const lease = await room.take();
    const path = `/api/v2/agents/tasks/${lease.task_id}/events`;
    const watching = sse(path).then((answer) => answer.text());
    const mirrored = socket(path);
    await room.begin(lease);
    await room.succeed(lease);
    await room.finished(id);

    expect(await mirrored.closed).toBe(1000);
    const sent = eventsIn(await watching);
    expect(sent.at(-1)?.event.type).toBe('task.finished');
    expect(mirrored.events).toEqual(sent.map(({ event }) => event));
  });

  it('never hold more than 64 KiB, as those of tasks', async () => {
    const id = await room.submit({ steps: [step('a')] });
    const { database } = outrigger;
    await database.transaction((tx) =>
      appendWorkflowEvents(tx, { id, run: 1 }, [
        { type: 'step.queued', at: new Date(), stepId: 'a', data: { text: 'x'.repeat(70_000) } },
      ]),
    );
    const events = await readWorkflowEvents(database, id, 0, 100);

    expect(events.map(({ data }) => data)).toContainEqual({ truncated: true, bytes: 70_011 });
    await room.post(id, 'cancel');
  });
});
