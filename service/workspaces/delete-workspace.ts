import { z } from 'zod';
import type { ServiceRequests } from '../../modules/contract.ts';
import type { AuditEntry } from '../audit/audit-event.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { CallBridge } from '../bridge/call-bridge.ts';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf } from '../identity/identity.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import type { CoderBuilds } from './coder-builds.ts';

export interface DeleteWorkspaceParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly authorize: Pick<Authorize, 'workspace'>;
  readonly coder: Pick<Coder, 'may'>;
  readonly builds: Pick<CoderBuilds, 'remove'>;
  readonly callBridge: CallBridge;
}

const query = z.object({ force: z.enum(['true', 'false']).default('false') });
const deleting = z.strictObject({ id: z.uuid(), build_id: z.uuid() });

/** Deletes a workspace through Coder, unless work would be lost with it. */
export function deleteWorkspaceRoutes(parts: DeleteWorkspaceParts): Route[] {
  return [
    {
      method: 'delete',
      path: '/api/v2/agents/workspaces/:workspaceId',
      guard: 'user',
      summary: 'Deletes a workspace; refused while it holds work that is nowhere else, unless ?force=true.',
      shape: { query, answers: { 202: deleting } },
      handler: async (request, response) => {
        const force = parse(query, request.query, 'The query').force === 'true';
        const [caller, id] = [callerOf(response), requestId(response)];
        const workspace = await parts.authorize.workspace(caller, pathParameter(request, 'workspaceId'), id);
        const context = { actor: `user:${caller.actor.id}`, requestId: id };
        const rights = await parts.coder.may(caller.token, workspace.id, ['delete'], context);
        if (rights['delete'] !== true) throw mayNotDelete(workspace);
        const note = makeNote(parts, workspace, context, force);
        if (!force)
          await mustHoldNothing(parts, workspace).catch(async (error: unknown) => {
            await note('denied', error);
            throw error;
          });
        await note('intent');
        try {
          const build = await parts.builds.remove(caller.token, workspace.id, context);
          await note('success');
          response.status(202).json({ id: workspace.id, build_id: build });
        } catch (error) {
          await note('failure', error);
          throw error;
        }
      },
    },
  ];
}

const makeNote =
  (
    { database, audit }: DeleteWorkspaceParts,
    workspace: CoderWorkspace,
    { actor, requestId: id }: { readonly actor: string; readonly requestId: string },
    force: boolean,
  ) =>
  async (outcome: AuditEntry['outcome'], error?: unknown): Promise<void> => {
    const code = error === undefined ? {} : { error: error instanceof ServiceError ? error.code : 'internal' };
    await database.transaction((tx) =>
      audit.append(tx, {
        actor,
        action: 'workspace.delete_requested',
        target: { type: 'workspace', id: workspace.id },
        outcome,
        ownerId: workspace.ownerId,
        organizationId: workspace.organizationId,
        workspaceId: workspace.id,
        requestId: id,
        data: { force, ...code },
      }),
    );
  };

async function mustHoldNothing({ callBridge }: DeleteWorkspaceParts, workspace: CoderWorkspace): Promise<void> {
  if (workspace.status !== 'running') throw cannotLook(workspace);
  const { repositories } = await callBridge(workspace.id, 'unpushedWork', {}).catch((error: unknown) => {
    throw error instanceof ServiceError ? cannotLook(workspace, error) : error;
  });
  if (repositories.length > 0) throw holdsWork(workspace, repositories);
}

const conflict = (code: string, message: string, cause?: unknown): ServiceError =>
  new ServiceError('conflict', code, message, { cause });

const cannotLook = ({ name }: CoderWorkspace, cause?: ServiceError): ServiceError =>
  conflict(
    'work_unknown',
    `Nobody can tell whether workspace ${name} holds work that is nowhere else: ${cause?.message ?? 'it does not run.'} Start it and try again, or send ?force=true.`,
    cause,
  );

type Repositories = ServiceRequests['unpushedWork']['data']['repositories'];

const holdsWork = ({ name }: CoderWorkspace, repositories: Repositories): ServiceError =>
  new ServiceError(
    'conflict',
    'work_unpushed',
    `Workspace ${name} holds work that is nowhere else; see errors[]. Push it, or send ?force=true to lose it.`,
    { errors: repositories.map((one) => ({ path: one.path, message: describe(one) })) },
  );

const describe = ({ files, commits, branches, stashes, checkpoints }: Repositories[number]): string =>
  [
    files > 0 ? `${files} files are not committed` : '',
    commits > 0 ? `${commits} commits are on no remote (${branches.join(', ')})` : '',
    stashes > 0 ? `${stashes} stashes` : '',
    checkpoints > 0 ? `${checkpoints} checkpoints of tasks are on no remote` : '',
  ]
    .filter((part) => part !== '')
    .join('; ');

const mayNotDelete = ({ name }: CoderWorkspace): ServiceError =>
  new ServiceError(
    'forbidden',
    'workspace_delete_forbidden',
    `You may use workspace ${name} but not delete it. Ask its owner.`,
  );
