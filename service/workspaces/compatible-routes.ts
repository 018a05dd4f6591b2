import { bulkhead } from 'cockatiel';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf } from '../identity/identity.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { presentCompatible } from './compatible-workspace.ts';
import { compatibleWorkspace } from './workspace-shape.ts';

const base = '/api/workspaces';
/** Builds of one list that Coder is asked for at the same time; the other callers need it, too. */
const buildsAtOnce = 8;

/** `/api/workspaces`, for clients that know workspaces by these keys. Nothing of it is stored: Coder is asked each time. */
export function compatibleWorkspaceRoutes(parts: {
  readonly coder: Pick<Coder, 'listOwnWorkspaces' | 'buildParameters'>;
  readonly authorize: Pick<Authorize, 'workspace'>;
}): Route[] {
  const present = async (workspace: CoderWorkspace, context: { actor: string; requestId: string }) =>
    presentCompatible(workspace, await parts.coder.buildParameters(workspace.buildId, context));
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your workspaces, in the keys of /api/workspaces.',
      shape: { query: listQuery, answers: { 200: listAnswer(compatibleWorkspace) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const { token, actor } = callerOf(response);
        const context = { actor: `user:${actor.id}`, requestId: requestId(response) };
        const all = await parts.coder.listOwnWorkspaces(token, context);
        const page = after(all, cursor).slice(0, limit);
        const few = bulkhead(buildsAtOnce, Number.POSITIVE_INFINITY);
        const items = await Promise.all(page.map((workspace) => few.execute(() => present(workspace, context))));
        const ids = page.map(({ id }) => id);
        response.json({ items, next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'get',
      path: `${base}/:workspaceId`,
      guard: 'user',
      summary: 'Reads a workspace you may use, in the keys of /api/workspaces.',
      shape: { answers: { 200: compatibleWorkspace } },
      handler: async (request, response) => {
        const caller = callerOf(response);
        const id = requestId(response);
        const workspace = await parts.authorize.workspace(caller, pathParameter(request, 'workspaceId'), id);
        response.json(await present(workspace, { actor: `user:${caller.actor.id}`, requestId: id }));
      },
    },
  ];
}

/** In an order that stays, whatever Coder says first: what follows `cursor`. */
const after = (all: readonly CoderWorkspace[], cursor: string | undefined): readonly CoderWorkspace[] =>
  all.filter(({ id }) => cursor === undefined || id < cursor).sort((one, other) => (one.id < other.id ? 1 : -1));
