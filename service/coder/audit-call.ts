import type { AuditEntry } from '../audit/audit-event.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { isUuid } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { CoderCall } from './coder-call.ts';

/**
 * Writes a call to Coder into the audit: reads buffered, one row each; a call that changes something as an intent
 * before it and an outcome after it, so that a crash between the two shows.
 */
export async function auditCoderCall(audit: AuditLog, database: Database, call: CoderCall): Promise<void> {
  const entry = entryOf(call);
  if (call.phase === 'read') audit.record(entry);
  else await database.transaction((tx) => audit.append(tx, entry));
}

function entryOf(call: CoderCall): AuditEntry {
  const person = /^user:(.+)$/.exec(call.actor)?.[1];
  const workspace = call.pathParameters['workspace'];
  return {
    actor: call.actor,
    action: call.phase === 'read' ? 'coder.read' : 'coder.changed',
    target: { type: 'coder_route', id: `${call.method} ${call.route}` },
    outcome: outcomeOf(call),
    ...(person === undefined ? {} : { ownerId: person }),
    workspaceId: workspace !== undefined && isUuid(workspace) ? workspace : null,
    requestId: call.requestId,
    data: { status: call.status, duration_ms: call.durationMs, error: call.error },
  };
}

function outcomeOf(call: CoderCall): AuditEntry['outcome'] {
  if (call.phase === 'intent') return 'intent';
  if (call.error === null) return 'success';
  return call.status === 401 || call.status === 403 ? 'denied' : 'failure';
}
