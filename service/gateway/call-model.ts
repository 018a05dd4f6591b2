import type { Request, Response } from 'express';
import { ServiceError } from '../platform/errors.ts';
import { uuidv7 } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { admitCall, lookAfterCall, type AdmissionParts } from './admit-call.ts';
import { watchAnswer, type AnswerWatch } from './answer-watch.ts';
import { askUpstream, type AskParts } from './ask-upstream.ts';
import { closeCall, type CallStatus } from './call-store.ts';
import {
  budgetHeld,
  endedTurn,
  faultBody,
  faultEvents,
  fromServiceError,
  halted,
  internalFault,
  ModelFault,
  tokenEnded,
  type FaultCode,
} from './faults.ts';
import type { Halt, TaskIdentity } from './gateway-store.ts';
import { billOf } from './bill.ts';
import { bytesOf, makeBodyPlaces } from './body-places.ts';
import { isModelAlias, type ModelCatalog } from './models.ts';
import type { OpenCalls } from './open-calls.ts';
import type { KeyOwner } from './provider-keys.ts';
import type { PriceTable } from './prices.ts';
import { readWhole, relayStream } from './relay-answer.ts';
import { readCompletionRequest, type CompletionRequest, type UpstreamWords } from './request-body.ts';
import { reserve, type Reservation } from './reservation.ts';
import { faultOfEnd, lightFuse, type Fuse, type Upstream } from './upstream.ts';

export interface CallModelParts extends AdmissionParts, AskParts {
  readonly upstream: Upstream;
  /** The key of whoever pays for the work's calls; null means the service's own. */
  readonly providerKey: (work: KeyOwner) => Promise<string | null>;
  readonly models: ModelCatalog;
  readonly prices: PriceTable;
  /** What the admin sets for every request. */
  readonly words: UpstreamWords;
  readonly openCalls: OpenCalls;
  readonly log: Logger;
  readonly silenceMs: number;
  readonly callMs: number;
  readonly bodyLimitBytes: number;
  /** How long the refusal of a halted attempt is held back, so that the stop comes first. */
  readonly holdRefusalMs: number;
}

export type CallModel = (identity: TaskIdentity, request: Request, response: Response) => Promise<void>;

export interface Call {
  readonly id: string;
  readonly identity: TaskIdentity;
  /** That of the task, then those that may stand in for it. */
  readonly models: readonly [string, ...string[]];
  /** Which of them answers; known once one does. */
  model: string;
  readonly isStream: boolean;
  readonly body: (model: string) => string;
  readonly reserved: Reservation;
  /** Whether anything went to the provider yet, which alone can cost something. */
  wasSent: boolean;
  readonly watch: AnswerWatch;
  readonly fuse: Fuse;
}

/**
 * Makes one model call for a task: admit, ask upstream, pass the answer on, meter it, end.
 *
 * Order    the row of the call is closed before the last byte goes out, so whoever has the answer can sum the usage; an
 *          attempt that is halted was told to stop by then.
 * Errors   none; whatever fails is answered in OpenAI's shape and recorded.
 */
export function makeCallModel(parts: CallModelParts): CallModel {
  const places = makeBodyPlaces();
  return async (identity, request, response) => {
    let leavePlace: () => void;
    try {
      leavePlace = places.enter(identity.taskId, bytesOf(request, parts.bodyLimitBytes));
    } catch (error) {
      return refuseCall(parts, identity, response, error);
    }
    await makeCall(parts, identity, request, response).finally(leavePlace);
  };
}

function refuseCall({ log }: CallModelParts, identity: TaskIdentity, response: Response, error: unknown): void {
  const fault = asFault(error);
  logFault(log, fault, { taskId: identity.taskId, attempt: identity.attempt });
  endWithFault(response, fault);
}

