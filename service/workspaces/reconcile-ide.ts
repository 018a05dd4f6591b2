import type { IdeReport } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { BridgeIdentity } from '../bridge/bridge.ts';
import { hasPending, isCurrent, sendToBridge } from '../bridge/bridge-store.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableText } from '../platform/storable.ts';
import { isAstray, isRecreating, nextRepair, type IdeRecord } from './ide.ts';
import { lockIde, readIde, saveRepairs, saveReport, saveWish } from './ide-store.ts';

export interface IdeParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

/**
 * Stores what a person wants, tells the workspace, and writes the audit event, all at once. The same again changes
 * nothing, unless the IDE failed: then it is tried once more.
 */
export async function wishIde(
  tx: Transaction,
  { audit, clock }: IdeParts,
  workspace: Pick<CoderWorkspace, 'id' | 'ownerId' | 'organizationId'>,
  enabled: boolean,
  by: { readonly actorId: string; readonly requestId: string },
): Promise<void> {
  const before = await lockIde(tx, workspace.id);
  const isRetry = enabled && before.wanted === true && before.reported.phase === 'Failed';
  if (before.wanted === enabled && !isRetry) return;
  await saveWish(tx, workspace.id, enabled, clock.now());
  await saveRepairs(tx, workspace.id, 0, nextRepair(0, clock.now()));
  // What is known of the failure is about the wish before.
  if (isRetry) await saveReport(tx, workspace.id, { enabled, phase: null, message: '' }, clock.now());
  await sendToBridge(tx, clock, workspace.id, 'ide', { enabled });
  await audit.append(tx, {
    actor: `user:${by.actorId}`,
    action: enabled ? 'workspace.ide_enabled' : 'workspace.ide_disabled',
    target: { type: 'workspace', id: workspace.id },
    outcome: 'success',
    ownerId: workspace.ownerId,
    organizationId: workspace.organizationId,
    workspaceId: workspace.id,
    requestId: by.requestId,
    data: { before: before.wanted, retry: isRetry },
  });
}

/**
 * Takes what a bridge says of the IDE, and sends the wish again where the workspace lives by another one: after a
 * rebuild, a lost frame or a file that somebody changed. Bridges say it every few seconds, on connecting and at each
 * change, so this is the loop that compares wanted and actual.
 *
 * Safety   a registration that was superseded changes nothing. A report without news writes nothing.
 */
export function makeIdeReports(parts: IdeParts) {
  const { database, clock } = parts;
  return async (bridge: BridgeIdentity, given: IdeReport): Promise<void> => {
    const report: IdeReport = { ...given, message: plainText(given.message) };
    if (!needsAttention(await readIde(database, bridge.workspaceId), report, clock.now())) return;
    await database.transaction(async (tx) => {
      if (!(await isCurrent(tx, bridge, clock.now()))) return;
      const record = await lockIde(tx, bridge.workspaceId);
      // What the bridge says that is being replaced is not about the build to come.
      if (isRecreating(record, bridge.generation, clock.now())) return;
      if (!isSame(record.reported, report)) await saveReport(tx, bridge.workspaceId, report, clock.now());
      await repair(tx, parts, bridge, { ...record, reported: report });
    });
  };
}

const isSame = (one: IdeReport, other: IdeReport): boolean =>
  one.enabled === other.enabled && one.phase === other.phase && one.message === other.message;

const isDue = ({ repairAt }: IdeRecord, now: Date): boolean => repairAt === null || repairAt <= now;

/** False for a report that changes nothing: most of them. */
function needsAttention(known: IdeRecord, report: IdeReport, now: Date): boolean {
  if (!isSame(known.reported, report)) return true;
  return isAstray(known) ? isDue(known, now) : known.repairs > 0;
}

async function repair(tx: Transaction, parts: IdeParts, bridge: BridgeIdentity, record: IdeRecord): Promise<void> {
  const { clock, audit } = parts;
  const { workspaceId, wanted } = record;
  if (wanted === null) return;
  if (!isAstray(record)) return void (record.repairs > 0 && (await saveRepairs(tx, workspaceId, 0, null)));
  // A command that is on its way needs no second one.
  if (!isDue(record, clock.now()) || (await hasPending(tx, workspaceId, 'ide'))) return;
  const repairs = record.repairs + 1;
  await saveRepairs(tx, workspaceId, repairs, nextRepair(repairs, clock.now()));
  await sendToBridge(tx, clock, workspaceId, 'ide', { enabled: wanted });
  await audit.append(tx, {
    actor: 'service',
    action: 'workspace.ide_repaired',
    target: { type: 'workspace', id: workspaceId },
    outcome: 'success',
    ownerId: bridge.ownerId,
    organizationId: bridge.organizationId,
    workspaceId,
    data: { wanted, reported: record.reported.enabled, repairs },
  });
}

/** People see it: nothing in it moves a cursor or turns text around. */
const plainText = (text: string): string => storableText(text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim());
