import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';
import { limits, type Lease, type TaskEvent } from '../../modules/contract.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, registerBridge, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** Whoever is in a workspace can speak for its bridge, so what it says is a claim. */
let outrigger: TestService;
let bobs: { readonly id: string; readonly agentId: string };
let bobsBridge: FakeBridge;
let bobsLease: Lease;
let secret: string;
beforeAll(async () => {
  outrigger = await startTestService();
  const { coder, people } = outrigger;
  bobs = coder.addWorkspace({ owner: 'bob', name: 'bobs', running: true });
  const { body } = await outrigger.call(people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  secret = (body as { secret: string }).secret;
  bobsBridge = await startFakeBridge(of(bobs, people.bob.id));
  await submit('bob', 'bobs');
  bobsLease = await takeLease(bobsBridge);
  await bobsBridge.event(bobsLease, 1, 'message.text', { text: 'Bob’s own.' });
});
afterAll(() => outrigger.stop());

const of = (workspace: { id: string; agentId: string }, ownerId: string) => ({
  url: outrigger.url,
  proof: deriveProof(secret, workspace.id, ownerId, workspace.agentId),
  workspaceId: workspace.id,
  agentId: workspace.agentId,
});
const submit = (who: 'ada' | 'bob', workspace: string) =>
  outrigger.call(outrigger.people[who], 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: workspace } },
  });
const eventsOf = async (who: 'ada' | 'bob', id: string): Promise<TaskEvent[]> => {
  const path = `/api/v2/agents/tasks/${id}/transcript`;
  const { body } = await outrigger.call(outrigger.people[who], 'GET', path);
  return (body as string)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as TaskEvent);
};
const textsOf = (events: readonly TaskEvent[]): unknown[] =>
  events.filter(({ type }) => type === 'message.text').map(({ data }) => data['text']);
const audited = async (kind: string): Promise<number> => {
  const { rows } = await outrigger.database.pool.query(
    `select 1 from audit_event where action = 'bridge.request_refused' and actor = $1 and data->>'kind' = $2`,
    [`bridge:${outrigger.workspace.id}`, kind],
  );
  return rows.length;
};

