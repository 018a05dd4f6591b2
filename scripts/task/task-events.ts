import type { TaskEvent } from '../../modules/contract.ts';
import { readServerSentEvents } from '../../modules/opencode/bridge/server-sent-events.ts';
import { CommandFailure } from '../command-failure.ts';
import { parseJson, refused } from '../service-client.ts';
import type { Surroundings } from '../template-context.ts';
import { taskPath, type Reach } from './task-access.ts';

type Around = Pick<Surroundings, 'clock' | 'pollMs' | 'signal'>;

/** The service sends a sign of life every 10 s. */
const silenceMs = 30_000;
/** How long the service may be away: a restart takes a second or two. */
const awayMs = 60_000;

/**
 * Yields the events of a task after `afterSeq` as they happen, to its end. A service that goes away and comes back is
 * followed on: a stream goes on after the last number seen.
 *
 * Errors  `CommandFailure`: 1 when the service refuses, 2 when it is away for a minute, the signal's own when it ends.
 */
export async function* followTask(
  reach: Reach,
  taskId: string,
  { clock, pollMs, signal }: Around,
  afterSeq = 0,
): AsyncGenerator<TaskEvent> {
  let lastSeq = afterSeq;
  let heardAt = clock.nowMs();
  for (;;) {
    signal.throwIfAborted();
    try {
      const stream = await openStream(reach, taskId, lastSeq, signal);
      if (stream === null) return;
      for await (const data of readServerSentEvents(stream, silenceMs)) {
        heardAt = clock.nowMs();
        const event = JSON.parse(data) as TaskEvent;
        if (event.seq <= lastSeq) continue;
        lastSeq = event.seq;
        yield event;
        if (event.type === 'task.finished') return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CommandFailure) throw error;
      if (clock.nowMs() - heardAt > awayMs) throw away(reach.url, taskId, error);
    }
    await clock.sleep(pollMs, signal);
  }
}

/** Null when there is nothing more to come. */
async function openStream(
  { url, token }: Reach,
  taskId: string,
  lastSeq: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array> | null> {
  const response = await fetch(url + taskPath(taskId, '/events'), {
    redirect: 'manual',
    signal,
    headers: { Accept: 'text/event-stream', 'Coder-Session-Token': token, 'Last-Event-ID': String(lastSeq) },
  });
  if (response.status === 204) return null;
  if (response.ok && response.body) return response.body;
  const text = await response.text();
  if ([502, 503, 504].includes(response.status)) throw new Error(`The service answered ${response.status}.`);
  throw refused(url, response.status, parseJson(text));
}

const away = (url: string, taskId: string, cause: unknown): CommandFailure =>
  new CommandFailure(
    2,
    `Outrigger at ${url} has been away for a minute. The task goes on without it; \`outrigger task events ${taskId} --follow\` follows it again.`,
    { cause },
  );
