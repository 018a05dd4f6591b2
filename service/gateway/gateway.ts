import { tokenPrefix } from '../../modules/contract.ts';
import { mintToken, hashToken, systemRandomness, type Clock, type Randomness } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { makeCallModel } from './call-model.ts';
import { makeComplete, type Complete } from './complete.ts';
import { gatewayRoutes, type RawRoute } from './gateway-routes.ts';
import {
  findToken,
  hasReachedCallLimit,
  insertToken,
  markLostCalls,
  revokeTokens,
  sumTokensAfterRevoke,
  sumUsage,
  type GatewayTables,
  type GatewayUsage,
  type TaskIdentity,
} from './gateway-store.ts';
import { makeModelCatalog } from './models.ts';
import { makeOpenCalls } from './open-calls.ts';
import type { PriceTable } from './prices.ts';
import { wantsKey } from './provider-keys.ts';
import { bodyLimitBytes } from './request-body.ts';
import { makeUpstream, type UpstreamFetch } from './upstream.ts';

export type { GatewayUsage, TaskIdentity } from './gateway-store.ts';

/** The room of model calls: who may make them, to which model, and what they cost. */
export interface Gateway {
  readonly routes: readonly RawRoute[];
  /** Errors: `unauthenticated` for an unknown, ended or revoked token. */
  authenticate(token: string): Promise<TaskIdentity>;
  /** A model call of the service itself, on behalf of `identity`. Errors: `ModelFault`. */
  readonly complete: Complete;
  /** Whether a model call can be made for an organization: the upstream takes no key, or there is one. */
  hasModel(organizationId: string): Promise<boolean>;
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
  /** Whether the attempt was halted by the ceiling of calls (reason `BudgetExceeded`). */
  hasReachedCallLimit(tx: Transaction, taskId: string, attempt: number): Promise<boolean>;
  /** The real name of a model, for submitters. Errors: `unprocessable` that lists what may be named. */
  resolveModel(requested: string | null): string;
  /** Closes the rows of calls whose process died; run at start and now and then. Gives their number. */
  recoverLostCalls(): Promise<number>;
  /** Ends every open call and waits until each is metered. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly database: Database;
  /** `timeoutMs` is the longest silence of the provider, before its answer and within it. */
  readonly upstream: { readonly url: string; readonly apiKey: string | null; readonly timeoutMs: number };
  /** A key that an organization brought for this upstream; null, or left out, means that of `upstream`. */
  readonly providerKey?: (organizationId: string) => Promise<string | null>;
  readonly defaultModel: string;
  /** Null passes any name on. The default model is always allowed. */
  readonly allowedModels: readonly string[] | null;
  readonly prices: PriceTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly randomness?: Randomness;
  readonly fetch?: UpstreamFetch;
  /** Hard brake on a loop. Default 500: twice what a long honest task was seen to need, and still only money, not ruin. */
  readonly maximumCallsPerAttempt?: number;
  /** Longest single call. Default 30 min: a stream that drips for ever is no answer. */
  readonly callMs?: number;
  /** Backstop for a token nobody revoked. Default 24 h, the longest life of an approval. */
  readonly tokenMs?: number;
}

export function makeGateway(options: GatewayOptions): Gateway {
  const { database, clock, log } = options;
  const tables = database.as<GatewayTables>();
  const models = makeModelCatalog(options);
  const openCalls = makeOpenCalls();
  const upstream = makeUpstream({ ...options.upstream, ...(options.fetch ? { fetch: options.fetch } : {}) });
  const callMs = options.callMs ?? 30 * 60_000;
  const callParts = {
    database,
    upstream,
    providerKey: options.providerKey ?? (() => Promise.resolve(null)),
    models,
    prices: options.prices,
    openCalls,
    clock,
    log,
    silenceMs: options.upstream.timeoutMs,
    callMs,
    maximumCalls: options.maximumCallsPerAttempt ?? 500,
    bodyLimitBytes,
  };
  return {
    routes: gatewayRoutes({ callModel: makeCallModel(callParts), models }),
    complete: makeComplete(callParts),
    hasModel: async (organizationId) =>
      options.upstream.apiKey !== null ||
      !wantsKey(options.upstream.url) ||
      (await callParts.providerKey(organizationId)) !== null,
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
    usageOf: (tx, taskId) => sumUsage(tx.as<GatewayTables>(), taskId),
    tokensAfterRevoke: (tx, taskId) => sumTokensAfterRevoke(tx.as<GatewayTables>(), taskId),
    hasReachedCallLimit: (tx, taskId, attempt) => hasReachedCallLimit(tx.as<GatewayTables>(), taskId, attempt),
    resolveModel: (requested) => models.resolve(requested),
    recoverLostCalls: () => markLostCalls(tables, new Date(clock.now().getTime() - callMs - 60_000), clock.now()),
    async close() {
      openCalls.abortAll();
      await openCalls.drained();
      await upstream.close();
    },
  };
}

const taskTokenRefused = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'task_token_refused',
    'This task token is unknown or has ended, because its attempt is over. Use the token of the running attempt.',
  );
