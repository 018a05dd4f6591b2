import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { sendToBridge } from '../../service/bridge/bridge-store.ts';
import type { BridgeHandlers, BridgeIdentity } from '../../service/bridge/bridge.ts';
import { makeConnection, type Connection } from '../../service/bridge/connection.ts';
import type { Transaction } from '../../service/platform/database.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { eventually, makeTestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { connectFakeBridge, registerBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

interface Frame {
  readonly id: string;
  readonly type?: string;
  readonly success?: boolean;
  readonly error?: string;
}

/** One connection over a real socket, with handlers that the test gives. */
interface Pair {
  readonly connection: Connection;
  readonly far: WebSocket;
  readonly near: WebSocket;
  readonly frames: readonly Frame[];
  readonly closed: Promise<number>;
  say(type: string, payload: unknown): string;
}

const clock = makeTestClock();
const bridge: BridgeIdentity = {
  workspaceId: randomUUID(),
  generation: 1,
  ownerId: randomUUID(),
  organizationId: randomUUID(),
};
const anEvent = (data: Record<string, unknown> = {}) => ({
  task_id: randomUUID(),
  attempt: 1,
  source_seq: 1,
  type: 'message.text',
  at: new Date().toISOString(),
  data,
});
const idle: BridgeHandlers = {
  claim: () => Promise.resolve(null),
  heartbeat: () => Promise.resolve([]),
  event: () => Promise.resolve({ acked: 1 }),
  ask: () => Promise.resolve({ approval_id: randomUUID() }),
  artifact: () => Promise.resolve({ received: 0, complete: false }),
  result: () => Promise.resolve({ accepted: true }),
  answered: () => Promise.resolve(),
};

describe('a bridge connection', () => {
  let data: TestDatabase;
  let server: Server;
  let sockets: WebSocketServer;
  beforeEach(async () => {
    data = await createTestDatabase();
    server = createServer();
    sockets = new WebSocketServer({ server });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await data.database.pool.query(
      `insert into bridge (workspace_id, generation, workspace_agent_id, owner_id, organization_id, harness_version,
         protocol_version, capabilities, token_hash, token_expires_at, registered_at, last_seen_at)
       values ($1, 1, $2, $3, $4, 'test', 1, '[]', $5, now() + interval '1 day', now(), now())`,
      [bridge.workspaceId, randomUUID(), bridge.ownerId, bridge.organizationId, randomBytes(32)],
    );
  });
  afterEach(async () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    await new Promise((resolve) => server.close(resolve));
    await data.drop();
  });

  async function pair(handlers: Partial<BridgeHandlers> = {}): Promise<Pair> {
    const accepted = new Promise<WebSocket>((resolve) => sockets.once('connection', resolve));
    const far = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const frames: Frame[] = [];
    far.on('message', (raw: Buffer) => frames.push(JSON.parse(raw.toString()) as Frame));
    const closed = new Promise<number>((resolve) => far.once('close', resolve));
    await new Promise((resolve) => far.once('open', resolve));
    const near = await accepted;
    const parts = { database: data.database, handlers: { ...idle, ...handlers }, clock, log: silentLogger };
    return {
      connection: makeConnection(parts, bridge, near),
      far,
      near,
      frames,
      closed,
      say(type, payload) {
        const id = randomUUID();
        far.send(JSON.stringify({ id, type, payload }));
        return id;
      },
    };
  }
  const frameOf = (one: Pair, id: string) =>
    eventually(`an answer to ${id}`, () => Promise.resolve(one.frames.find((frame) => frame.id === id)));

  describe('what cannot be stored', () => {
    const query = (text: string, values: unknown[] = []) => data.database.pool.query(text, values);
    const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

    it.each<[string, () => Promise<unknown>]>([
      ['U+0000 (SQLSTATE 22021)', () => query('select $1::text', ['\0'])],
      ['half a surrogate pair in jsonb (22P02)', () => query('select $1::jsonb', ['"\\ud800"'])],
      ['a number that is too large (22003)', () => query('select $1::int', ['99999999999'])],
      ['nesting too deep for the database (54001)', () => query('select $1::jsonb', ['['.repeat(100_000)])],
      ['nesting too deep for us (RangeError)', () => Promise.resolve().then(() => JSON.stringify(nested(100_000)))],
    ])('%s is refused in the reply to its frame, and the connection lives', async (_title, work) => {
      const one = await pair({ event: () => work().then(() => ({ acked: 1 })) });

      const id = one.say('event', anEvent());

      expect(await frameOf(one, id)).toMatchObject({ success: false, error: expect.stringContaining('be stored') });
      expect((await frameOf(one, one.say('nothing', {}))).error).toContain('Unknown command type');
    });

    it('a lease that cannot be read is refused, and the next one is answered', async () => {
      let asked = 0;
      const one = await pair({
        claim: () => ((asked += 1) === 1 ? query('select $1::int', ['x']).then(() => null) : Promise.resolve(null)),
      });
      const refused = one.say('lease', { slots: 1, holding: [] });
      expect(await frameOf(one, refused)).toMatchObject({ success: false });

      const waiting = one.say('lease', { slots: 1, holding: [] });
      one.say('lease', { slots: 1, holding: [] });

      expect(await frameOf(one, waiting)).toMatchObject({ success: true });
    });

    it('a bug of ours still closes the connection with 1011', async () => {
      const one = await pair({ event: () => Promise.reject(new TypeError('a bug')) });

      one.say('event', anEvent());

      expect(await one.closed).toBe(1011);
    });
  });

  describe('commands', () => {
    const stop = { task_id: randomUUID(), attempt: 1, reason: 'UserStopped' as const };
    const send = (tx: Transaction) => sendToBridge(tx, clock, bridge.workspaceId, 'stop', stop as never);
    const stops = (one: Pair) => one.frames.filter((frame) => frame.type === 'stop').length;

    it('are all sent, though one with a lower id is committed later', async () => {
      const one = await pair();
      const look = (count: number) =>
        eventually(`${count} commands`, () => {
          one.connection.look();
          return Promise.resolve(stops(one) >= count);
        });

      await data.database.transaction(async (early) => {
        await send(early);
        await data.database.transaction(send);
        await look(1);
      });

      await look(2);
      await one.connection.settled();
      expect(stops(one)).toBe(2);
    });

    it('are sent at a heartbeat when their notification was lost', async () => {
      const one = await pair();
      await data.database.pool.query(
        `insert into bridge_frame (frame_id, workspace_id, type, payload, created_at) values ($1, $2, 'stop', '{}', now())`,
        [randomUUID(), bridge.workspaceId],
      );

      await frameOf(one, one.say('heartbeat', { holding: [], status: '' }));

      await eventually('the command', () => Promise.resolve(stops(one) === 1));
    });
  });

  it('hears nothing more once it is closed, and cuts a peer that does not answer the close', async () => {
    const heard: string[] = [];
    const one = await pair({
      event: () => {
        heard.push('event');
        return Promise.resolve({ acked: 1 });
      },
    });
    one.say('event', anEvent());
    await eventually('the first event', () => Promise.resolve(heard.length === 1));
    const nearClosed = new Promise((resolve) => one.near.once('close', resolve));

    one.connection.close(4409, 'a newer registration took over');
    one.say('event', anEvent());
    // A peer that reads nothing never answers the close.
    one.far.pause();
    const began = Date.now();
    await nearClosed;

    expect(heard).toHaveLength(1);
    expect(Date.now() - began).toBeLessThan(10_000);
    one.far.terminate();
  });

  it('reads no further while many frames wait, and answers every one in the end', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const one = await pair({ event: () => gate.then(() => ({ acked: 1 })) });

    const ids = Array.from({ length: 500 }, () => one.say('event', anEvent({ text: 'x'.repeat(2_000) })));
    await eventually('the socket to be paused', () => Promise.resolve(one.near.isPaused));
    open();

    await eventually('every answer', () => Promise.resolve(one.frames.length === ids.length));
    expect(one.frames.map((frame) => frame.id)).toEqual(ids);
    expect(one.near.isPaused).toBe(false);
  });
});

