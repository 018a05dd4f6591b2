import type { Request, Response } from 'express';
import { ServiceError } from '../platform/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { uuidv7 } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import { watchAnswer, type AnswerWatch } from './answer-watch.ts';
import {
  callLimitReached,
  endedTurn,
  faultBody,
  faultEvents,
  fromServiceError,
  internalFault,
  ModelFault,
  tokenEnded,
  type FaultCode,
} from './faults.ts';
import { closeCall, openCall, type CallStatus, type GatewayTables, type TaskIdentity } from './gateway-store.ts';
import { isModelAlias, type ModelCatalog } from './models.ts';
import type { OpenCalls } from './open-calls.ts';
import { costOf, type PriceTable } from './prices.ts';
import { readText, readWhole, relayStream } from './relay-answer.ts';
import { readCompletionRequest, type CompletionRequest } from './request-body.ts';
import { faultOfRefusal } from './upstream-refusal.ts';
import { faultOfEnd, lightFuse, type Fuse, type Upstream } from './upstream.ts';

export interface CallModelParts {
  readonly database: Database;
  readonly upstream: Upstream;
  readonly providerKey: (organizationId: string) => Promise<string | null>;
  readonly models: ModelCatalog;
  readonly prices: PriceTable;
  readonly openCalls: OpenCalls;
  readonly clock: Clock;
  readonly log: Logger;
  readonly silenceMs: number;
  readonly callMs: number;
  readonly maximumCalls: number;
  readonly bodyLimitBytes: number;
}

export type CallModel = (identity: TaskIdentity, request: Request, response: Response) => Promise<void>;

export interface Call {
  readonly id: string;
  readonly identity: TaskIdentity;
  readonly model: string;
  readonly isStream: boolean;
  readonly body: string;
  readonly watch: AnswerWatch;
  readonly fuse: Fuse;
}

/**
 * Makes one model call for a task: admit, ask upstream, pass the answer on, meter it, end.
 *
 * Order    the row of the call is closed before the last byte goes out, so whoever has the answer can sum the usage.
 * Errors   none; whatever fails is answered in OpenAI's shape and recorded.
 */
export function makeCallModel(parts: CallModelParts): CallModel {
  return async (identity, request, response) => {
    let call: Call;
    try {
      call = await admit(parts, identity, await readCompletionRequest(request, parts.bodyLimitBytes));
    } catch (error) {
      // The caller went away while it was still sending: nobody asked, nobody listens.
      if (response.destroyed) return;
      const fault = asFault(error);
      logFault(parts.log, fault, { taskId: identity.taskId, attempt: identity.attempt });
      return endWithFault(response, fault);
    }
    const leave = parts.openCalls.enter(identity, call.fuse);
    const onClose = (): void => {
      if (!response.writableFinished) call.fuse.end('client_gone');
    };
    response.once('close', onClose);
    if (response.destroyed) onClose();
    try {
      await perform(parts, call, response);
    } finally {
      call.fuse.clear();
      leave();
    }
  };
}

export async function admit(
  parts: CallModelParts,
  identity: TaskIdentity,
  completion: CompletionRequest,
): Promise<Call> {
  const { models } = parts;
  // An alias means the task's model, which may itself be one.
  const model = models.resolve(
    isModelAlias(completion.model) ? identity.model : completion.model,
    identity.allowedModels,
  );
  const id = uuidv7(parts.clock);
  const outcome = await openCall(parts.database.as<GatewayTables>(), {
    id,
    identity,
    model,
    now: parts.clock.now(),
    maximumCalls: parts.maximumCalls,
  });
  if (outcome === 'limit') throw callLimitReached();
  if (outcome === 'ended') throw tokenEnded();
  if (completion.leftOut.length > 0)
    parts.log.debug(
      { taskId: identity.taskId, callId: id, fields: namesOf(completion.leftOut) },
      'fields not passed on',
    );
  const body = completion.forward(model);
  const fuse = lightFuse(parts.silenceMs, parts.callMs);
  return { id, identity, model, isStream: completion.isStream, body, watch: watchAnswer(), fuse };
}

/** Names only, and only what looks like one: the rest could be anything the client holds. */
const namesOf = (fields: readonly string[]): string[] =>
  fields.filter((name) => /^[a-z_]{1,40}$/.test(name)).slice(0, 20);

async function perform(parts: CallModelParts, call: Call, response: Response): Promise<void> {
  try {
    const whole = await exchange(parts, call, response);
    await close(parts, call, 'succeeded', null);
    if (whole === null) response.end('data: [DONE]\n\n');
    else response.status(200).type('application/json').send(whole);
  } catch (error) {
    const fault = await closeFailed(parts, call, error);
    if (fault !== undefined && !response.destroyed) endWithFault(response, fault);
  }
}

