import { timing, type Profile } from '../../modules/contract.ts';
import { hashDetail, type Approval } from '../approvals/approval.ts';
import { readApproval } from '../approvals/approval-store.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { AskBridge, BridgeAnswer } from '../bridge/call-bridge.ts';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Caller } from '../identity/identity.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { narrow, refusalOf, type WorkLimits } from '../tasks/work-bounds.ts';
import {
  detailOf,
  hashOf,
  mustAllow,
  needsApproval,
  questionIdOf,
  refused,
  titleOf,
  type BridgeCommand,
} from './bridge-command.ts';
import { useApproval } from './bridge-command-store.ts';

export interface SendCommandParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly approvals: Pick<Approvals, 'request'>;
  readonly coder: Pick<Coder, 'readUser'>;
  readonly askBridge: AskBridge;
  readonly workspaceBounds: BoundsReader;
  readonly bounds: WorkLimits;
  readonly clock: Clock;
}

/** Who sends a command where, as they were found to be allowed. */
export interface CommandOrder {
  readonly caller: Pick<Caller, 'actor' | 'commitIdentity'>;
  readonly workspace: CoderWorkspace;
  readonly command: BridgeCommand;
  /** Left out: what the owner chose, else `ask`. */
  readonly profile?: Profile | undefined;
  readonly approvalId?: string | undefined;
  readonly requestId: string;
}

export type CommandEnd = { readonly waitsFor: Approval } | { readonly answer: BridgeAnswer<BridgeCommand['type']> };

/**
 * Sends a command to the bridge of a workspace, or asks first where the profile says so. For the routes, and for
 * whatever else acts in a person's name.
 *
 * Audit   what is about to be asked of the workspace, then how it ended; hashes and paths, never contents.
 * Errors  `unprocessable` for a profile beyond what template and service allow; `conflict` or `forbidden` for an
 *         approval that does not fit; `unavailable` where no bridge answers.
 */
export function makeSendCommand(parts: SendCommandParts): (order: CommandOrder) => Promise<CommandEnd> {
  return async (order) => {
    const { workspace, command, requestId } = order;
    const profile = await profileOf(parts, order);
    if (!needsApproval(command.type, profile)) return deliver(parts, order, { profile });
    if (order.approvalId === undefined) return { waitsFor: await ask(parts, order) };
    const approval = await readApproval(parts.database, order.approvalId);
    const detailHash = hashDetail('command', detailOf(command));
    mustAllow(approval, { workspaceId: workspace.id, detailHash, now: parts.clock.now() });
    await parts.database.transaction(async (tx) => {
      if (!(await useApproval(tx, { approvalId: approval.id, commandId: command.id, now: parts.clock.now() })))
        throw refused.used();
      await audit(parts, tx, order, 'intent', { approval_id: approval.id, request_id: requestId });
    });
    return deliver(parts, order, { profile, approved: true });
  };
}

async function profileOf(parts: SendCommandParts, { caller, workspace, profile: asked, requestId }: CommandOrder) {
  const context = { actor: `user:${caller.actor.id}`, requestId };
  const limits = narrow(parts.bounds, await parts.workspaceBounds.of(workspace, context));
  const profile = asked ?? limits.defaultProfile ?? 'ask';
  // No model takes part.
  const fault = refusalOf({ ...limits, allowedModels: null }, { model: limits.defaultModel, profile });
  if (fault) throw fault;
  return profile;
}

const ask = (parts: SendCommandParts, order: CommandOrder): Promise<Approval> =>
  parts.database.transaction(async (tx) => {
    const { command, workspace, caller } = order;
    const { approval } = await parts.approvals.request(tx, {
      task_id: questionIdOf(workspace.id, command),
      attempt: 1,
      ask: { ask_id: command.type, kind: 'command', title: titleOf(command), detail: detailOf(command) },
      workspaceId: workspace.id,
      ownerId: workspace.ownerId,
      organizationId: workspace.organizationId,
      actor: `user:${caller.actor.id}`,
      forMs: timing.askMs,
    });
    if (approval.detailHash !== hashDetail('command', detailOf(command))) throw refused.differs();
    return approval;
  });

type Grant = { readonly profile: Profile; readonly approved?: true };

async function deliver(parts: SendCommandParts, order: CommandOrder, grant: Grant): Promise<CommandEnd> {
  const { command, workspace } = order;
  const { database } = parts;
  if (!grant.approved)
    await database.transaction((tx) => audit(parts, tx, order, 'intent', { profile: grant.profile }));
  try {
    const payload = { ...command.payload, ...grant, ...(await inWhoseName(parts, order)) };
    const answer = await parts.askBridge(workspace.id, command.type, payload);
    const why = answer.success ? {} : { reason: answer.error.slice(0, 300) };
    const outcome = answer.success ? 'success' : 'failure';
    await database.transaction((tx) => audit(parts, tx, order, outcome, { profile: grant.profile, ...why }));
    return { answer };
  } catch (error) {
    const reason = error instanceof ServiceError ? error.code : 'internal';
    await database.transaction((tx) => audit(parts, tx, order, 'failure', { profile: grant.profile, reason }));
    throw error;
  }
}

/** A commit is the owner's; whoever asked for it is named beside, and its last line leads to the audit. */
async function inWhoseName(parts: SendCommandParts, { command, workspace, caller, requestId }: CommandOrder) {
  if (command.type !== 'gitCommit') return {};
  const trailers = [`Agent-Command: ${command.id}`];
  if (caller.actor.id === workspace.ownerId) return { identity: caller.commitIdentity, trailers };
  const owner = await parts.coder.readUser(workspace.ownerId, { actor: `user:${caller.actor.id}`, requestId });
  if (!owner) throw ownerUnknown();
  const { name, email } = caller.commitIdentity;
  return {
    identity: { name: owner.name || owner.username, email: owner.email },
    trailers: [...trailers, `Co-authored-by: ${name} <${email}>`],
  };
}

function audit(
  parts: Pick<SendCommandParts, 'audit'>,
  tx: Parameters<AuditLog['append']>[0],
  { command, workspace, caller, requestId }: CommandOrder,
  outcome: 'intent' | 'success' | 'failure',
  data: Readonly<Record<string, string>>,
): Promise<unknown> {
  const path = command.payload['path'];
  return parts.audit.append(tx, {
    actor: `user:${caller.actor.id}`,
    action: 'workspace.command',
    target: { type: 'command', id: command.id },
    outcome,
    ownerId: workspace.ownerId,
    organizationId: workspace.organizationId,
    workspaceId: workspace.id,
    requestId,
    data: {
      type: command.type,
      command_hash: hashOf(command),
      ...(typeof path === 'string' ? { path: path.slice(0, 300) } : {}),
      ...data,
    },
  });
}

const ownerUnknown = (): ServiceError =>
  new ServiceError(
    'unavailable',
    'owner_unknown',
    'Coder does not say who owns this workspace, so nothing is committed in their name. Try again, or ask an admin.',
  );
