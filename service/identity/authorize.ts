import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import type { Caller } from './identity.ts';

/**
 * What a caller needs in Coder to give work to a workspace, watch it and decide for it: the right to run
 * commands there. Asked with the caller's own token, so Coder's roles and scopes hold as they are.
 */
const rightToUse = 'ssh';

export interface Authorize {
  /** Throws `not_found` unless the caller owns the thing or may use its workspace. */
  use(caller: Caller, thing: { what: string; ownerId: string; workspaceId: string }, requestId: string): Promise<void>;
  /** Like `use`, but owning the thing is not enough: what follows runs in the workspace, so Coder must allow it now. */
  act(caller: Caller, thing: { what: string; workspaceId: string }, requestId: string): Promise<void>;
  /** The workspace a reference means: UUID, `owner/name`, name, or the caller's only running one. */
  workspace(caller: Caller, reference: string | undefined, requestId: string): Promise<CoderWorkspace>;
  /** Whether the caller may update templates of an organization. */
  templates(caller: Caller, organizationId: string, requestId: string): Promise<boolean>;
  /** Whether the caller administers an organization: decides over what belongs to all of its members. */
  organization(caller: Caller, organizationId: string, requestId: string): Promise<boolean>;
}

export function makeAuthorize(
  coder: Pick<
    Coder,
    'may' | 'mayUpdateTemplates' | 'mayAdministerOrganization' | 'findWorkspace' | 'listOwnWorkspaces'
  >,
): Authorize {
  async function mayUse(caller: Caller, workspaceId: string, requestId: string): Promise<boolean> {
    const context = { actor: `user:${caller.actor.id}`, requestId };
    return (await coder.may(caller.token, workspaceId, [rightToUse], context))[rightToUse] === true;
  }

  async function onlyRunning(caller: Caller, requestId: string): Promise<CoderWorkspace> {
    const context = { actor: `user:${caller.actor.id}`, requestId };
    const running = (await coder.listOwnWorkspaces(caller.token, context)).filter((one) => one.status === 'running');
    const [first, second] = running;
    if (first && !second) return first;
    throw new ServiceError(
      'unprocessable',
      'workspace_ambiguous',
      running.length === 0
        ? 'No workspace of yours is running. Start one in Coder, or name one with workspace_id.'
        : `Several workspaces of yours are running: ${running.map((one) => one.name).join(', ')}. Name one with workspace_id.`,
    );
  }

  return {
    async use(caller, thing, requestId) {
      if (thing.ownerId === caller.actor.id) return;
      if (!(await mayUse(caller, thing.workspaceId, requestId))) throw notFound(thing.what);
    },
    async act(caller, thing, requestId) {
      if (!(await mayUse(caller, thing.workspaceId, requestId))) throw notFound(thing.what);
    },
    async workspace(caller, reference, requestId) {
      if (reference === undefined) return onlyRunning(caller, requestId);
      const context = { actor: `user:${caller.actor.id}`, requestId };
      const workspace = await coder.findWorkspace(caller.token, reference, context);
      if (!(await mayUse(caller, workspace.id, requestId))) throw notFound(`Workspace '${reference}'`);
      return workspace;
    },
    templates: (caller, organizationId, requestId) =>
      coder.mayUpdateTemplates(caller.token, organizationId, { actor: `user:${caller.actor.id}`, requestId }),
    organization: (caller, organizationId, requestId) =>
      coder.mayAdministerOrganization(caller.token, organizationId, { actor: `user:${caller.actor.id}`, requestId }),
  };
}
