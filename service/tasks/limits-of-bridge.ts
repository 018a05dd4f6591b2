import type { BridgeIdentity } from '../bridge/bridge.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Coder } from '../coder/coder.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { narrow, type WorkLimits } from './work-bounds.ts';

/** Workspaces whose limits are kept; each is a handful of words. */
const mostRemembered = 10_000;

/**
 * Answers what may run in the workspace of a bridge; Coder is asked once per registration.
 *
 * A registration belongs to one build, because its proof dies with that build, and what a build was made of does
 * not change. A newer build registers anew and is asked about anew.
 */
export function makeLimitsOfBridge(parts: {
  readonly coder: Pick<Coder, 'readWorkspace'>;
  readonly workspaceBounds: BoundsReader;
  readonly bounds: WorkLimits;
}): (bridge: BridgeIdentity) => Promise<WorkLimits> {
  const known = new Map<string, { readonly generation: number; readonly limits: WorkLimits }>();
  return async ({ workspaceId, generation }) => {
    const found = known.get(workspaceId);
    if (found?.generation === generation) return found.limits;
    const context = { actor: 'service', requestId: null };
    const workspace = await parts.coder.readWorkspace(workspaceId, context);
    if (!workspace) throw notFound(`Workspace ${workspaceId}`);
    // While a build is under way the bridge may still be the one of the build before it.
    if (workspace.transition !== 'start' || workspace.jobStatus !== 'succeeded') throw isBuilding(workspace.name);
    const limits = narrow(parts.bounds, await parts.workspaceBounds.of(workspace, context));
    if (known.size >= mostRemembered) known.clear();
    known.set(workspaceId, { generation, limits });
    return limits;
  };
}

const isBuilding = (name: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'workspace_building',
    `Workspace ${name} is being built, so no task starts in it. Wait until Coder has finished.`,
  );
