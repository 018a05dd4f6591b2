import { createHash, timingSafeEqual } from 'node:crypto';
import { ServiceError } from '../platform/errors.ts';
import type { Route } from '../platform/http.ts';
import type { Metrics } from './metrics.ts';

/** `GET /metrics`, for whoever shows `METRICS_TOKEN`; without one configured it does not exist. */
export function metricsRoutes(metrics: Metrics, token: string | undefined): Route[] {
  if (token === undefined) return [];
  return [
    {
      method: 'get',
      path: '/metrics',
      // Its token is no user's, so it is checked here.
      guard: 'open',
      summary: 'Answers metrics in the text format of Prometheus, to whoever shows METRICS_TOKEN as a bearer token.',
      shape: { answers: { 200: 'text/plain' } },
      handler: async (request, response) => {
        const [, shown] = /^Bearer (\S+)$/i.exec(request.get('Authorization') ?? '') ?? [];
        if (shown === undefined || !isSame(shown, token)) throw refused();
        response.setHeader('Content-Type', metrics.contentType);
        response.send(await metrics.text());
      },
    },
  ];
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const isSame = (one: string, other: string): boolean => timingSafeEqual(digest(one), digest(other));

const refused = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'metrics_token_refused',
    'Metrics are for whoever shows METRICS_TOKEN of the service. Send it as Authorization: Bearer.',
  );
