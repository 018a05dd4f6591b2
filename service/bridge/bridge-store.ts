import type { RegisterRequest, ReplyFrame, ServiceRequests, ServiceRequestType } from '../../modules/contract.ts';
import { notify, type Database, type Transaction } from '../platform/database.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import { storableJson } from '../platform/storable.ts';
import { bridgeChannel, type BridgeIdentity, type StoredFrame } from './bridge.ts';
import { forgetHarnessParts } from './harness-parts-store.ts';

interface Tables {
  bridge: {
    workspace_id: string;
    generation: number;
    workspace_agent_id: string;
    owner_id: string;
    organization_id: string;
    harness_version: string;
    protocol_version: number;
    capabilities: string;
    token_hash: Buffer;
    token_expires_at: Date;
    registered_at: Date;
    last_seen_at: Date;
    connected: boolean;
  };
  bridge_frame: {
    id: number;
    frame_id: string;
    workspace_id: string;
    type: string;
    payload: string;
    created_at: Date;
    acked_at: Date | null;
    reply: unknown;
  };
}

/** Channel on which the id of a command says that its reply is stored. */
export const replyChannel = 'outrigger_bridge_reply';

/**
 * Stores the newest registration of a workspace. `superseded` is true when an older bridge was still connected, and
 * `isSameBuild` when that one had registered for the same build: nobody expects two.
 */
export async function saveRegistration(
  tx: Transaction,
  now: Date,
  registration: {
    request: RegisterRequest;
    ownerId: string;
    organizationId: string;
    tokenHash: Buffer;
    tokenExpiresAt: Date;
  },
): Promise<{ generation: number; superseded: boolean; isSameBuild: boolean }> {
  const { request, ownerId, organizationId, tokenHash, tokenExpiresAt } = registration;
  const table = tx.as<Tables>();
  const before = await table
    .selectFrom('bridge')
    .select(['generation', 'connected', 'workspace_agent_id'])
    .where('workspace_id', '=', request.workspace_id)
    .forUpdate()
    .executeTakeFirst();
  const row = {
    generation: (before?.generation ?? 0) + 1,
    workspace_agent_id: request.agent_id,
    owner_id: ownerId,
    organization_id: organizationId,
    harness_version: request.version,
    protocol_version: request.protocol_version,
    capabilities: JSON.stringify(request.capabilities),
    token_hash: tokenHash,
    token_expires_at: tokenExpiresAt,
    registered_at: now,
    last_seen_at: now,
    connected: false,
  };
  const saved = await table
    .insertInto('bridge')
    .values({ workspace_id: request.workspace_id, ...row })
    .onConflict((conflict) =>
      conflict.column('workspace_id').doUpdateSet({ ...row, generation: (eb) => eb('bridge.generation', '+', 1) }),
    )
    .returning('generation')
    .executeTakeFirstOrThrow();
  await notify(tx, bridgeChannel, request.workspace_id);
  return {
    generation: saved.generation,
    superseded: before?.connected ?? false,
    isSameBuild: before?.workspace_agent_id === request.agent_id,
  };
}

/** The bridge whose unexpired token this is. */
export async function bridgeByToken(database: Database, tokenHash: Buffer, now: Date): Promise<BridgeIdentity | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('bridge')
    .select(['workspace_id', 'generation', 'owner_id', 'organization_id'])
    .where('token_hash', '=', tokenHash)
    .where('token_expires_at', '>', now)
    .executeTakeFirst();
  return row
    ? {
        workspaceId: row.workspace_id,
        generation: row.generation,
        ownerId: row.owner_id,
        organizationId: row.organization_id,
      }
    : null;
}

/** Notes that the bridge is there. Answers when its token ends, or null when a newer registration fenced it. */
export async function touch(
  tx: Transaction,
  bridge: BridgeIdentity,
  values: { connected: boolean; now: Date },
): Promise<{ tokenExpiresAt: Date } | null> {
  const row = await tx
    .as<Tables>()
    .updateTable('bridge')
    .set({ connected: values.connected, last_seen_at: values.now })
    .where('workspace_id', '=', bridge.workspaceId)
    .where('generation', '=', bridge.generation)
    .returning('token_expires_at')
    .executeTakeFirst();
  return row ? { tokenExpiresAt: row.token_expires_at } : null;
}

