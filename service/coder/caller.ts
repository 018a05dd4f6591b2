import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  ExponentialBackoff,
  circuitBreaker,
  handleWhen,
  retry,
  wrap,
} from 'cockatiel';
import { CoderError, createClient, readsOnly, type CoderClient } from 'coder-sdk-ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { CallContext, CoderCall } from './coder-call.ts';
import { breakerOpen, isOutage, isWorthRetrying, toServiceError, type TokenOwner } from './translate.ts';

export interface CallerOptions {
  readonly url: string;
  readonly serviceToken: string;
  /** Per request; a call is at most three requests, and a request that timed out is not repeated. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly record: (call: CoderCall) => void | Promise<void>;
  readonly fetch?: typeof globalThis.fetch;
}

export interface Caller {
  /** Asks something, again after a short pause when Coder seems to be restarting. Throws `ServiceError`. */
  read<Result>(who: Who, context: CallContext, ask: (client: CoderClient) => Promise<Result>): Promise<Result>;
  /** Changes something, once. Throws `ServiceError`. */
  change<Result>(who: Who, context: CallContext, act: (client: CoderClient) => Promise<Result>): Promise<Result>;
}

/** A caller's token, or `service` for our own. */
export type Who = { readonly token: string } | 'service';

/** Open after this many outages in a row, for this long; then one request tries. */
const breakerLimits = { failures: 8, halfOpenAfterMs: 10_000 };
/** With jitter (cockatiel's decorrelated), so that replicas do not return in step. */
const retries = { maxAttempts: 2, initialDelayMs: 50, maxDelayMs: 500 };

/** What may stand in a header. Anything else cannot be a token, and must not look like an outage of Coder. */
const sendable = /^[\x21-\x7e]+$/;
const unsendable = new CoderError('unauthenticated', 0, 'The token has characters that no token has.');

export function makeCaller(options: CallerOptions): Caller {
  const breaker = circuitBreaker(handleWhen(isOutage), {
    halfOpenAfter: breakerLimits.halfOpenAfterMs,
    breaker: new ConsecutiveBreaker(breakerLimits.failures),
  });
  breaker.onBreak(() => options.log.error({ coderUrl: options.url }, 'coder does not answer'));
  breaker.onReset(() => options.log.info({ coderUrl: options.url }, 'coder answers again'));
  const again = retry(handleWhen(isWorthRetrying), {
    maxAttempts: retries.maxAttempts,
    backoff: new ExponentialBackoff({ initialDelay: retries.initialDelayMs, maxDelay: retries.maxDelayMs }),
  });
  const policies = { read: wrap(again, breaker), change: breaker };

  async function run<Result>(
    policy: keyof typeof policies,
    who: Who,
    context: CallContext,
    perform: (client: CoderClient) => Promise<Result>,
  ): Promise<Result> {
    const tokenOwner: TokenOwner = who === 'service' ? 'service' : 'caller';
    if (who !== 'service' && !sendable.test(who.token)) throw toServiceError(unsendable, tokenOwner);
    const client = clientFor(options, who === 'service' ? options.serviceToken : who.token, context);
    try {
      return await policies[policy].execute(() => perform(client));
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw breakerOpen(error);
      if (!(error instanceof CoderError)) throw error;
      const translated = toServiceError(error, tokenOwner);
      if (translated.code === 'service_token_refused' || error.kind === 'unexpected_answer')
        options.log.error({ err: error, requestId: context.requestId }, 'coder does not serve us');
      throw translated;
    }
  }

  return {
    read: (who, context, ask) => run('read', who, context, ask),
    change: (who, context, act) => run('change', who, context, act),
  };
}

/** Sockets are kept alive by the runtime's fetch, which all clients share. */
function clientFor(options: CallerOptions, token: string, context: CallContext): CoderClient {
  const { url, timeoutMs, clock, record, fetch } = options;
  const told = (call: Omit<CoderCall, 'at' | 'actor' | 'requestId'>) =>
    record({ ...call, at: clock.now(), actor: context.actor, requestId: context.requestId });
  return createClient({
    url,
    token,
    timeoutMs,
    ...(fetch ? { fetch } : {}),
    beforeCall: async ({ method, route, pathParameters }) => {
      if (readsOnly(method, route)) return;
      await told({ phase: 'intent', method, route, pathParameters, status: null, durationMs: null, error: null });
    },
    onCall: async ({ method, route, pathParameters, status, durationMs, error }) => {
      const phase = readsOnly(method, route) ? 'read' : 'outcome';
      await told({ phase, method, route, pathParameters, status, durationMs, error: error?.kind ?? null });
    },
  });
}