describe('a bridge that lies', () => {
  let hostile: FakeBridge;
  let lease: Lease;
  let workspace: { id: string; agentId: string };
  beforeEach(async () => {
    // Each connection is refused for itself.
    for (const ms of [31_000, 30_000]) {
      // Less than a lease: a turn of Bob's attempt that comes before the heartbeat must not find it ended.
      outrigger.clock.advance(ms);
      await bobsBridge.request('heartbeat', { holding: [bobsLease], status: '' });
    }
    ({ workspace } = outrigger);
    hostile = await startFakeBridge(of(workspace, outrigger.people.ada.id));
    await submit('ada', 'ws-123');
    lease = await takeLease(hostile);
  });

  /** Sends it and answers why it was refused. */
  const refusal = (one: FakeBridge, type: string, payload: unknown): Promise<string> => {
    const id = randomUUID();
    return one.raw(id, JSON.stringify({ id, type, payload })).then((reply) => reply.error ?? 'taken');
  };
  const anEvent = (change: object = {}) => ({
    task_id: lease.task_id,
    attempt: lease.attempt,
    source_seq: 1,
    type: 'message.text',
    at: new Date().toISOString(),
    data: { text: 'forged' },
    ...change,
  });

  it('changes nothing with forged attempts and with tasks of other workspaces, whatever it says of them', async () => {
    const others = [
      { attempt: lease.attempt + 1 },
      { attempt: 2 ** 31 },
      { task_id: bobsLease.task_id, source_seq: 2 },
      { task_id: randomUUID() },
    ];
    for (const change of others) {
      expect(await refusal(hostile, 'event', anEvent(change))).not.toBe('taken');
      const ref = { task_id: lease.task_id, attempt: lease.attempt, ...change };
      const ask = { ask_id: 'x', kind: 'permission', title: 'Run it?', detail: {} };
      expect(await refusal(hostile, 'ask', { ...ref, ...ask })).not.toBe('taken');
      const file = { name: 'a', bytes: 1, sha256: '0'.repeat(64), offset: 0, data: '' };
      expect(await refusal(hostile, 'artifact', { ...ref, ...file })).not.toBe('taken');
      const result = { ...ref, evidence: goodEvidence() };
      if (ref.attempt < 2 ** 31) expect(await hostile.request('result', result)).toEqual({ accepted: false });
    }
    const { fenced } = await hostile.request('heartbeat', {
      holding: [{ task_id: bobsLease.task_id, attempt: 1 }],
      status: '',
    });

    expect(fenced).toEqual([{ task_id: bobsLease.task_id, attempt: 1 }]);
    expect(textsOf(await eventsOf('bob', bobsLease.task_id))).toEqual(['Bob’s own.']);
    expect(textsOf(await eventsOf('ada', lease.task_id))).toEqual([]);
    expect(await audited('not_allowed')).toBeGreaterThan(0);
    hostile.close();
  });

  it('adds nothing by numbers that it used before, left out or made up', async () => {
    const say = (seq: unknown, text: string) => refusal(hostile, 'event', anEvent({ source_seq: seq, data: { text } }));
    await say(1, 'first');
    await say(1, 'again');
    await say(3, 'too early');
    for (const seq of [0, -1, 1.5, 2 ** 60, '2', null]) expect(await say(seq, 'made up')).toContain('source_seq');
    await say(2, 'second');
    await say(1, 'and again');

    const events = await eventsOf('ada', lease.task_id);
    expect(textsOf(events)).toEqual(['first', 'second']);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1));
    hostile.close();
  });

  it.each([
    ['100 MB', 'too_large', 1009, Buffer.alloc(100 * 1024 * 1024, 'x'), false],
    ['invalid UTF-8', 'no_utf8', 1007, Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), false],
    ['no JSON', 'no_frame', 1007, Buffer.from('not json'), false],
    ['binary nonsense', 'no_frame', 1007, Buffer.from([0, 1, 2]), true],
    ['JSON that is no frame', 'no_frame', 1007, Buffer.from('[{"id": 7}]'), false],
  ] as const)('is cut for a message of %s, and the audit says so', async (_what, kind, code, data, binary) => {
    const before = await audited(kind);
    const socket = new WebSocket(`${outrigger.url.replace(/^http/, 'ws')}/api/v2/agents/bridge`, {
      headers: { Authorization: `Bearer ${hostile.token}` },
    });
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('open', resolve));

    socket.send(data, { binary });

    // A peer that is cut while it sends may see the connection end before the word for it.
    expect([code, 1006]).toContain(await closed);
    await eventually('the audit', async () => (await audited(kind)) > before);
    expect(await bobsBridge.event(bobsLease, 1, 'message.text', {})).toBe(1);
    expect(process.memoryUsage().rss).toBeLessThan(3 * 1024 ** 3);
  });

  it('keeps no event above its bound, and no name that is another', async () => {
    const text = 'x'.repeat(limits.eventBytes);
    await refusal(hostile, 'event', anEvent({ data: { text, __proto__: { admin: true }, constructor: 'x' } }));
    expect(await refusal(hostile, 'event', anEvent({ source_seq: 2, type: 'task.finished' }))).toContain('type');
    expect(await refusal(hostile, 'event', anEvent({ source_seq: 2, at: 'yesterday' }))).toContain('at');
    expect(await refusal(hostile, 'event', anEvent({ source_seq: 2, data: { text: 'a\u0000b\ud800' } }))).toBe('taken');

    const events = await eventsOf('ada', lease.task_id);
    expect(events.find(({ data }) => data['truncated'] === true)?.data).toMatchObject({ truncated: true });
    expect(textsOf(events).at(-1)).toBe('a\uFFFDb\uFFFD');
    hostile.close();
  });

  it('holds up nobody else with a flood, and is cut when it is refused again and again', async () => {
    const flood: Promise<unknown>[] = [];
    for (let index = 0; index < 1_200; index += 1)
      flood.push(refusal(hostile, 'event', anEvent({ task_id: bobsLease.task_id })).catch(() => undefined));
    const bobs = await bobsBridge.request('heartbeat', { holding: [bobsLease], status: 'fine' });

    expect(bobs.fenced).toEqual([]);
    expect(await hostile.closed).toBe(1008);
    expect(await audited('not_allowed')).toBeLessThan(10);
    expect(textsOf(await eventsOf('bob', bobsLease.task_id))).toEqual(['Bob’s own.']);
    // It may come back, as any bridge may.
    expect((await registerBridge(of(workspace, outrigger.people.ada.id))).status).toBe(201);
  });
});
