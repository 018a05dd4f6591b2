import { CoderError } from 'coder-sdk-ts';
import type { Caller, Who } from '../coder/caller.ts';
import type { CallContext } from '../coder/coder.ts';
import { ServiceError } from '../platform/errors.ts';

/**
 * Whether a workspace still exists. `missing`: Coder knows no such workspace, and our token may read workspaces.
 * `unknown`: our token may not read workspaces at all, so that nothing follows from its seeing none.
 */
export type Existence = 'there' | 'deleted' | 'missing' | 'unknown';

/** What this room asks of Coder beyond what all rooms do. Throws `ServiceError`. */
export interface CoderBuilds {
  /** Asked with the service's own token. */
  existence(workspaceId: string, context: CallContext): Promise<Existence>;
  /** A new build that starts the workspace with these parameters, with the caller's token; answers its id. */
  rebuild(
    token: string,
    workspaceId: string,
    parameters: Readonly<Record<string, string>>,
    context: CallContext,
  ): Promise<string>;
  /** A new build that deletes the workspace, with the caller's token; answers its id. */
  remove(token: string, workspaceId: string, context: CallContext): Promise<string>;
  /** A new build that stops the workspace, with the service's own token; answers its id. */
  stop(workspaceId: string, context: CallContext): Promise<string>;
}

export function makeCoderBuilds(caller: Caller): CoderBuilds {
  return {
    existence: (workspaceId, context) => existence(caller, workspaceId, context),
    async rebuild(token, workspaceId, parameters, context) {
      const values = Object.entries(parameters).map(([name, value]) => ({ name, value }));
      const build = await caller.change({ token }, context, (client) =>
        client.createBuild(workspaceId, { transition: 'start', rich_parameter_values: values }),
      );
      return build.id;
    },
    async remove(token, workspaceId, context) {
      const build = await caller.change({ token }, context, (client) =>
        client.createBuild(workspaceId, { transition: 'delete' }),
      );
      return build.id;
    },
    async stop(workspaceId, context) {
      const build = await caller.change(service, context, (client) =>
        client.createBuild(workspaceId, { transition: 'stop' }),
      );
      return build.id;
    },
  };
}

const service: Who = 'service';

async function existence(caller: Caller, workspaceId: string, context: CallContext): Promise<Existence> {
  try {
    const { latest_build: build } = await caller.read(service, context, (client) => client.getWorkspace(workspaceId));
    return build.status === 'deleted' ? 'deleted' : 'there';
  } catch (error) {
    if (!(error instanceof ServiceError) || error.kind !== 'not_found') throw error;
    // Coder answers 410 only to those who may read the workspace, and 404 to everybody else as well.
    if (error.cause instanceof CoderError && error.cause.kind === 'gone') return 'deleted';
  }
  const anyWorkspace = { object: { resource_type: 'workspace', any_org: true }, action: 'read' } as const;
  const may = await caller.read(service, context, (client) => client.authCheck({ read: anyWorkspace }));
  return may['read'] === true ? 'missing' : 'unknown';
}
