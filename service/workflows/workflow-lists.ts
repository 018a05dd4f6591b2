import { sql } from 'kysely';
import type { Database } from '../platform/database.ts';
import { fromWorkflow, outlineColumns, outlineOf, type Tables } from './workflow-rows.ts';
import type { StepSummary, WorkflowHead } from './workflow-store.ts';

type Reader = Pick<Database, 'as'>;

/** The steps of several workflows as a list shows them, in one query. */
export async function summarizeSteps(
  database: Reader,
  workflowIds: readonly string[],
): Promise<ReadonlyMap<string, readonly StepSummary[]>> {
  const found = new Map<string, StepSummary[]>(workflowIds.map((id) => [id, []]));
  if (workflowIds.length === 0) return found;
  const rows = await database
    .as<Tables>()
    .selectFrom('workflow_step')
    .select(outlineColumns)
    .select([
      sql<string>`work->>'agent'`.as('agent'),
      sql<string>`work->>'action'`.as('action'),
      sql<string>`workspace->>'id'`.as('workspace_id'),
    ])
    .where('workflow_id', 'in', workflowIds)
    .orderBy('position')
    .execute();
  for (const row of rows)
    found
      .get(row.workflow_id)
      ?.push({ ...outlineOf(row), agent: row.agent, action: row.action, workspaceId: row.workspace_id });
  return found;
}

/** Ids of the workspaces that the steps of a workflow work in. */
export async function workspacesOf(database: Reader, workflowId: string): Promise<readonly string[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('workflow_step')
    .select(sql<string>`workspace->>'id'`.as('id'))
    .distinct()
    .where('workflow_id', '=', workflowId)
    .execute();
  return rows.map(({ id }) => id);
}

/** A page of the unfinished workflows created before a moment, oldest first; `run` names the loop that drives each. */
export async function unfinishedWorkflows(
  database: Database,
  createdBefore: Date,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<readonly { readonly id: string; readonly run: number }[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow')
    .select(['id', 'run'])
    .where('outcome', 'is', null)
    .where('created_at', '<', createdBefore)
    // Ids are in the order of time.
    .orderBy('id')
    .limit(limit);
  if (after !== undefined) query = query.where('id', '>', after);
  return query.execute();
}

/** An owner's workflows without their steps, newest first. */
export async function listWorkflows(
  database: Database,
  filter: { ownerId: string; limit: number; cursor?: string | undefined },
): Promise<readonly WorkflowHead[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow')
    .selectAll()
    .where('owner_id', '=', filter.ownerId)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.cursor) query = query.where('id', '<', filter.cursor);
  return (await query.execute()).map(fromWorkflow);
}
