import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { makeListener, type Listener } from '../../service/platform/listener.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { eventually } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

/** A wire to the database that can be frozen or cut, as a network is. */
interface Wire {
  readonly url: string;
  /** Connections that came through, and those open now. */
  readonly made: () => number;
  readonly open: () => number;
  /** Every connection of now stays open and says nothing more. */
  freeze(): void;
  cut(): void;
  /** The next connection is cut as soon as it says LISTEN. */
  cutNextListen(): void;
  close(): Promise<void>;
}

async function makeWire(databaseUrl: string): Promise<Wire> {
  const target = new URL(databaseUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  const frozen = new Set<Socket>();
  let made = 0;
  let cutsListen = false;
  const server: Server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect(Number(target.port), target.hostname);
    const pair = [near, far] as const;
    pairs.add(pair);
    made += 1;
    const cuts = cutsListen;
    cutsListen = false;
    near.on('data', (data) => {
      if (frozen.has(near)) return;
      if (cuts && data.toString('latin1').toLowerCase().includes('listen ')) near.destroy();
      else far.write(data);
    });
    far.on('data', (data) => {
      if (!frozen.has(near)) near.write(data);
    });
    near.on('end', () => {
      if (!frozen.has(near)) near.end();
    });
    const end = (): void => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.on('error', () => undefined).on('close', end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = (): void => pairs.forEach(([near]) => near.destroy());
  return {
    url: url.href,
    made: () => made,
    open: () => pairs.size,
    freeze: () => pairs.forEach(([near]) => frozen.add(near)),
    cut,
    cutNextListen: () => (cutsListen = true),
    close: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

describe('the listener', () => {
  let data: TestDatabase;
  let wire: Wire;
  let listener: Listener;
  let heard: string[];
  let gaps: number;

  beforeEach(async () => {
    data = await createTestDatabase();
    wire = await makeWire(data.url);
    heard = [];
    gaps = 0;
    listener = makeListener({ url: wire.url, log: silentLogger, retryMs: 20, probeMs: 50, answerMs: 300 });
    listener.on(
      'test_channel',
      (payload) => heard.push(payload),
      () => (gaps += 1),
    );
    await listener.start();
  });
  afterEach(async () => {
    await listener.stop();
    await wire.close();
    await data.drop();
  });

  const say = (payload: string) => data.database.pool.query('select pg_notify($1, $2)', ['test_channel', payload]);
  const hears = (payload: string) =>
    eventually(`'${payload}' to be heard`, async () => {
      await say(payload);
      return heard.includes(payload);
    });

  it('comes back on a new connection when the old one says nothing more without ending', async () => {
    await hears('before');

    wire.freeze();

    await eventually('the gap to be told', () => Promise.resolve(gaps > 0));
    await hears('after');
    expect(wire.made()).toBe(2);
  });

  it('keeps exactly one connection when the next one breaks while it begins to listen', async () => {
    wire.cutNextListen();
    wire.cut();

    await eventually('the gap to be told', () => Promise.resolve(gaps > 0));
    await hears('after');
    expect({ made: wire.made(), open: wire.open(), gaps }).toEqual({ made: 3, open: 1, gaps: 1 });
  });

  it('stops within a few seconds though the database says nothing more', async () => {
    wire.freeze();
    const began = Date.now();

    await listener.stop();

    expect(Date.now() - began).toBeLessThan(3_000);
  });
});
