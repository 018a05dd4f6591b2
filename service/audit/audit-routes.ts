import type { Request, Response } from 'express';
import { sql, type Expression, type Selectable, type SqlBool } from 'kysely';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import { isUuid } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { listQuery, parse, type Route, listAnswer } from '../platform/http.ts';
import type { AuditTables } from './audit-tables.ts';
import { auditAnswer } from './audit-shape.ts';

const query = listQuery.extend({
  /** Events about this task: it is the target, or `data.task_id` names it. */
  task: z.string().max(200).optional(),
  workflow: z.string().max(200).optional(),
  workspace: z.string().max(200).optional(),
  /** Exactly this action. */
  action: z.string().max(200).optional(),
});
type Query = z.output<typeof query>;

/**
 * `GET /api/v2/agents/audit`: the caller's own events, newest first.
 *
 * Own means: the caller did it (`actor` is `user:<caller>`), or it was done on the caller's behalf (`owner_id`), by
 * the service or by a bridge. Nobody sees more here, administrators neither.
 */
export function auditRoutes(options: { readonly database: Database }): Route[] {
  return [
    {
      method: 'get',
      path: '/api/v2/agents/audit',
      guard: 'user',
      summary: 'Your audit events: what you did and what was done on your behalf, newest first.',
      shape: { query, answers: { 200: listAnswer(auditAnswer) } },
      handler: async (request: Request, response: Response) => {
        const caller = response.locals['actor'] as Actor;
        const filters = parse(query, request.query, 'The query');
        response.json(await listEvents(options.database, caller, filters));
      },
    },
  ];
}

async function listEvents(database: Database, caller: Actor, filters: Query) {
  const rows = await database
    .as<AuditTables>()
    .selectFrom('audit_event as e')
    .leftJoin('audit_chain as c', 'c.event_id', 'e.id')
    .selectAll('e')
    .select('c.position')
    .where(isOwn(caller))
    .where((builder) => builder.and(matching(filters)))
    .orderBy('e.id', 'desc')
    .limit(filters.limit + 1)
    .execute();
  const items = rows.slice(0, filters.limit);
  return {
    items: items.map(present),
    next_cursor: rows.length > filters.limit ? (items.at(-1)?.id ?? null) : null,
  };
}

const isOwn = (caller: Actor): Expression<SqlBool> =>
  sql<SqlBool>`(e.actor = ${`user:${caller.id}`} or e.owner_id = ${caller.id})`;

function matching(filters: Query): Expression<SqlBool>[] {
  const { task, workflow, workspace, action, cursor } = filters;
  if (cursor !== undefined && !isUuid(cursor))
    throw new ServiceError(
      'invalid',
      'cursor_invalid',
      'The cursor is none that a list gave. Use next_cursor of the answer before, or leave it out.',
    );
  const about = (type: string, id: string) =>
    sql<SqlBool>`((e.target_type = ${type} and e.target_id = ${id}) or e.data->>${`${type}_id`} = ${id})`;
  return [
    ...(task === undefined ? [] : [about('task', task)]),
    ...(workflow === undefined ? [] : [about('workflow', workflow)]),
    ...(workspace === undefined ? [] : [sql<SqlBool>`e.workspace_id = ${workspace}`]),
    ...(action === undefined ? [] : [sql<SqlBool>`e.action = ${action}`]),
    ...(cursor === undefined ? [] : [sql<SqlBool>`e.id < ${cursor}::uuid`]),
  ];
}

type Row = Omit<Selectable<AuditTables['audit_event']>, 'mac' | 'owner_id'> & { readonly position: number | null };

const present = (row: Row) => ({
  id: row.id,
  at: row.at.toISOString(),
  actor: row.actor,
  action: row.action,
  target: { type: row.target_type, id: row.target_id },
  outcome: row.outcome,
  organization_id: row.organization_id,
  workspace_id: row.workspace_id,
  request_id: row.request_id,
  data: row.data,
  /** Place in the chain; null for the second until it is linked. */
  position: row.position,
});
