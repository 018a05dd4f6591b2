import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { WebSocket } from 'ws';
import { makeCallBridge } from '../../../../service/bridge/call-bridge.ts';
import { makeListener } from '../../../../service/platform/listener.ts';
import { silentLogger } from '../../../../service/platform/logger.ts';
import { openLink, type Commands, type Link } from '../../../../modules/opencode/bridge/link.ts';
import type { Registrar } from '../../../../modules/opencode/bridge/register.ts';
import { until } from '../../../support/bridge/bridge-process.ts';
import { startFakeService, type FakeService } from '../../../support/bridge/fake-service.ts';
import { startTestService, type TestService } from '../../../support/service.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** Both ends of the envelope: the service asks the bridge, and the bridge asks the service. */
describe('P-72 the clients of the envelope', () => {
  let service: FakeService;
  let before: unknown;
  beforeAll(async () => {
    before = (globalThis as { WebSocket?: unknown }).WebSocket;
    // The bridge's runtime has a WebSocket that takes headers.
    Object.assign(globalThis, { WebSocket });
    service = await startFakeService({ modelUrl: 'http://127.0.0.1:1/v1' });
  });
  afterAll(async () => {
    Object.assign(globalThis, { WebSocket: before });
    await service.close();
  });

  async function register(): Promise<string> {
    const answer = await fetch(`${service.url}/api/v2/agents/opencode/register`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.proof}` },
      body: '{}',
    });
    return ((await answer.json()) as { bridge_token: string }).bridge_token;
  }

  it('P-72 the bridge’s names each request by a UUID, comes back with backoff, and leaves no timer', async () => {
    const idle = timers();
    const pauses: number[] = [];
    let opened = 0;
    const token = await register();
    const registrar = { token: () => Promise.resolve(token), forget: () => undefined } as unknown as Registrar;
    const link: Link = openLink({
      url: service.url,
      proxy: null,
      registrar,
      commands: {} as Commands,
      log: (_level, _message, fields = {}) => {
        const { pause_ms: pauseMs } = fields as { pause_ms?: number };
        if (pauseMs !== undefined) pauses.push(pauseMs);
      },
      onSuperseded: () => undefined,
    });
    link.onOpen(() => (opened += 1));
    await until('a connection', () => opened === 1 && service.isConnected);
    const ref = { task_id: 't', attempt: 1 };
    service.fenced.push(ref);
    const ask = { ...ref, ask_id: 'a', kind: 'question', title: '', detail: {} } as const;

    expect(await link.request('heartbeat', { holding: [], status: 'idle' })).toMatchObject({ success: true });
    expect(await link.request('ask', ask)).toEqual({ id: expect.any(String), success: false, error: 'fenced' });
    for (const { id } of service.frames) expect(id).toMatch(uuid);
    expect(new Set(service.frames.map(({ id }) => id)).size).toBe(service.frames.length);

    const lost = link.request('lease', { slots: 1, holding: [] });
    service.cut();
    await expect(lost).rejects.toThrow(/connection to the service was lost/);
    await until('another connection', () => opened === 2 && service.isConnected);
    expect(pauses).toHaveLength(1);

    await service.close();
    await until('more tries', () => pauses.length >= 4);
    // Random below a bound that doubles, and begins anew after each connection.
    for (const [index, mostMs] of [500, 500, 1_000, 2_000].entries()) expect(pauses[index]).toBeLessThanOrEqual(mostMs);
    link.close();
    await until('every timer to be gone', () => timers() <= idle);
    await expect(link.request('heartbeat', { holding: [], status: 'idle' })).rejects.toThrow(/Not connected/);
  }, 120_000);
});

describe('P-72 the client in the service', () => {
  let outrigger: TestService;
  beforeAll(async () => {
    outrigger = await startTestService();
  });
  afterAll(() => outrigger.stop());

  it('P-72 names each call by a UUID, rejects what the bridge refuses or does not answer, and leaves no timer', async () => {
    const { database, clock, workspace } = outrigger;
    const bridge = await outrigger.bridge();
    const listener = makeListener({ url: database.url, log: silentLogger });
    await listener.start();
    const call = makeCallBridge({ database, listener, clock, timeoutMs: 60_000 });
    const impatient = makeCallBridge({ database, listener, clock, timeoutMs: 1 });
    bridge.answers.set('readFile', (payload) => {
      if ((payload as { path: string }).path === 'a') return 'text';
      throw new Error('Path traversal detected');
    });
    const grant = { profile: 'read-only' } as const;
    const set = jest.spyOn(globalThis, 'setTimeout');
    const cleared = jest.spyOn(globalThis, 'clearTimeout');

    expect(await call(workspace.id, 'readFile', { path: 'a', ...grant })).toBe('text');
    await expect(call(workspace.id, 'readFile', { path: '../a', ...grant })).rejects.toThrow(/Path traversal detected/);
    for (const { id } of bridge.commands) expect(id).toMatch(uuid);
    bridge.close();
    await bridge.closed;
    const controller = new AbortController();
    await expect(impatient(workspace.id, 'readFile', { path: 'a', ...grant }, controller.signal)).rejects.toThrow(
      /did not answer readFile in time/,
    );
    const { rows } = await database.pool.query("select 1 from bridge_frame where type = 'readFile'");
    expect(rows).toEqual([]);
    const begun = set.mock.results.filter((_result, index) => [1, 60_000].includes(Number(set.mock.calls[index]?.[1])));
    const ended = new Set(cleared.mock.calls.map(([timer]) => timer));
    expect(begun.length).toBeGreaterThanOrEqual(3);
    expect(begun.filter(({ value }) => !ended.has(value as NodeJS.Timeout))).toEqual([]);
    jest.restoreAllMocks();
    await listener.stop();
  }, 120_000);
});