export async function replaceToken(
  tx: Transaction,
  bridge: BridgeIdentity,
  token: { hash: Buffer; expiresAt: Date },
): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('bridge')
    .set({ token_hash: token.hash, token_expires_at: token.expiresAt })
    .where('workspace_id', '=', bridge.workspaceId)
    .where('generation', '=', bridge.generation)
    .execute();
}

/** The generation that counts now, or null when the workspace never registered. */
export async function currentGeneration(database: Database, workspaceId: string): Promise<number | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('bridge')
    .select('generation')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  return row?.generation ?? null;
}

/** Sends a command to the bridge of a workspace: kept until answered, sent again after a reconnection. */
export async function sendToBridge<Type extends ServiceRequestType>(
  tx: Transaction,
  clock: Clock,
  workspaceId: string,
  type: Type,
  payload: ServiceRequests[Type]['payload'],
): Promise<string> {
  const frameId = uuidv7(clock);
  await tx
    .as<Tables>()
    .insertInto('bridge_frame')
    .values({
      frame_id: frameId,
      workspace_id: workspaceId,
      type,
      payload: JSON.stringify(payload),
      created_at: clock.now(),
    } as never)
    .execute();
  await notify(tx, bridgeChannel, workspaceId);
  return frameId;
}

/** The reply to a command: null while there is none, and undefined where the command itself is gone. */
export async function readReply(database: Database, frameId: string): Promise<ReplyFrame | null | undefined> {
  const row = await database
    .as<Tables>()
    .selectFrom('bridge_frame')
    .select('reply')
    .where('frame_id', '=', frameId)
    .executeTakeFirst();
  return row && (row.reply as ReplyFrame | null);
}

/** Forgets a command with its reply; one that was not sent yet never is. */
export async function forgetFrame(database: Database, frameId: string): Promise<void> {
  await database.as<Tables>().deleteFrom('bridge_frame').where('frame_id', '=', frameId).execute();
}

/** Tells the bridge of a workspace that an attempt may be waiting. */
export const wakeBridge = (tx: Transaction, workspaceId: string): Promise<void> =>
  notify(tx, bridgeChannel, workspaceId);

/**
 * Unanswered commands of a workspace but those of `except`, oldest first.
 *
 * Safety  ids are drawn before commit, so that a lower one may show up later: no high-water mark can stand for `except`.
 *         Calls from before `calls.since` are left out: nobody waits for them any more, and they must not be done later.
 *         One of `calls.once` from before the bridge registered is, too: the process before it may have done it.
 */
export async function pendingFrames(
  database: Database,
  workspaceId: string,
  except: readonly string[],
  calls: { readonly types: readonly string[]; readonly since: Date; readonly once: readonly string[] },
): Promise<readonly StoredFrame[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('bridge_frame')
    .select(['id', 'frame_id', 'type', 'payload'])
    .where('workspace_id', '=', workspaceId)
    .where('acked_at', 'is', null)
    .where((where) => where.not(where('frame_id', '=', where.fn.any(where.val([...except])))))
    .where((where) =>
      where.or([
        where.not(where('type', '=', where.fn.any(where.val([...calls.types])))),
        where('created_at', '>', calls.since),
      ]),
    )
    .where((where) =>
      where.or([
        where.not(where('type', '=', where.fn.any(where.val([...calls.once])))),
        where(
          'created_at',
          '>=',
          where.selectFrom('bridge').select('registered_at').where('bridge.workspace_id', '=', workspaceId),
        ),
      ]),
    )
    .orderBy('id')
    .limit(100)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    frameId: row.frame_id,
    type: row.type as ServiceRequestType,
    payload: row.payload,
  }));
}

