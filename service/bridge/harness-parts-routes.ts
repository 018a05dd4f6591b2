import { z } from 'zod';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf } from '../identity/identity.ts';
import { parse, requestId, type Route, listAnswer } from '../platform/http.ts';
import { makePartsReader, type PartsReaderParts, type PartsReport } from './harness-parts.ts';

export interface HarnessPartsRouteParts extends PartsReaderParts {
  readonly coder: Pick<Coder, 'listOwnWorkspaces'>;
  readonly authorize: Pick<Authorize, 'workspace'>;
}

const kindOf = (...kinds: readonly [string, ...string[]]) => z.strictObject({ name: z.string(), kind: z.enum(kinds) });
const partsAnswer = z
  .strictObject({
    workspace_id: z.string(),
    workspace: z.string(),
    connected: z.boolean(),
    stale: z.boolean(),
    reported_at: z.iso.datetime().nullable(),
    harness_version: z.string().nullable(),
    capabilities: z.array(z.string()),
    plugins: z.array(kindOf('file', 'package')),
    skills: z.array(kindOf('built_in', 'installed', 'repository')),
    mcp_servers: z.array(kindOf('local', 'remote').extend({ enabled: z.boolean() })),
    lsp_servers: z.array(z.strictObject({ name: z.string(), enabled: z.boolean() })),
  })
  .meta({ id: 'HarnessParts' });

const query = z.object({ workspace_id: z.string().min(1).max(200).optional() });

/** `GET /api/v2/agents/opencode/plugins`: what OpenCode loads in a workspace, or in each of the caller's own. */
export function harnessPartsRoutes(parts: HarnessPartsRouteParts): Route[] {
  const read = makePartsReader(parts);
  return [
    {
      method: 'get',
      path: '/api/v2/agents/opencode/plugins',
      guard: 'user',
      summary: 'Lists the plugins, skills, MCP and LSP servers of a workspace, or of each of yours.',
      shape: { query, answers: { 200: listAnswer(partsAnswer) } },
      handler: async (request, response) => {
        const { workspace_id: reference } = parse(query, request.query, 'The query');
        const caller = callerOf(response);
        const id = requestId(response);
        const workspaces =
          reference === undefined
            ? await parts.coder.listOwnWorkspaces(caller.token, { actor: `user:${caller.actor.id}`, requestId: id })
            : [await parts.authorize.workspace(caller, reference, id)];
        const items = await Promise.all(
          workspaces.map(async (workspace) => present(workspace, await read(workspace.id))),
        );
        response.json({ items, next_cursor: null });
      },
    },
  ];
}

const present = ({ id, name }: Pick<CoderWorkspace, 'id' | 'name'>, report: PartsReport) => ({
  workspace_id: id,
  workspace: name,
  connected: report.connected,
  stale: report.isStale,
  reported_at: report.reportedAt?.toISOString() ?? null,
  harness_version: report.harnessVersion,
  capabilities: report.capabilities,
  ...report.parts,
});