async function makeCall(
  parts: CallModelParts,
  identity: TaskIdentity,
  request: Request,
  response: Response,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  let call: Call;
  try {
    call = await admit(parts, identity, await readCompletionRequest(request, parts.bodyLimitBytes), gone.signal);
  } catch (error) {
    // The caller went away while it was still sending: nobody asked, nobody listens.
    if (response.destroyed) return;
    return refuseCall(parts, identity, response, error);
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
}

/** How often a call that waits for a budget looks again. */
const lookAgainMs = 250;

/** Waits while open calls hold what is left of a budget. Throws a `ModelFault`. */
export async function admit(
  parts: CallModelParts,
  identity: TaskIdentity,
  completion: CompletionRequest,
  gone: AbortSignal,
): Promise<Call> {
  const models = modelsOf(parts, identity, completion);
  const [model] = models;
  const id = uuidv7(parts.clock);
  const words = { ...parts.words, dialect: parts.upstream.dialect };
  const body = (name: string): string => completion.forward(name, words);
  const bounds = [words.maxTokens, completion.outputAtMost].filter((bound) => typeof bound === 'number');
  const outputAtMost = bounds.length === 0 ? null : Math.min(...bounds);
  const reserved = reserve(parts.prices, models, Buffer.byteLength(body(model)), outputAtMost);
  await beAdmitted(parts, { id, identity, model, reserved }, gone);
  if (completion.leftOut.length > 0)
    parts.log.debug(
      { taskId: identity.taskId, callId: id, fields: namesOf(completion.leftOut) },
      'fields not passed on',
    );
  const fuse = lightFuse(parts.silenceMs, parts.callMs);
  const { isStream } = completion;
  return { id, identity, models, model, isStream, body, reserved, wasSent: false, watch: watchAnswer(), fuse };
}

/** An alias means the task's model, which may itself be one. */
function modelsOf(
  { models }: CallModelParts,
  identity: TaskIdentity,
  completion: CompletionRequest,
): readonly [string, ...string[]] {
  const allowed = identity.allowedModels;
  const first = models.resolve(isModelAlias(completion.model) ? identity.model : completion.model, allowed);
  const others = [...(identity.fallbackModels ?? []), ...models.fallbacks];
  const mayStandIn = others.filter((name) => name !== first && models.isOffered(name, allowed));
  return [first, ...new Set(mayStandIn)];
}

async function beAdmitted(
  parts: CallModelParts,
  call: Parameters<typeof admitCall>[1],
  gone: AbortSignal,
): Promise<void> {
  const { identity } = call;
  const until = performance.now() + parts.silenceMs;
  for (;;) {
    const admission = await admitCall(parts, call);
    if (admission === 'open') return;
    if (admission === 'ended') throw tokenEnded();
    if (admission !== 'wait') return refuse(parts, identity, admission, gone);
    if (gone.aborted) throw endedTurn('task_stopped');
    if (performance.now() > until) throw budgetHeld();
    await parts.wait(lookAgainMs, gone);
  }
}

/**
 * Ends the attempt, and holds the answer back until its stop has reached the workspace: a harness that heard of the refusal
 * first would end by itself, and nothing would prove that all of it did.
 */
async function refuse(parts: CallModelParts, identity: TaskIdentity, halt: Halt, gone: AbortSignal): Promise<never> {
  const isStopped = await parts.onHalt({ taskId: identity.taskId, attempt: identity.attempt, ...halt });
  if (isStopped) await parts.wait(parts.holdRefusalMs, gone);
  throw halted(halt.reason);
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
  const upstream = parts.upstream.with(await parts.providerKey(call.identity));
  call.fuse.signal.throwIfAborted();
  call.wasSent = true;
  const { answer, model } = await askUpstream(parts, {
    ...{ upstream, models: call.models, body: call.body, isStream: call.isStream, fuse: call.fuse },
    onSwitch: (from, to, code) => recordSwitch(parts, call, from, to, code),
  });
  call.model = model;
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

async function recordSwitch(
  { database, audit, log }: CallModelParts,
  call: Call,
  from: string,
  to: string,
  code: FaultCode,
): Promise<void> {
  const { taskId, attempt, ownerId, organizationId, workspaceId } = call.identity;
  log.warn({ ...contextOf(call), from, to, errorCode: code }, 'another model is asked');
  call.model = to;
  if (audit === null) return;
  await database.transaction((tx) =>
    audit.append(tx, {
      actor: 'service',
      action: 'model.switched',
      target: { type: 'task', id: taskId },
      outcome: 'success',
      ...{ ownerId, organizationId, workspaceId },
      data: { attempt, from, to, reason: code },
    }),
  );
}

const statusOf = (fuse: Fuse): CallStatus => {
  const reason = fuse.reason();
  if (reason === 'client_gone') return 'disconnected';
  return reason === 'stopped' ? 'stopped' : 'failed';
};

export async function close(
  parts: CallModelParts,
  call: Call,
  status: CallStatus,
  errorCode: FaultCode | null,
): Promise<void> {
  const { watch } = call;
  const bill = billOf(parts.prices, call, status, errorCode);
  if (status === 'succeeded' && bill.costMicroUsd === null)
    parts.log.warn({ ...contextOf(call), model: call.model }, 'model call has no known cost');
  try {
    await closeCall(parts.database.as(), {
      ...bill,
      id: call.id,
      finishedAt: parts.clock.now(),
      status,
      model: call.model,
      finishReason: watch.finishReason(),
      errorCode,
      toolCalls: watch.tools.count(),
      callSignature: watch.tools.signature(),
      generationId: watch.generationId(),
    });
    await lookAfterCall(parts, call.identity, status === 'succeeded' && watch.tools.count() > 0);
  } catch (error) {
    // The row stays open and so counts as what is held for it; the task need not fail for it.
    parts.log.error({ ...contextOf(call), err: error, ...bill }, 'model call could not be metered');
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