/** Whether a command of this type waits for the answer of a workspace. */
export async function hasPending(tx: Transaction, workspaceId: string, type: ServiceRequestType): Promise<boolean> {
  const row = await tx
    .as<Tables>()
    .selectFrom('bridge_frame')
    .select('id')
    .where('workspace_id', '=', workspaceId)
    .where('type', '=', type)
    .where('acked_at', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** The oldest command of this type, sent after `since`, that waits for the answer of a workspace; null where none does. */
export async function openCommand(
  database: Database,
  workspaceId: string,
  type: ServiceRequestType,
  since: Date,
): Promise<string | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('bridge_frame')
    .select('frame_id')
    .where('workspace_id', '=', workspaceId)
    .where('type', '=', type)
    .where('acked_at', 'is', null)
    .where('created_at', '>', since)
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row?.frame_id ?? null;
}

/** What is known of a workspace's bridge; null where none ever registered. */
export async function readPresence(
  database: Database,
  workspaceId: string,
): Promise<{ readonly connected: boolean; readonly harnessVersion: string; readonly lastSeenAt: Date } | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('bridge')
    .select(['connected', 'harness_version', 'last_seen_at'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  return row ? { connected: row.connected, harnessVersion: row.harness_version, lastSeenAt: row.last_seen_at } : null;
}

/** Marks a command as answered; false when it was already. Whoever waits for `reply` is told. */
export async function acknowledge(
  tx: Transaction,
  frameId: string,
  now: Date,
  reply: ReplyFrame | null,
): Promise<boolean> {
  const done = await tx
    .as<Tables>()
    .updateTable('bridge_frame')
    .set({ acked_at: now, ...(reply === null ? {} : { reply: storableJson(reply) }) })
    .where('frame_id', '=', frameId)
    .where('acked_at', 'is', null)
    .executeTakeFirst();
  if (reply !== null) await notify(tx, replyChannel, frameId);
  return done.numUpdatedRows > 0n;
}

/** Forgets answered commands and those whose workspace did not answer for a day. */
export async function forgetOldFrames(tx: Transaction, now: Date): Promise<void> {
  const dayAgo = new Date(now.getTime() - 86_400_000);
  await tx.as<Tables>().deleteFrom('bridge_frame').where('created_at', '<', dayAgo).execute();
}

/** Whom a registration belonged to. */
export interface BridgeOwner {
  readonly ownerId: string;
  readonly organizationId: string;
}

/**
 * Deletes the registration of a workspace with the hash of its token, and the commands that wait for it; a connection
 * that is still open is woken, and finds itself gone.
 *
 * `heard`: its bridge was heard after `since`, and nothing is deleted. Null: no bridge ever registered.
 */
export async function forgetBridge(
  tx: Transaction,
  workspaceId: string,
  since: Date,
): Promise<BridgeOwner | 'heard' | null> {
  const table = tx.as<Tables>();
  const bridge = await table
    .selectFrom('bridge')
    .select(['owner_id', 'organization_id', 'last_seen_at'])
    .where('workspace_id', '=', workspaceId)
    .forUpdate()
    .executeTakeFirst();
  if (bridge !== undefined && bridge.last_seen_at > since) return 'heard';
  await table.deleteFrom('bridge').where('workspace_id', '=', workspaceId).execute();
  await table.deleteFrom('bridge_frame').where('workspace_id', '=', workspaceId).execute();
  await forgetHarnessParts(tx, workspaceId);
  await wakeBridge(tx, workspaceId);
  return bridge === undefined ? null : { ownerId: bridge.owner_id, organizationId: bridge.organization_id };
}

/**
 * Whether the registration still counts, held until the transaction ends: neither fenced by a newer one nor past
 * the end of its token.
 */
export async function isCurrent(tx: Transaction, bridge: BridgeIdentity, now: Date): Promise<boolean> {
  const row = await tx
    .as<Tables>()
    .selectFrom('bridge')
    .select('workspace_id')
    .where('workspace_id', '=', bridge.workspaceId)
    .where('generation', '=', bridge.generation)
    .where('token_expires_at', '>', now)
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}