/** Closes a call that did not end well. Answers what is to be told; undefined when nobody is left to hear it. */
export async function closeFailed(parts: CallModelParts, call: Call, error: unknown): Promise<ModelFault | undefined> {
  const reason = call.fuse.reason();
  const fault = reason === null ? asFault(error) : faultOfEnd(reason);
  if (fault !== undefined) logFault(parts.log, fault, contextOf(call));
  await close(parts, call, statusOf(call.fuse), fault?.code ?? null);
  // A body that is still coming would be paid for and never read.
  call.fuse.end('client_gone');
  return fault;
}

/** The whole answer of a call without a stream; null when it was streamed to the response, which one must have then. */
export async function exchange(parts: CallModelParts, call: Call, response?: Response): Promise<string | null> {
  const { clock } = parts;
  const upstream = parts.upstream.with(await parts.providerKey(call.identity.organizationId));
  const answer = await upstream.send(call.body, call.isStream, call.fuse.signal);
  if (answer.status !== 200) {
    const refusal = { status: answer.status, retryAfter: answer.headers.get('retry-after') };
    const body = await readText(answer, call.fuse, 64 * 1024);
    throw faultOfRefusal({ ...refusal, body }, upstream.scrub, clock.now());
  }
  const relay = { upstream: answer, watch: call.watch, fuse: call.fuse, scrub: upstream.scrub };
  try {
    if (!call.isStream || response === undefined) return await readWhole(relay);
    await relayStream({ ...relay, response });
    return null;
  } catch (error) {
    if (error instanceof ModelFault || call.fuse.reason() !== null) throw error;
    throw endedTurn('upstream_incomplete', error);
  }
}

const statusOf = (fuse: Fuse): CallStatus => {
  const reason = fuse.reason();
  if (reason === 'client_gone') return 'disconnected';
  return reason === 'stopped' ? 'stopped' : 'failed';
};

/** The provider answered with an error status or not at all, so nothing was used. */
const costsNothing: ReadonlySet<FaultCode> = new Set([
  'upstream_refused',
  'upstream_credentials',
  'upstream_payment',
  'upstream_rate_limited',
  'upstream_failed',
  'upstream_unreachable',
]);

export async function close(
  parts: CallModelParts,
  call: Call,
  status: CallStatus,
  errorCode: FaultCode | null,
): Promise<void> {
  const usage = call.watch.usage();
  const isFree = usage === null && errorCode !== null && costsNothing.has(errorCode);
  const nothing = { input: 0, cached: 0, output: 0, reasoning: 0 };
  const tokens = usage?.tokens ?? (isFree ? nothing : null);
  const listed = usage === null ? null : costOf(parts.prices, call.model, usage.tokens);
  // A cost computed from numbers that may be too low would pass for the whole.
  const known = usage === null || usage.isDoubtful ? null : (usage.costMicroUsd ?? listed);
  const costMicroUsd = isFree ? 0 : known;
  const priced = usage !== null && usage.costMicroUsd !== null ? 'provider' : 'prices';
  const costSource = isFree ? 'none' : costMicroUsd === null ? 'unknown' : priced;
  if (status === 'succeeded' && costMicroUsd === null)
    parts.log.warn({ ...contextOf(call), model: call.model }, 'model call has no known cost');
  const end = { id: call.id, finishedAt: parts.clock.now(), status, finishReason: call.watch.finishReason() };
  try {
    await closeCall(parts.database.as<GatewayTables>(), { ...end, tokens, costMicroUsd, costSource, errorCode });
  } catch (error) {
    // The row stays open and so is seen as unpriced; the task need not fail for it.
    parts.log.error({ ...contextOf(call), err: error, ...tokens, costMicroUsd }, 'model call could not be metered');
  }
}

const contextOf = (call: Call) => ({ taskId: call.identity.taskId, attempt: call.identity.attempt, callId: call.id });

function asFault(error: unknown): ModelFault {
  if (error instanceof ModelFault) return error;
  return error instanceof ServiceError ? fromServiceError(error) : internalFault(error);
}

/** Names and codes only: the cause of a fault may quote the provider or the prompt. */
function logFault(log: Logger, fault: ModelFault, context: Record<string, unknown>): void {
  if (fault.code === 'internal') return log.error({ ...context, err: fault.cause }, 'model call broke');
  const cause = fault.cause instanceof Error ? { cause: causeCode(fault.cause) } : {};
  log.warn({ ...context, ...cause, errorCode: fault.code, httpStatus: fault.status }, 'model call failed');
}

function causeCode(error: Error): string {
  const inner = error.cause instanceof Error ? error.cause : error;
  return 'code' in inner && typeof inner.code === 'string' ? inner.code : inner.name;
}

function endWithFault(response: Response, fault: ModelFault): void {
  if (response.headersSent) {
    response.end(faultEvents(fault));
    return;
  }
  if (fault.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(fault.retryAfterSeconds));
  // The rest of a body that was not read must not be taken for the next request.
  if (fault.code === 'body_too_large') response.setHeader('Connection', 'close');
  response.status(fault.status).type('application/json').send(faultBody(fault));
}
