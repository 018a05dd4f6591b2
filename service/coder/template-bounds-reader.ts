import type { CallContext } from './coder-call.ts';
import type { Coder, CoderWorkspace } from './coder.ts';
import { readBounds, type WorkspaceBounds } from './template-bounds.ts';

export interface BoundsReader {
  /** Bounds of the workspace's latest build, from the version it was built with. Throws what Coder's calls throw. */
  of(
    workspace: Pick<CoderWorkspace, 'buildId' | 'templateVersionId' | 'organizationId'>,
    context: CallContext,
  ): Promise<WorkspaceBounds>;
}

/** Entries kept of each kind; an entry is a few hundred bytes. */
const mostRemembered = 2_000;

/** Asks Coder once per version and once per build: neither changes after it was made. */
export function makeBoundsReader(
  coder: Pick<Coder, 'templateVariables' | 'buildParameters'>,
  agentsOff: (organizationId: string) => readonly string[] = () => [],
): BoundsReader {
  const variables = remember(coder.templateVariables);
  const parameters = remember(coder.buildParameters);
  return {
    async of({ buildId, templateVersionId, organizationId }, context) {
      const bounds = readBounds(await variables(templateVersionId, context), await parameters(buildId, context));
      return { ...bounds, agentsOff: agentsOff(organizationId) };
    },
  };
}

type Ask = (id: string, context: CallContext) => Promise<ReadonlyMap<string, string>>;

function remember(ask: Ask): Ask {
  const known = new Map<string, ReadonlyMap<string, string>>();
  return async (id, context) => {
    const found = known.get(id) ?? (await ask(id, context));
    if (known.size >= mostRemembered) known.clear();
    known.set(id, found);
    return found;
  };
}
