import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Response as ServerResponse } from 'express';
import { connect, type Socket } from 'node:net';
import type { TaskEvent } from '../../modules/contract.ts';
import { makeListener, type Listener } from '../../service/platform/listener.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { pathParameter } from '../../service/platform/http.ts';
import { makeWebServer, type WebServer } from '../../service/platform/web-server.ts';
import { makeEventStream, type EventStream } from '../../service/tasks/event-stream.ts';
import { eventually } from '../support/clock.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
let listener: Listener;
let stream: EventStream;
let web: WebServer;
let port: number;
let taskId: string;
let responses: ServerResponse[];
let sockets: Socket[];
let pauseBefore: () => Promise<void>;

beforeEach(async () => {
  room = await makeTasksRoom();
  const { database, url } = room.data;
  listener = makeListener({ url, log: silentLogger });
  stream = makeEventStream({ database, listener, log: silentLogger, lookEveryMs: 50 });
  await listener.start();
  responses = [];
  sockets = [];
  pauseBefore = () => Promise.resolve();
  const pass = () => Promise.resolve();
  web = makeWebServer({
    routes: [
      {
        method: 'get',
        path: '/events/:taskId',
        guard: 'open',
        summary: 'Streams events.',
        handler: async (request, response) => {
          responses.push(response);
          await pauseBefore();
          await stream.serve(request, response, pathParameter(request, 'taskId'));
        },
      },
    ],
    guards: { open: pass, user: pass, task: pass, proof: pass },
    bodyLimitBytes: 1_000,
    clock: room.clock,
    log: silentLogger,
  });
  port = (await web.listen({ host: '127.0.0.1', port: 0 })).port;
  taskId = await room.submit();
  await room.data.database.pool.query('delete from task_event where task_id = $1', [taskId]);
  await room.data.database.pool.query('update task set event_seq = 0 where id = $1', [taskId]);
});
afterEach(async () => {
  stream.drain();
  for (const socket of sockets) socket.destroy();
  await web.close(0);
  await listener.stop();
  await room.close();
});

/** Writes events without telling anybody. */
async function write(count: number, options: { bytes?: number; type?: string } = {}): Promise<void> {
  const { bytes = 10, type = 'message.text' } = options;
  await room.data.database.transaction(async ({ client }) => {
    await client.query(
      `insert into task_event (task_id, seq, at, type, attempt, data)
       select id, event_seq + n, now(), $2, 1, jsonb_build_object('text', repeat('x', $3))
       from task, generate_series(1, $4::int) n where id = $1`,
      [taskId, type, bytes, count],
    );
    await client.query('update task set event_seq = event_seq + $2 where id = $1', [taskId, count]);
  });
}
async function finish(): Promise<void> {
  await write(1, { type: 'task.finished' });
  await room.data.database.pool.query(`update task set state = 'finished', outcome = 'failed' where id = $1`, [taskId]);
}
const get = (lastSeq: number) =>
  fetch(`http://127.0.0.1:${port}/events/${taskId}`, {
    headers: { 'Last-Event-ID': String(lastSeq) },
    signal: AbortSignal.timeout(15_000),
  });
const numbersIn = (text: string): number[] =>
  [...text.matchAll(/^data:(.+)$/gm)].map((match) => (JSON.parse(match[1] ?? '') as TaskEvent).seq);
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_one, index) => first + index);

/** A watcher over a bare socket, so that the test decides whether it reads. */
function watch(): { socket: Socket; text: () => string } {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  const chunks: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(`GET /events/${taskId} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n`);
  return { socket, text: () => Buffer.concat(chunks).toString('utf8') };
}

describe('P-59 the events of a finished task', () => {
  it.each([3, 4, 900])('are answered 204 after Last-Event-ID %d of 3: nothing will come', async (lastSeq) => {
    await write(2);
    await finish();

    const response = await get(lastSeq);

    expect(response.status).toBe(204);
    expect(await response.text()).toBe('');
    expect(stream.watchers).toBe(0);
  });

  it('end with the history, also when something was noted after the end', async () => {
    await write(2);
    await finish();
    await write(1);

    expect(numbersIn(await (await get(0)).text())).toEqual([1, 2, 3, 4]);
    expect(numbersIn(await (await get(3)).text())).toEqual([4]);
  });
});

describe('a watcher', () => {
  it('that says it has seen more than there is gets what comes next, to the end', async () => {
    await write(2);
    const response = await get(900);
    await finish();

    expect(numbersIn(await response.text())).toEqual([3]);
  });

  it('gets events whose notification was lost', async () => {
    const response = await get(0);
    await eventually('the watcher', () => Promise.resolve(stream.watchers === 1));
    await write(3);
    await finish();

    expect(numbersIn(await response.text())).toEqual([1, 2, 3, 4]);
  });

  it('that leaves before its stream begins is forgotten', async () => {
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const served: Promise<void>[] = [];
    pauseBefore = () => gate;
    const { socket } = watch();
    await eventually('the request', () => Promise.resolve(responses.length === 1));
    socket.destroy();
    await eventually('the service to see it leave', () => Promise.resolve(responses[0]?.destroyed));

    go();
    pauseBefore = () => Promise.resolve();
    served.push(get(0).then((response) => response.body?.cancel()));
    await Promise.all(served);

    await eventually('every watcher to be gone', () =>
      Promise.resolve(responses.length === 2 && stream.watchers === 0),
    );
  });

  it('that does not read holds up nobody, is not written to, and gets everything once it reads', async () => {
    await write(600, { bytes: 20_000 });
    const slow = watch();
    slow.socket.pause();
    await eventually('the slow watcher to be full', () => Promise.resolve(responses[0]?.writableNeedDrain));

    const quick = await get(0);
    await finish();
    expect(numbersIn(await quick.text())).toEqual(upTo(601));

    expect(responses[0]?.writableLength).toBeLessThan(1_000_000);
    const ended = new Promise((resolve) => slow.socket.once('close', resolve));
    slow.socket.resume();
    await ended;
    expect(numbersIn(slow.text())).toEqual(upTo(601));
  });

  it('that does not read for too long is cut', async () => {
    stream.drain();
    stream = makeEventStream({ database: room.data.database, listener, log: silentLogger, blockedMs: 200 });
    await write(600, { bytes: 20_000 });
    const slow = watch();
    slow.socket.pause();
    await eventually('the slow watcher to be full', () => Promise.resolve(responses[0]?.writableNeedDrain));

    await eventually('the slow watcher to be cut', () => Promise.resolve(stream.watchers === 0));
    expect(responses[0]?.destroyed).toBe(true);
  });

  it('is let go when the service drains', async () => {
    const response = await get(0);
    await eventually('the watcher', () => Promise.resolve(stream.watchers === 1));

    stream.drain();

    await response.text();
    await (await get(0)).text();
    expect(stream.watchers).toBe(0);
  });
});
