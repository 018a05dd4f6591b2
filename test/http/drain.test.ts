import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { registerBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** What a stop may take: two seconds for goodbyes, and the other parts of the service. */
const fewSecondsMs = 8_000;

describe('the service stops within a few seconds', () => {
  let outrigger: TestService;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    outrigger = await startTestService();
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await outrigger.stop();
  });

  /** Asks for an upgrade by hand, waits for the first bytes of the answer, and never closes its half. */
  async function upgrade(token: string): Promise<{ answer: string; socket: Socket }> {
    const { hostname, port } = new URL(outrigger.url);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write(
      `GET /api/v2/agents/bridge HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
        `Authorization: Bearer ${token}\r\n\r\n`,
    );
    const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    return { answer: answer.toString('latin1'), socket };
  }
  async function timeToStop(): Promise<number> {
    const began = Date.now();
    await outrigger.service.stop();
    return Date.now() - began;
  }
  async function bridgeToken(): Promise<string> {
    const response = await registerBridge({
      url: outrigger.url,
      proof: await outrigger.proof(),
      workspaceId: outrigger.workspace.id,
      agentId: outrigger.workspace.agentId,
    });
    return ((await response.json()) as { bridge_token: string }).bridge_token;
  }

  it('though a caller whose upgrade was refused keeps its half open', async () => {
    const { answer } = await upgrade('nonsense');
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);

    expect(await timeToStop()).toBeLessThan(fewSecondsMs);
  });

  it('though a bridge never answers the close', async () => {
    const { answer } = await upgrade(await bridgeToken());
    expect(answer).toMatch(/^HTTP\/1\.1 101 /);

    expect(await timeToStop()).toBeLessThan(fewSecondsMs);
  });

  it('though an upgrade waits for the database all the while', async () => {
    const token = await bridgeToken();
    const held = await outrigger.database.pool.connect();
    try {
      await held.query('begin');
      await held.query('select 1 from bridge for update');
      const { answer } = await upgrade(token);
      expect(answer).toMatch(/^HTTP\/1\.1 101 /);
      const stopping = timeToStop();
      // The service closes its database last, and that waits for this transaction.
      await new Promise((resolve) => sockets[0]?.once('end', resolve).resume());
      await held.query('rollback');

      expect(await stopping).toBeLessThan(fewSecondsMs);
    } finally {
      held.release();
    }
  });

  it('and tells a bridge that it restarts', async () => {
    const bridge = await outrigger.bridge();
    const stopping = timeToStop();

    expect(await bridge.closed).toBe(1012);
    expect(await stopping).toBeLessThan(fewSecondsMs);
  });
});