describe('the hub', () => {
  let outrigger: TestService;
  beforeAll(async () => {
    outrigger = await startTestService();
  });
  afterAll(async () => {
    await outrigger.stop();
  });

  it('closes a connection whose registration was overtaken while it connected, and kicks nobody for it', async () => {
    const first = await outrigger.bridge();
    const registration = await outrigger.database.pool.connect();
    try {
      await registration.query('begin');
      await registration.query('update bridge set generation = generation + 1');
      const second = await connectFakeBridge(outrigger.url, first.token);
      await eventually('the second connection to wait for the registration', async () => {
        const { rows } = await outrigger.database.pool.query<{ n: number }>(
          `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return (rows[0]?.n ?? 0) > 0;
      });
      await registration.query('commit');

      expect(await second.closed).toBe(4409);
    } finally {
      registration.release();
    }
    const id = randomUUID();
    expect(await first.raw(id, JSON.stringify({ id, type: 'nothing', payload: {} }))).toMatchObject({ id });
    first.close();
    await first.closed;
  });

  it('S-11 cuts a bridge that was superseded and does not answer the close', async () => {
    const registration = {
      url: outrigger.url,
      proof: await outrigger.proof(),
      workspaceId: outrigger.workspace.id,
      agentId: outrigger.workspace.agentId,
    };
    const { bridge_token: token } = (await (await registerBridge(registration)).json()) as { bridge_token: string };
    const silent = await openSilently(outrigger.url, token);
    const closed = new Promise((resolve) => silent.once('close', resolve));
    const began = Date.now();

    await registerBridge(registration);

    await closed;
    expect(Date.now() - began).toBeLessThan(10_000);
  });
});

/** A bridge that is connected and never says anything, not even goodbye. */
async function openSilently(url: string, token: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.write(
    `GET /api/v2/agents/bridge HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
      `Authorization: Bearer ${token}\r\n\r\n`,
  );
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  // The close frame stays unread and unanswered: only the service's own cut ends this.
  socket.on('end', () => socket.destroy());
  return socket;
}
