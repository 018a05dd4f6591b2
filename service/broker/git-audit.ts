import type { AuditLog } from '../audit/audit-log.ts';
import type { AuditOutcome } from '../audit/audit-event.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { RefCommand } from './push-request.ts';
import { nameOf, type Repository } from './repository.ts';

/** One fact about a task's use of git. */
export interface GitFact {
  readonly action: 'git.opened' | 'git.pushed';
  readonly outcome: AuditOutcome;
  readonly repository: Repository;
  /** Its name, never its value; null where none was found. */
  readonly credential: string | null;
  readonly service?: string;
  readonly commands?: readonly RefCommand[];
  /** Why not, as a code or in a forge's own words. */
  readonly reason?: string;
}

export type RecordGit = (identity: TaskIdentity, requestId: string, fact: GitFact) => Promise<void>;

const longestReason = 500;

/** Writes facts to the audit: whose credential served which task for what, and each push with its object ids. */
export function makeRecordGit({ database, audit }: { database: Database; audit: Pick<AuditLog, 'append'> }): RecordGit {
  return (identity, requestId, { action, outcome, repository, credential, service, commands, reason }) =>
    database.transaction(async (tx) => {
      await audit.append(tx, {
        actor: `bridge:${identity.workspaceId}`,
        action,
        target: { type: 'repository', id: nameOf(repository) },
        outcome,
        ownerId: identity.ownerId,
        organizationId: identity.organizationId,
        workspaceId: identity.workspaceId,
        requestId,
        data: {
          task_id: identity.taskId,
          attempt: identity.attempt,
          credential,
          ...(service === undefined ? {} : { service }),
          ...(commands === undefined ? {} : { refs: commands.map(sentence).join('; ') }),
          ...(reason === undefined ? {} : { reason: reason.slice(0, longestReason) }),
        },
      });
    });
}

const sentence = ({ old, new: next, ref }: RefCommand): string => `${ref} ${old}..${next}`;

/** True for a key that it has not been asked for within a minute. */
export type Seldom = (key: string) => boolean;

const seldomMs = 60_000;
const mostRemembered = 10_000;

export function makeSeldom(clock: Clock): Seldom {
  const known = new Map<string, number>();
  return (key) => {
    const now = clock.now().getTime();
    if (known.size > mostRemembered) for (const [old, at] of known) if (now - at >= seldomMs) known.delete(old);
    if (now - (known.get(key) ?? -Infinity) < seldomMs) return false;
    known.set(key, now);
    return true;
  };
}
