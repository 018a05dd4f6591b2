import type {
  AttemptRef,
  BridgeRequests,
  IdeReport,
  Lease,
  ReplyFrame,
  ServiceRequestType,
} from '../../modules/contract.ts';
import type { Transaction } from '../platform/database.ts';

/**
 * A bridge that proved which workspace it serves.
 *
 * `generation` grows with every registration of a workspace; the newest fences all older ones.
 */
export interface BridgeIdentity {
  readonly workspaceId: string;
  readonly generation: number;
  readonly ownerId: string;
  readonly organizationId: string;
}

/** A command that waits in `bridge_frame` until the bridge has answered it. */
export interface StoredFrame {
  readonly id: number;
  readonly frameId: string;
  readonly type: ServiceRequestType;
  readonly payload: unknown;
}

/** How a bridge can do what it may not: by the frame itself, by what is in it, or by whose it is. */
export const refusalKinds = ['no_frame', 'no_utf8', 'too_large', 'unknown_type', 'bad_request', 'not_allowed'] as const;
export type RefusalKind = (typeof refusalKinds)[number];

/**
 * What later rooms do with a bridge's frames; `server.ts` joins them.
 *
 * Every handler is idempotent: a bridge sends again whatever was not answered.
 */
export interface BridgeHandlers {
  claim(bridge: BridgeIdentity, request: BridgeRequests['lease']['payload']): Promise<Lease | null>;
  /** Renews the leases of `holding` and answers those that are no longer the bridge's. */
  heartbeat(bridge: BridgeIdentity, holding: readonly AttemptRef[]): Promise<readonly AttemptRef[]>;
  event(bridge: BridgeIdentity, payload: BridgeRequests['event']['payload']): Promise<BridgeRequests['event']['data']>;
  ask(bridge: BridgeIdentity, payload: BridgeRequests['ask']['payload']): Promise<BridgeRequests['ask']['data']>;
  artifact(
    bridge: BridgeIdentity,
    payload: BridgeRequests['artifact']['payload'],
  ): Promise<BridgeRequests['artifact']['data']>;
  result(
    bridge: BridgeIdentity,
    payload: BridgeRequests['result']['payload'],
  ): Promise<BridgeRequests['result']['data']>;
  /** Hears that a bridge was refused, once for each connection and kind. */
  refused?(bridge: BridgeIdentity, kind: RefusalKind): Promise<void>;
  /** Takes what each heartbeat says of the IDE. */
  ide?(bridge: BridgeIdentity, report: IdeReport): Promise<void>;
  /** Runs in the transaction that marks the frame as answered. */
  answered(tx: Transaction, bridge: BridgeIdentity, frame: StoredFrame, reply: ReplyFrame): Promise<void>;
}

/** Channel on which a workspace id says: look for frames, work, or a newer registration. */
export const bridgeChannel = 'outrigger_bridge';
