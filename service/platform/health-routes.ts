import type { Database } from './database.ts';
import { ServiceError } from './errors.ts';
import type { Route } from './http.ts';

/** `/healthz`: this process lives. `/readyz`: it serves, and its database answers. */
export function healthRoutes(parts: { database: Database; isReady: () => boolean }): Route[] {
  return [
    {
      method: 'get',
      path: '/healthz',
      guard: 'open',
      summary: 'Says that the process lives.',
      handler: (_request, response) => {
        response.json({ status: 'ok' });
      },
    },
    {
      method: 'get',
      path: '/readyz',
      guard: 'open',
      summary: 'Says whether the service takes requests.',
      handler: async (_request, response) => {
        if (!parts.isReady()) throw notReady('it is starting or draining');
        try {
          await parts.database.pool.query('select 1');
        } catch (error) {
          throw notReady('its database does not answer', error);
        }
        response.json({ status: 'ready' });
      },
    },
  ];
}

const notReady = (why: string, cause?: unknown): ServiceError =>
  new ServiceError('unavailable', 'not_ready', `The service takes no requests: ${why}. Try again in a moment.`, {
    cause,
    retryAfterSeconds: 2,
  });
