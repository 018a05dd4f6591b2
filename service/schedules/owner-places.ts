import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Authorize } from '../identity/authorize.ts';
import type { Caller } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Submitter } from '../tasks/submit-task.ts';
import { narrow, type WorkBounds } from '../tasks/work-bounds.ts';
import type { FindPlace, Place } from '../workflows/submit-workflow.ts';

export interface PlaceParts {
  readonly coder: Pick<Coder, 'readUser' | 'readWorkspace'>;
  readonly authorize: Pick<Authorize, 'workspace'>;
  readonly bounds: WorkBounds;
  readonly workspaceBounds: BoundsReader;
}

/** Where a caller may let work begin later: in workspaces of their own, because nobody can be asked about others then. */
export const placesOfCaller = (parts: PlaceParts, caller: Caller, requestId: string): FindPlace =>
  eachOnce(async (reference) => {
    const workspace = await parts.authorize.workspace(caller, reference, requestId);
    if (workspace.ownerId !== caller.actor.id) throw notOwn(workspace.name);
    return placeIn(parts, workspace, `user:${caller.actor.id}`, requestId);
  });

/**
 * An owner as Coder knows them now, and where work of theirs may begin, asked with the service's own token because
 * nobody is there. Throws `forbidden` (`delegation_missing`) when they may no longer give work to the workspace.
 */
export async function readOwner(
  parts: PlaceParts,
  ownerId: string,
  requestId: string,
): Promise<{ readonly owner: Submitter; readonly placeOf: FindPlace }> {
  const context = { actor: 'service', requestId };
  const user = await parts.coder.readUser(ownerId, context);
  if (!user?.isActive) throw delegationMissing('Its owner is suspended or gone, or the service may not see them');
  const owner = {
    id: user.id,
    name: user.username,
    commitIdentity: { name: user.name || user.username, email: user.email },
  };
  const placeOf = eachOnce(async (reference) => {
    const workspace = isUuid(reference ?? '') ? await parts.coder.readWorkspace(reference ?? '', context) : null;
    if (!workspace || gone.has(workspace.status)) throw workspaceGone(reference);
    if (workspace.ownerId !== user.id)
      throw delegationMissing(`Workspace ${workspace.name} belongs to somebody else now`);
    if (!user.organizationIds.includes(workspace.organizationId))
      throw delegationMissing(`Its owner is no member of ${workspace.organizationName} any more`);
    return placeIn(parts, workspace, 'service', requestId);
  });
  return { owner, placeOf };
}

const gone: ReadonlySet<string> = new Set(['deleting', 'deleted']);

async function placeIn(parts: PlaceParts, workspace: CoderWorkspace, actor: string, requestId: string): Promise<Place> {
  return { workspace, bounds: narrow(parts.bounds, await parts.workspaceBounds.of(workspace, { actor, requestId })) };
}

function eachOnce(find: FindPlace): FindPlace {
  const known = new Map<string | undefined, Promise<Place>>();
  return (reference) => {
    const found = known.get(reference) ?? find(reference);
    known.set(reference, found);
    return found;
  };
}

const notOwn = (name: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'workspace_not_own',
    `Workspace ${name} belongs to somebody else. What begins later runs in workspaces of its owner only; choose one of yours.`,
  );

export const delegationMissing = (why: string): ServiceError =>
  new ServiceError('forbidden', 'delegation_missing', `${why}. Whoever may do this now has to create it anew.`);

const workspaceGone = (reference: string | undefined): ServiceError =>
  new ServiceError(
    'unprocessable',
    'workspace_gone',
    `Workspace ${reference ?? '(none)'} does not exist any more, or is named in a way that only a request can resolve. Name an existing one by its id.`,
  );
