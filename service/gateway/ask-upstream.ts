import {
  BrokenCircuitError,
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  handleWhen,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import type { Clock } from '../platform/clock.ts';
import { endedTurn, lastTry, ModelFault, type FaultCode } from './faults.ts';
import { readText } from './relay-answer.ts';
import { faultOfRefusal } from './upstream-refusal.ts';
import type { Fuse, KeyedUpstream, UpstreamAnswer } from './upstream.ts';

/** What one more try may mend. */
const passing: ReadonlySet<FaultCode> = new Set(['upstream_slow_down', 'upstream_failed', 'upstream_unreachable']);
/** What another model may answer: its own provider fails, or it is not (or no longer) there. */
const forAnother: ReadonlySet<FaultCode> = new Set([...passing, 'upstream_open', 'upstream_no_model']);
const outages: ReadonlySet<FaultCode> = new Set(['upstream_failed', 'upstream_unreachable']);

const longestWaitMs = 60_000;
const usualWaitMs = 1_000;

export interface AskParts {
  readonly breakers: Breakers;
  readonly clock: Clock;
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

export interface Question {
  readonly upstream: KeyedUpstream;
  /** The model of the task, then those that may stand in for it. */
  readonly models: readonly [string, ...string[]];
  readonly body: (model: string) => string;
  readonly isStream: boolean;
  readonly fuse: Fuse;
  readonly onSwitch: (from: string, to: string, code: FaultCode) => Promise<void>;
}

/** Of each model its own: one whose provider fails says nothing of the others, and must not close their door. */
export interface Breakers {
  of(model: string): CircuitBreakerPolicy;
  isAnyOpen(): boolean;
}

/** Models that were not asked for longest are forgotten, where any name is passed on. */
const mostRemembered = 1_000;

export function makeBreakers(): Breakers {
  const known = new Map<string, CircuitBreakerPolicy>();
  return {
    of(model) {
      const breaker = known.get(model) ?? makeBreaker();
      known.delete(model);
      known.set(model, breaker);
      const oldest = known.keys().next().value;
      if (known.size > mostRemembered && oldest !== undefined) known.delete(oldest);
      return breaker;
    },
    isAnyOpen: () => [...known.values()].some(({ state }) => state === CircuitState.Open),
  };
}

/** Opens after five outages in a row; half a minute later one call tries whether it is over. */
const makeBreaker = (halfOpenAfterMs = 30_000): CircuitBreakerPolicy =>
  circuitBreaker(
    handleWhen((error) => error instanceof ModelFault && outages.has(error.code)),
    { halfOpenAfter: halfOpenAfterMs, breaker: new ConsecutiveBreaker(5) },
  );

/**
 * Asks upstream until a model begins to answer: the one place where model calls are tried again.
 *
 * Order    each model twice at most, the second time after what `Retry-After` says (up to a minute); then the next
 *          model. Nothing of an answer was passed on by then, so nothing is said or paid twice.
 * Errors   a `ModelFault` that ends the harness's turn: it shall not try on top of this.
 */
export async function askUpstream(
  parts: AskParts,
  question: Question,
): Promise<{ readonly answer: UpstreamAnswer; readonly model: string }> {
  const { models } = question;
  for (const [place, model] of models.entries()) {
    try {
      return { answer: await askTwice(parts, question, model), model };
    } catch (error) {
      const next = models[place + 1];
      if (!(error instanceof ModelFault)) throw error;
      if (next === undefined || !forAnother.has(error.code)) throw lastTry(error);
      await question.onSwitch(model, next, error.code);
    }
  }
  throw new Error('a question names at least one model');
}

async function askTwice(parts: AskParts, question: Question, model: string): Promise<UpstreamAnswer> {
  try {
    return await askOnce(parts, question, model);
  } catch (error) {
    if (!(error instanceof ModelFault) || !passing.has(error.code)) throw error;
    const waitMs = error.retryAfterSeconds === undefined ? usualWaitMs : error.retryAfterSeconds * 1_000;
    if (waitMs > longestWaitMs) throw error;
    const { fuse } = question;
    fuse.pause();
    await parts.wait(waitMs, fuse.signal);
    fuse.touch();
    return askOnce(parts, question, model);
  }
}

async function askOnce({ breakers, clock }: AskParts, question: Question, model: string): Promise<UpstreamAnswer> {
  const { upstream, isStream, fuse } = question;
  try {
    return await breakers.of(model).execute(async () => {
      const answer = await upstream.send(question.body(model), isStream, fuse.signal);
      if (answer.status === 200) return answer;
      const refusal = { status: answer.status, retryAfter: answer.headers.get('retry-after') };
      const body = await readText(answer, fuse, 64 * 1024);
      throw faultOfRefusal({ ...refusal, body }, upstream.scrub, clock.now());
    });
  } catch (error) {
    throw error instanceof BrokenCircuitError ? endedTurn('upstream_open', error) : error;
  }
}
