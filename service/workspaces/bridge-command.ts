import { z } from 'zod';
import { profiles, readingTools, toolTypes, type Profile, type ToolType } from '../../modules/contract.ts';
import type { Approval } from '../approvals/approval.ts';
import { canonicalHash } from '../platform/canonical.ts';
import { ServiceError } from '../platform/errors.ts';
import { isStorable } from '../platform/storable.ts';

/** The envelope that a caller sends, with whose workspace is meant and what the caller was allowed. */
export const commandBody = z.strictObject({
  id: z.uuid().optional().meta({ description: 'Comes back with the answer. Left out, one is made.' }),
  type: z
    .string()
    .min(1)
    .max(100)
    .meta({ description: `One of ${toolTypes.join(', ')}.` }),
  payload: z
    .record(z.string().max(100), z.unknown())
    .refine(isStorable, 'Text must hold no null character and no half of a character: send bytes as base64')
    .default({}),
  workspace_id: z.string().min(1).max(200).optional(),
  profile: z.enum(profiles).optional(),
  approval_id: z.uuid().optional().meta({ description: 'An approval of exactly this command, for one use.' }),
});
export type CommandBody = z.output<typeof commandBody>;

export const commandAnswer = z.union([
  z.strictObject({ id: z.uuid(), success: z.literal(true), data: z.unknown().optional() }),
  z.strictObject({ id: z.uuid(), success: z.literal(false), error: z.string() }),
]);

export const commandWaits = z.strictObject({
  id: z.uuid(),
  approval_id: z.uuid(),
  state: z.literal('pending'),
  expires_at: z.iso.datetime(),
});

/** What somebody asks of the bridge of a workspace, before it is judged. */
export interface BridgeCommand {
  readonly id: string;
  readonly type: ToolType;
  readonly payload: Readonly<Record<string, unknown>>;
}

export const isTool = (type: string): type is ToolType => (toolTypes as readonly string[]).includes(type);

/** Only the service says these; a caller's own are dropped. */
const ownWords: ReadonlySet<string> = new Set(['profile', 'approved', 'identity', 'trailers']);

export const withoutOwnWords = (payload: CommandBody['payload']): BridgeCommand['payload'] =>
  Object.fromEntries(Object.entries(payload).filter(([key]) => !ownWords.has(key)));

export const needsApproval = (type: ToolType, profile: Profile): boolean =>
  profile === 'ask' && !readingTools.includes(type);

/** What an approval of a command binds: its type and every word of it. */
export const detailOf = ({ type, payload }: BridgeCommand) => ({ type, payload });

/** Ties audit, approval and command together without repeating what is in it. */
export const hashOf = (command: BridgeCommand): string => canonicalHash(detailOf(command));

/**
 * Under which id the approval of a command is kept: the service's own, so that no caller can put a question among those
 * of somebody's task by naming that as the id of a command. The same command again is the same question.
 */
export function questionIdOf(workspaceId: string, { id }: BridgeCommand): string {
  const hex = canonicalHash(['command', workspaceId, id]);
  // Version 8 of RFC 9562: made by our own rule.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** For the person who decides. */
export function titleOf({ type, payload }: BridgeCommand): string {
  const about = payload['command'] ?? payload['path'] ?? payload['message'] ?? payload['branch'];
  return typeof about === 'string' ? `${type}: ${about.slice(0, 500)}` : type;
}

/** An approval is for what happens now, not for another day. */
const usableMs = 3_600_000;

/** Throws unless this approval allows this command in this workspace now. */
export function mustAllow(
  approval: Approval | null,
  asked: { readonly workspaceId: string; readonly detailHash: string; readonly now: Date },
): asserts approval is Approval {
  if (approval?.kind !== 'command' || approval.workspaceId !== asked.workspaceId) throw refused.unknown();
  if (approval.detailHash !== asked.detailHash) throw refused.differs();
  if (approval.state === 'pending') throw refused.waits();
  if (approval.decision !== 'once') throw refused.rejected();
  if (asked.now.getTime() - (approval.settledAt?.getTime() ?? 0) > usableMs) throw refused.old();
}

export const refused = {
  unknown: () =>
    new ServiceError(
      'not_found',
      'not_found',
      'This approval does not exist, or it is of no command of this workspace.',
    ),
  differs: () =>
    new ServiceError(
      'conflict',
      'approval_differs',
      'This approval is of another command. What was approved runs as it was shown, or not at all: ask again.',
    ),
  waits: () =>
    new ServiceError('conflict', 'approval_pending', 'Nobody has decided about this command yet. Send it again then.'),
  rejected: () =>
    new ServiceError('forbidden', 'approval_rejected', 'This command was rejected, or nobody decided in time.'),
  old: () =>
    new ServiceError('conflict', 'approval_old', 'This command was approved more than an hour ago. Ask for it again.'),
  used: () =>
    new ServiceError('conflict', 'approval_used', 'This approval was used. It is for one use; ask for another one.'),
};
