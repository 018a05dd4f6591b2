import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { openDatabase } from '../../service/platform/database.ts';
import { healthRoutes } from '../../service/platform/health-routes.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeWebServer } from '../../service/platform/web-server.ts';
import { makeTestClock } from '../support/clock.ts';
import { createTestDatabase } from '../support/database.ts';
import { startTestService, type TestService } from '../support/service.ts';

const tasksPath = '/api/v2/agents/opencode/tasks';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(outrigger.url + tasksPath, {
    method: 'POST',
    headers: {
      'Coder-Session-Token': outrigger.people.ada.token,
      'Content-Type': 'application/json',
      ...headers,
    },
    body: body as string,
  });
const problemOf = async (response: Response) =>
  (await response.json()) as { code: string; detail: string; errors?: { path: string }[] };

describe('what no room could store is refused with 400, not 500', () => {
  it.each(['/api/v2/agents/opencode/tasks', '/api/v2/agents/tasks', '/api/v2/agents/agentzero/workflows'])(
    'a cursor that is no UUID, at %s',
    async (path) => {
      const answer = await outrigger.call(outrigger.people.ada, 'GET', `${path}?cursor=abc`);

      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ code: 'invalid_request', errors: [{ path: 'cursor' }] });
    },
  );

  it.each(['/api/v2/agents/approvals', '/api/v2/agents/audit'])(
    'a cursor that is no UUID, at %s, while next_cursor of a list is taken',
    async (path) => {
      const uuid = '019aa0c5-1111-7000-8000-000000000000';

      expect((await outrigger.call(outrigger.people.ada, 'GET', `${path}?cursor=abc`)).status).toBe(400);
      expect((await outrigger.call(outrigger.people.ada, 'GET', `${path}?cursor=${uuid}`)).status).toBe(200);
    },
  );

  it.each([
    ['U+0000 in a value', '{"type":"opencode","payload":{"action":"generate_code","prompt":"a\\u0000b"}}', 'prompt'],
    ['half a surrogate pair in a value', '{"payload":{"list":["ok","\\ud800 x"]}}', 'payload.list.1'],
    ['U+0000 in a key', '{"payload":{"a\\u0000":1}}', 'payload'],
    ['half a surrogate pair in a key', '{"payload":{"params":{"\\udc00":1}}}', 'payload.params'],
  ])('%s, naming where', async (_title, body, path) => {
    const response = await post(body);
    const problem = await problemOf(response);

    expect(response.status).toBe(400);
    expect(problem.code).toBe('invalid_request');
    expect(problem.errors?.[0]?.path).toContain(path);
    expect(problem.detail).toMatch(/U\+0000|surrogate/);
  });

  it('a whole surrogate pair is text like any other', async () => {
    const response = await post('{"type":"robot","payload":{"action":"fly","prompt":"\\ud83d\\ude00"}}');

    expect((await problemOf(response)).detail).not.toMatch(/surrogate/);
  });

  it.each(['[', '{"a":'])('JSON nested deeper than 64 levels with %s', async (opening) => {
    const closing = opening === '[' ? ']' : '}';
    const response = await post(`{"payload":${opening.repeat(20_000)}1${closing.repeat(20_000)}}`);
    const problem = await problemOf(response);

    expect(response.status).toBe(400);
    expect(problem).toMatchObject({ code: 'invalid_request', detail: expect.stringContaining('64 levels') });
  });

  it('U+0000 in the query', async () => {
    expect((await outrigger.call(outrigger.people.ada, 'GET', '/api/v2/agents/audit?task=%00')).status).toBe(400);
  });

  it('a body that is not compressed as its header says', async () => {
    const broken = gzipSync('{"type":"opencode"}');
    broken.fill(0xff, 10, 20);
    const response = await post(broken, { 'Content-Encoding': 'gzip' });

    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: 'unreadable_body' });
  });

  it('an unknown charset and an unknown compression', async () => {
    const charset = await post('{}', { 'Content-Type': 'application/json; charset=latin-42' });
    const encoding = await post('{}', { 'Content-Encoding': 'zip' });

    expect([charset.status, encoding.status]).toEqual([400, 400]);
  });
});

describe('/readyz', () => {
  it('answers 503 when the database does not answer within two seconds', async () => {
    const { url, drop } = await createTestDatabase();
    const database = openDatabase({ url, poolSize: 1 });
    const pass = () => Promise.resolve();
    const web = makeWebServer({
      routes: healthRoutes({ database, isReady: () => true }),
      guards: { open: pass, user: pass, task: pass, proof: pass },
      bodyLimitBytes: 1_000,
      clock: makeTestClock(),
      log: silentLogger,
    });
    const { port } = await web.listen({ host: '127.0.0.1', port: 0 });
    const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    try {
      expect(await ready()).toBe(200);
      const busy = await database.pool.connect();
      const began = Date.now();
      try {
        expect(await ready()).toBe(503);
        expect(Date.now() - began).toBeLessThan(6_000);
      } finally {
        busy.release();
      }
      expect(await ready()).toBe(200);
    } finally {
      await web.close(0);
      await database.close();
      await drop();
    }
  });
});
