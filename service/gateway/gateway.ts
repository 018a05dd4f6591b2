import { tokenPrefix } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { mintToken, hashToken, systemRandomness, type Clock, type Randomness } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { pause } from '../platform/pause.ts';
import type { BudgetWarning, HaltedAttempt } from './admit-call.ts';
import { makeBreakers } from './ask-upstream.ts';
import { usualBrakes, type BrakeLimits } from './brakes.ts';
import { makeCallModel, type CallModelParts } from './call-model.ts';
import { markLostCalls, sumTokensAfterRevoke, sumUsage, type GatewayUsage } from './call-store.ts';
import { makeComplete, type Complete } from './complete.ts';
import { gatewayRoutes, type RawRoute } from './gateway-routes.ts';
import {
  findToken,
  haltedAttempts,
  haltOf,
  insertToken,
  revokeTokens,
  type GatewayTables,
  type Halt,
  type TaskIdentity,
} from './gateway-store.ts';
import { makeModelCatalog, type ModelOptions } from './models.ts';
import { makeOpenCalls } from './open-calls.ts';
import { wantsKey, type KeyOwner } from './provider-keys.ts';
import { recallUsage } from './recall-usage.ts';
import { bodyLimitBytes } from './request-body.ts';
import { makeTurns } from './turns.ts';
import { makeUpstream, type UpstreamOptions } from './upstream.ts';

export type { BudgetWarning, HaltedAttempt } from './admit-call.ts';
export type { GatewayUsage } from './call-store.ts';
export type { Halt, TaskIdentity } from './gateway-store.ts';

/** The room of model calls: who may make them, to which model, and what they cost. */
export interface Gateway {
  readonly routes: readonly RawRoute[];
  /** Errors: `unauthenticated` for an unknown, ended or revoked token. */
  authenticate(token: string): Promise<TaskIdentity>;
  /** A model call of the service itself, on behalf of `identity`. Errors: `ModelFault`. */
  readonly complete: Complete;
  /** Whether a model call can be made for this work: the upstream takes no key, or there is one. */
  hasModel(work: TaskIdentity): Promise<boolean>;
  /** `ort_…` for one attempt; earlier tokens of the task end in the same transaction. */
  mintTaskToken(tx: Transaction, identity: TaskIdentity): Promise<string>;
  /** No call can begin with the task's tokens once this is committed; end those under way with `abortCalls`. */
  revokeTaskTokens(tx: Transaction, taskId: string): Promise<void>;
  /** Calls of the task that this process has open. */
  openCalls(taskId: string): number;
  /** Ends the upstream connections of the task's open calls and says how many there were. */
  abortCalls(taskId: string): number;
  /** Sums all attempts of the task; an open call counts as unpriced. */
  usageOf(tx: Transaction, taskId: string): Promise<GatewayUsage>;
  /** Tokens the provider reported after the task's token had been revoked; 0 is what a proven stop shows. */
  tokensAfterRevoke(tx: Transaction, taskId: string): Promise<number>;
  /** Why the gateway halted an attempt, by a budget or a brake; null when it did not. */
  haltOf(tx: Transaction, taskId: string, attempt: number): Promise<Halt | null>;
  /** The real name of a model, for submitters. Errors: `unprocessable` that lists what may be named. */
  resolveModel(requested: string | null): string;
  /** Whether the upstream failed so often in a row, for some model, that it is left alone for a while. */
  isUpstreamOpen(): boolean;
  /** Closes the rows of calls whose process died; run at start and now and then. Gives their number. */
  recoverLostCalls(): Promise<number>;
  /**
   * What is done every minute: calls of dead processes are closed, attempts that were halted but not stopped are
   * stopped, and providers are asked for the usage of calls that broke.
   */
  tidy(): Promise<void>;
  /** Joins a later room that must be told. */
  subscribe(hooks: GatewayHooks): void;
  /** Ends every open call and waits until each is metered. */
  close(): Promise<void>;
}

export interface GatewayOptions extends ModelOptions {
  readonly database: Database;
  /** `timeoutMs` is the longest silence of the provider, before its answer and within it. */
  readonly upstream: Omit<UpstreamOptions, 'fetch'> & { readonly timeoutMs: number };
  /** A key that the work's owner or organization brought for this upstream; null, or left out, means that of `upstream`. */
  readonly providerKey?: (work: KeyOwner) => Promise<string | null>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audit?: Pick<AuditLog, 'append'>;
  readonly randomness?: Randomness;
  readonly fetch?: UpstreamOptions['fetch'];
  /** Ends early when the signal aborts, without throwing. */
  readonly wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** What the admin sets for every request: the longest answer, and the temperature where a request names none. */
  readonly maxTokens?: number | null;
  readonly temperature?: number | null;
  readonly brakes?: Partial<BrakeLimits>;
  /** Hard brake on a loop. Default 500: twice what a long honest task was seen to need, and still only money, not ruin. */
  readonly maximumCallsPerAttempt?: number;
  /** Longest single call. Default 30 min: a stream that drips for ever is no answer. */
  readonly callMs?: number;
  /** Backstop for a token nobody revoked. Default 24 h, the longest life of an approval. */
  readonly tokenMs?: number;
  /** How long a halted attempt waits for its refusal, so that the stop comes first. Default 3 s. */
  readonly holdRefusalMs?: number;
}

