import type { Profile } from '../../modules/contract.ts';
import type { Action } from '../agents/action.ts';
import { serviceAgents } from '../agents/actions.ts';
import { ServiceError } from '../platform/errors.ts';

/**
 * Throws `unprocessable` for what an agent of the service does not do: nobody is asked while it works, and there is no
 * repository to verify.
 *
 * A profile that nobody named is judged when the work begins, because a workflow may be stored with its defaults.
 */
export function checkWorkHere(
  agent: string,
  action: Action,
  given: { readonly profile?: Profile | undefined; readonly verify?: unknown },
): void {
  if (action.command) return checkCommand(agent, action, given);
  if (!serviceAgents.includes(agent)) return;
  const { profile, verify } = given;
  if (verify !== undefined) throw nothingToVerify(agent);
  const why = profile === undefined ? null : profileRefusal(action, profile);
  if (why !== null) throw new ServiceError('unprocessable', 'profile_not_enough', why);
}

/** A command is its own check, and where nothing may run it may not either. */
function checkCommand(
  agent: string,
  { name }: Action,
  { profile, verify }: { readonly profile?: Profile | undefined; readonly verify?: unknown },
): void {
  if (verify !== undefined)
    throw new ServiceError(
      'unprocessable',
      'verify_not_here',
      `Agent '${agent}' runs a command and ends with it, so there is nothing else to verify. Leave verify out.`,
    );
  if (profile === 'read-only')
    throw new ServiceError(
      'unprocessable',
      'profile_not_enough',
      `Action '${name}' runs a command of the repository, and profile 'read-only' runs none. Submit it with 'ask' or 'trusted'.`,
    );
}

/** Why an action must not run with this profile; null where it may. */
export const profileRefusal = ({ name, changes }: Pick<Action, 'name' | 'changes'>, profile: Profile): string | null =>
  changes === true && profile !== 'trusted'
    ? `Action '${name}' changes things outside the workspace, and nobody is asked before it does. It runs with profile 'trusted' only, and this task has '${profile}'. Submit it with profile 'trusted', where the template and the service allow that.`
    : null;

const nothingToVerify = (agent: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'verify_not_here',
    `Agent '${agent}' works outside the workspace, so no verify command can run. Leave verify out, or let a step of agent 'opencode' verify.`,
  );
