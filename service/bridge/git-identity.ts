import { tokenPrefix } from '../../modules/contract.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import { hashToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { longestCallMs } from './call-bridge.ts';
import { bridgeByToken, openCommand } from './bridge-store.ts';

/**
 * Whom a token speaks for at the git proxy: the running task of a task token, or, of a bridge's own token, the push
 * that somebody asked the bridge for and waits for right now.
 *
 * Safety  a bridge's token alone reaches no repository, and no other route takes it.
 */
export function makeGitIdentity(parts: {
  readonly database: Database;
  readonly clock: Clock;
  readonly ofTask: (token: string) => Promise<TaskIdentity>;
}): (token: string) => Promise<TaskIdentity> {
  const { database, clock, ofTask } = parts;
  return async (token) => {
    if (!token.startsWith(tokenPrefix.bridge)) return ofTask(token);
    const bridge = await bridgeByToken(database, hashToken(token), clock.now());
    const since = new Date(clock.now().getTime() - longestCallMs);
    const push = bridge && (await openCommand(database, bridge.workspaceId, 'gitPush', since));
    if (!push) throw noPush();
    const { workspaceId, ownerId, organizationId } = bridge;
    return { taskId: push, attempt: 1, workspaceId, ownerId, organizationId, model: '' };
  };
}

const noPush = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'no_push_asked',
    "Nobody waits for a push of this workspace, so its bridge's own token opens no repository.",
  );
