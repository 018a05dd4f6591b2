import { sql } from 'kysely';
import type { EgressBlocked } from '../../modules/contract.ts';
import type { Transaction } from '../platform/database.ts';

/** Inside a transaction or outside of one. */
type Queries = Pick<Transaction, 'as'>;

export interface EgressRule {
  readonly id: string;
  readonly organization_id: string;
  /** Null: every workspace of the organization. */
  readonly workspace_id: string | null;
  readonly host: string;
  /** Versions of the list in which it began and ended. */
  readonly added_in: number;
  readonly removed_in: number | null;
  readonly created_by: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
}

export const requestStates = ['waiting', 'approved', 'denied'] as const;

export interface EgressRequest {
  readonly id: string;
  readonly organization_id: string;
  readonly workspace_id: string;
  readonly host: string;
  readonly why: string;
  readonly state: (typeof requestStates)[number];
  readonly asked_by: string;
  readonly asked_at: Date;
  readonly decided_by: string | null;
  readonly decided_at: Date | null;
  readonly rule_id: string | null;
}

export interface BlockedHost {
  readonly host: string;
  readonly port: number;
  readonly reason: string;
  readonly count: number;
  readonly first_at: Date;
  readonly last_at: Date;
}

export interface EgressTables {
  egress_list: { organization_id: string; version: number };
  egress_rule: EgressRule;
  egress_request: EgressRequest;
  egress_blocked: BlockedHost & { readonly workspace_id: string };
}

/** Different places that are remembered of one workspace; the oldest go first. */
export const mostBlocked = 500;

/** The number of the next version of an organization's list; holds back other changes of it until the end. */
export async function nextVersion(tx: Transaction, organizationId: string): Promise<number> {
  const row = await tx
    .as<EgressTables>()
    .insertInto('egress_list')
    .values({ organization_id: organizationId, version: 1 })
    .onConflict((same) => same.column('organization_id').doUpdateSet({ version: sql`egress_list.version + 1` }))
    .returning('version')
    .executeTakeFirstOrThrow();
  return row.version;
}

export async function versionOf(queries: Queries, organizationId: string): Promise<number> {
  const row = await queries
    .as<EgressTables>()
    .selectFrom('egress_list')
    .select('version')
    .where('organization_id', '=', organizationId)
    .executeTakeFirst();
  return row?.version ?? 0;
}

export const addRule = async (tx: Transaction, rule: EgressRule): Promise<void> =>
  void (await tx.as<EgressTables>().insertInto('egress_rule').values(rule).execute());

/** Rules that hold now, oldest first. */
export async function rulesOf(queries: Queries, organizationId: string, now: Date): Promise<EgressRule[]> {
  return await queries
    .as<EgressTables>()
    .selectFrom('egress_rule')
    .selectAll()
    .where('organization_id', '=', organizationId)
    .where('removed_in', 'is', null)
    .where((is) => is.or([is('expires_at', 'is', null), is('expires_at', '>', now)]))
    .orderBy('id')
    .execute();
}

/** Whether there was such a rule to remove. */
export async function removeRule(
  tx: Transaction,
  organizationId: string,
  id: string,
  version: number,
): Promise<EgressRule | undefined> {
  return await tx
    .as<EgressTables>()
    .updateTable('egress_rule')
    .set({ removed_in: version })
    .where('organization_id', '=', organizationId)
    .where('id', '=', id)
    .where('removed_in', 'is', null)
    .returningAll()
    .executeTakeFirst();
}

/** Counts what a proxy refused; answers the places that are new. */
export async function countBlocked(
  tx: Transaction,
  workspaceId: string,
  blocked: readonly EgressBlocked[],
  now: Date,
): Promise<EgressBlocked[]> {
  const fresh: EgressBlocked[] = [];
  for (const { host, port, reason, count } of blocked) {
    const row = await tx
      .as<EgressTables>()
      .insertInto('egress_blocked')
      .values({ workspace_id: workspaceId, host, port, reason, count, first_at: now, last_at: now })
      .onConflict((same) =>
        same
          .columns(['workspace_id', 'host', 'port', 'reason'])
          .doUpdateSet({ count: sql`egress_blocked.count + excluded.count`, last_at: now }),
      )
      .returning('count')
      .executeTakeFirstOrThrow();
    if (row.count === count) fresh.push({ host, port, reason, count });
  }
  if (fresh.length > 0) await forgetOldest(tx, workspaceId);
  return fresh;
}

async function forgetOldest(tx: Transaction, workspaceId: string): Promise<void> {
  await sql`delete from outrigger.egress_blocked b using (
      select host, port, reason from outrigger.egress_blocked where workspace_id = ${workspaceId}
      order by last_at desc, host, port, reason offset ${mostBlocked}
    ) old
    where b.workspace_id = ${workspaceId} and (b.host, b.port, b.reason) = (old.host, old.port, old.reason)`.execute(
    tx.as<EgressTables>(),
  );
}

/** What was refused in a workspace, the latest first. */
export async function blockedOf(queries: Queries, workspaceId: string): Promise<BlockedHost[]> {
  return await queries
    .as<EgressTables>()
    .selectFrom('egress_blocked')
    .select(['host', 'port', 'reason', 'count', 'first_at', 'last_at'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('last_at', 'desc')
    .orderBy('host')
    .execute();
}

/** The same host asked for again while it waits is the same request. */
export async function addRequest(tx: Transaction, request: EgressRequest): Promise<EgressRequest> {
  const db = tx.as<EgressTables>();
  await db
    .insertInto('egress_request')
    .values(request)
    .onConflict((same) => same.doNothing())
    .execute();
  return await db
    .selectFrom('egress_request')
    .selectAll()
    .where('workspace_id', '=', request.workspace_id)
    .where('host', '=', request.host)
    .where('state', '=', 'waiting')
    .executeTakeFirstOrThrow();
}

export async function findRequest(tx: Transaction, id: string): Promise<EgressRequest | undefined> {
  return await tx
    .as<EgressTables>()
    .selectFrom('egress_request')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
}

export async function settleRequest(
  tx: Transaction,
  id: string,
  change: Pick<EgressRequest, 'state' | 'decided_by' | 'decided_at' | 'rule_id'>,
): Promise<EgressRequest> {
  return await tx
    .as<EgressTables>()
    .updateTable('egress_request')
    .set(change)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Requests of an organization, or those of one person, newest first. */
export async function listRequests(
  queries: Queries,
  of: { readonly organizationId: string; readonly askedBy?: string; readonly limit: number; readonly cursor?: string },
): Promise<EgressRequest[]> {
  let query = queries
    .as<EgressTables>()
    .selectFrom('egress_request')
    .selectAll()
    .where('organization_id', '=', of.organizationId);
  if (of.askedBy !== undefined) query = query.where('asked_by', '=', of.askedBy);
  if (of.cursor !== undefined) query = query.where('id', '<', of.cursor);
  return await query.orderBy('id', 'desc').limit(of.limit).execute();
}
