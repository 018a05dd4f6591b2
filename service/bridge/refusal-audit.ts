import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { BridgeHandlers } from './bridge.ts';

/** A bridge that connects anew to be refused anew leaves no more than one event of a kind in this time. */
const everyMs = 60_000;
/** Workspaces and kinds remembered; beyond them some may be audited twice in a minute. */
const mostRemembered = 10_000;

/** Writes into the audit what bridges were refused, bounded by time. */
export function makeRefusalAudit({
  database,
  audit,
  clock,
}: {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
}): NonNullable<BridgeHandlers['refused']> {
  const last = new Map<string, number>();
  return async (bridge, kind) => {
    const key = `${bridge.workspaceId} ${kind}`;
    const nowMs = clock.now().getTime();
    if (nowMs - (last.get(key) ?? -Infinity) < everyMs) return;
    if (last.size >= mostRemembered) last.clear();
    last.set(key, nowMs);
    await database.transaction((tx) =>
      audit.append(tx, {
        actor: `bridge:${bridge.workspaceId}`,
        action: 'bridge.request_refused',
        target: { type: 'workspace', id: bridge.workspaceId },
        outcome: 'denied',
        ownerId: bridge.ownerId,
        organizationId: bridge.organizationId,
        workspaceId: bridge.workspaceId,
        data: { kind, generation: bridge.generation },
      }),
    );
  };
}
