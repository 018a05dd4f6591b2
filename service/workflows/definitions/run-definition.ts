import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf } from '../../identity/identity.ts';
import type { Database } from '../../platform/database.ts';
import { parse, requestId } from '../../platform/http.ts';
import { once, replay, type StoredAnswer } from '../../platform/idempotency.ts';
import { submitterOf } from '../../tasks/accept-task.ts';
import { checkWorkflow, startWorkflow, workflowBody, type CheckParts, type StartParts } from '../submit-workflow.ts';
import { readDefinition } from './read-definition.ts';

export interface RunDefinitionParts extends CheckParts, StartParts {
  readonly database: Database;
}

/** Body of a run. */
export const runBody = z.strictObject({
  workspace_id: z.string().min(1).max(200).optional(),
  version: z.number().int().min(1).optional(),
  parameters: z.record(z.string(), z.string().max(65_536)).default({}),
  approved_cost_micro_usd: workflowBody.shape.approved_cost_micro_usd,
});

/** Answers 201 with the workflow that a definition became, after every check of a submitted one. */
export async function runDefinition(
  parts: RunDefinitionParts,
  definition: { readonly organizationId: string; readonly name: string },
  request: Request,
  response: Response,
): Promise<void> {
  const { organizationId, name } = definition;
  const caller = callerOf(response);
  const requested = requestId(response);
  const given: unknown = request.body ?? {};
  const route = `POST definitions/${organizationId}/${name}/run`;
  const idempotency = { actor: caller.actor.id, route, key: request.get('Idempotency-Key'), body: given };
  const accept = async (): Promise<StoredAnswer> => {
    const { workspace_id: workspaceId, version, parameters, ...approval } = parse(runBody, given, 'The run');
    const read = await readDefinition(parts.database, { organizationId, name, version, parameters, workspaceId });
    const checked = await checkWorkflow(parts, caller, { ...read.body, ...approval }, requested);
    return parts.database.transaction((tx) =>
      once(tx, parts.clock, idempotency, async () => {
        const id = await startWorkflow(tx, parts, submitterOf(caller), checked, requested);
        await parts.audit.append(tx, {
          actor: `user:${caller.actor.id}`,
          action: 'definition.run',
          target: { type: 'definition', id: name },
          outcome: 'success',
          ownerId: caller.actor.id,
          organizationId,
          requestId: requested,
          data: { version: read.version, workflow_id: id },
        });
        return { status: 201, body: { id, status: 'queued', definition: { name, version: read.version } } };
      }),
    );
  };
  const answer = (await replay(parts.database, idempotency)) ?? (await accept());
  const { id } = answer.body as { id: string };
  response.status(answer.status).location(`/api/v2/agents/agentzero/workflows/${id}`).json(answer.body);
}
