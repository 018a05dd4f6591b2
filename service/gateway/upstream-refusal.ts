import { z } from 'zod';
import { endedTurn, endsTheTurn, ModelFault } from './faults.ts';

const errorBody = z.looseObject({ error: z.union([z.string(), z.looseObject({ message: z.string() })]) });

/** The provider's own words, at most 1000 characters; undefined when there are none to be found. */
function messageIn(body: string): string | undefined {
  try {
    const parsed = errorBody.safeParse(JSON.parse(body));
    if (!parsed.success) return undefined;
    const { error } = parsed.data;
    return (typeof error === 'string' ? error : error.message).slice(0, 1000);
  } catch {
    return undefined;
  }
}

/** A session waits as long as it is told, so an absurd value would park it: 1–300 s, undefined when not given. */
export function retryAfterSeconds(header: string | null, now: Date): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now.getTime()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.min(300, Math.max(1, Math.ceil(seconds)));
}

export interface Refusal {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: string;
}

/**
 * An upstream's error status as the harness shall see it.
 *
 * 429, 5xx     with `Retry-After`, for whoever tries again; our words, not the provider's.
 * 401, 403     the service's key is at fault, not the task's token: 424.
 * 402          passed on.
 * 404          the model is not there.
 * other        the provider's status and words (the harness reads "context length" there), unless its words would make
 *              the harness repeat a request that cannot succeed.
 */
export function faultOfRefusal(refusal: Refusal, scrub: (text: string) => string, now: Date): ModelFault {
  const { status } = refusal;
  const seconds = retryAfterSeconds(refusal.retryAfter, now);
  const after = seconds === undefined ? {} : { retryAfterSeconds: seconds };
  if (status === 429) return new ModelFault(429, 'upstream_slow_down', 'The model provider asks to slow down.', after);
  if (status === 408 || status >= 500)
    return new ModelFault(status === 408 ? 503 : status, 'upstream_failed', 'The model provider failed.', after);
  if (status === 401 || status === 403) return endedTurn('upstream_credentials');
  if (status === 402)
    return new ModelFault(
      402,
      'upstream_payment',
      'The model provider wants payment: the account of this service has no credit left.',
    );
  if (status < 400) return endedTurn('upstream_not_a_stream');
  const said = scrub(messageIn(refusal.body) ?? '');
  const words = said !== '' && endsTheTurn(said) ? ` ${said}` : '';
  // 409 would be tried again by its number.
  return new ModelFault(
    status === 409 ? 400 : status,
    status === 404 ? 'upstream_no_model' : 'upstream_refused',
    `The model provider refused the request.${words}`,
  );
}