/** How later rooms are told. */
export interface GatewayHooks {
  /** Stops the attempt, with proof. Answers whether it was there to be stopped. May be told more than once. */
  readonly onHalt: (halted: HaltedAttempt) => Promise<boolean>;
  /** Told once per limit, kind and period, in the transaction that found out. */
  readonly onWarning: (tx: Transaction, warning: BudgetWarning) => Promise<void>;
}

export function makeGateway(options: GatewayOptions): Gateway {
  const { database, clock, log, upstream: upstreamOptions } = options;
  const tables = database.as<GatewayTables>();
  const hooks: GatewayHooks[] = [];
  const parts = partsOf(options, hooks);
  const { models, openCalls, upstream, breakers, callMs } = parts;
  const recoverLostCalls = (): Promise<number> =>
    markLostCalls(database.as(), new Date(clock.now().getTime() - callMs - 60_000), clock.now());
  return {
    routes: gatewayRoutes({ callModel: makeCallModel(parts), models }),
    complete: makeComplete(parts),
    hasModel: async (work) =>
      upstreamOptions.apiKey !== null || !wantsKey(upstreamOptions.url) || (await parts.providerKey(work)) !== null,
    async authenticate(token) {
      const identity = await findToken(tables, hashToken(token), clock.now());
      if (identity === undefined) throw taskTokenRefused();
      return identity;
    },
    async mintTaskToken(tx, identity) {
      const { token, hash } = mintToken(tokenPrefix.task, options.randomness ?? systemRandomness);
      const createdAt = clock.now();
      const expiresAt = new Date(createdAt.getTime() + (options.tokenMs ?? 24 * 3_600_000));
      await revokeTokens(tx.as<GatewayTables>(), identity.taskId, createdAt);
      await insertToken(tx.as<GatewayTables>(), { ...identity, hash, createdAt, expiresAt });
      return token;
    },
    revokeTaskTokens: (tx, taskId) => revokeTokens(tx.as<GatewayTables>(), taskId, clock.now()),
    openCalls: (taskId) => openCalls.count(taskId),
    abortCalls: (taskId) => openCalls.abort(taskId),
    usageOf: (tx, taskId) => sumUsage(tx.as(), taskId),
    tokensAfterRevoke: (tx, taskId) => sumTokensAfterRevoke(tx.as(), taskId),
    haltOf: (tx, taskId, attempt) => haltOf(tx.as<GatewayTables>(), taskId, attempt),
    resolveModel: (requested) => models.resolve(requested),
    isUpstreamOpen: breakers.isAnyOpen,
    recoverLostCalls,
    async tidy() {
      await recoverLostCalls();
      for (const halted of await haltedAttempts(tables))
        await parts.onHalt(halted).catch((error: unknown) => log.warn({ error, ...halted }, 'a halt was not heard'));
      // Last, because a provider may let it wait for minutes.
      await recallUsage(parts);
    },
    subscribe: (more) => void hooks.push(more),
    async close() {
      openCalls.abortAll();
      await openCalls.drained();
      await upstream.close();
    },
  };
}

function partsOf(options: GatewayOptions, hooks: readonly GatewayHooks[]): CallModelParts {
  const { database, clock, log, prices, fetch, maxTokens = null, temperature = null } = options;
  return {
    ...{ database, clock, log, prices, bodyLimitBytes },
    audit: options.audit ?? null,
    upstream: makeUpstream({ ...options.upstream, ...(fetch === undefined ? {} : { fetch }) }),
    providerKey: options.providerKey ?? (() => Promise.resolve(null)),
    models: makeModelCatalog(options),
    words: { maxTokens, temperature },
    openCalls: makeOpenCalls(),
    breakers: makeBreakers(),
    turns: makeTurns(),
    wait: options.wait ?? pause,
    silenceMs: options.upstream.timeoutMs,
    callMs: options.callMs ?? 30 * 60_000,
    maximumCalls: options.maximumCallsPerAttempt ?? 500,
    brakes: { ...usualBrakes, ...options.brakes },
    holdRefusalMs: options.holdRefusalMs ?? 3_000,
    async onHalt(halted) {
      let isStopped = false;
      for (const { onHalt } of hooks) isStopped = (await onHalt(halted)) || isStopped;
      return isStopped;
    },
    async onWarning(tx, warning) {
      for (const { onWarning } of hooks) await onWarning(tx, warning);
    },
  };
}

const taskTokenRefused = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'task_token_refused',
    'This task token is unknown or has ended, because its attempt is over. Use the token of the running attempt.',
  );
