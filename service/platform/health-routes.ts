import { z } from 'zod';
import type { Database } from './database.ts';
import { ServiceError } from './errors.ts';
import type { Route } from './http.ts';

/** A database that says nothing for this long is as good as none. */
const answerMs = 2_000;

/** `/healthz`: this process lives. `/readyz`: it serves, and its database answers. */
export function healthRoutes(parts: { database: Database; isReady: () => boolean }): Route[] {
  return [
    {
      method: 'get',
      path: '/healthz',
      guard: 'open',
      summary: 'Says that the process lives.',
      shape: { answers: { 200: z.strictObject({ status: z.literal('ok') }) } },
      handler: (_request, response) => {
        response.json({ status: 'ok' });
      },
    },
    {
      method: 'get',
      path: '/readyz',
      guard: 'open',
      summary: 'Says whether the service takes requests.',
      shape: { answers: { 200: z.strictObject({ status: z.literal('ready') }) } },
      handler: async (_request, response) => {
        if (!parts.isReady()) throw notReady('it is starting or draining');
        try {
          await answersInTime(parts.database);
        } catch (error) {
          throw notReady('its database does not answer', error);
        }
        response.json({ status: 'ready' });
      },
    },
  ];
}

async function answersInTime(database: Database): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${answerMs} ms`)), answerMs);
  });
  const answer = database.pool.query('select 1');
  // The loser of the race may still fail, with nobody left to hear it.
  answer.catch(() => undefined);
  try {
    await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const notReady = (why: string, cause?: unknown): ServiceError =>
  new ServiceError('unavailable', 'not_ready', `The service takes no requests: ${why}. Try again in a moment.`, {
    cause,
    retryAfterSeconds: 2,
  });
