import { z } from 'zod';
import type { Submitter } from '../tasks/submit-task.ts';
import { submitTask, taskBody, workFields, type Work } from '../tasks/submit-task.ts';
import { checkTask } from '../tasks/accept-task.ts';
import { mustHaveRoom } from '../tasks/queue-room.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { goDurationText, secondsOfGoDuration } from '../platform/go-duration.ts';
import { parse } from '../platform/http.ts';
import { findVersion, readDefinition } from '../workflows/definitions/read-definition.ts';
import {
  checkWorkflowIn,
  startWorkflow,
  workflowBody,
  type CheckParts,
  type CheckedWorkflow,
  type FindPlace,
  type StartParts,
} from '../workflows/submit-workflow.ts';

/** What is to be started again and again, as it was given; references to workspaces are ids once it is stored. */
export type GivenWork =
  | { readonly kind: 'task'; readonly body: Record<string, unknown> }
  | { readonly kind: 'workflow'; readonly body: Record<string, unknown> }
  | { readonly kind: 'definition'; readonly body: DefinitionReference };

/** Work that was checked and may start now. */
export type Launch =
  | { readonly kind: 'task'; readonly work: Work; readonly workspace: CoderWorkspace }
  | { readonly kind: 'workflow'; readonly workflow: CheckedWorkflow };

/** What was started. */
export type Started =
  { readonly taskId: string; readonly workflowId: null } | { readonly taskId: null; readonly workflowId: string };

const definitionReference = z.strictObject({
  name: z.string().min(1).max(200),
  /** Without it the newest one at each run of one's own, and of somebody else's the newest one when it is stored. */
  version: z.number().int().min(1).optional(),
  workspace_id: z.string().min(1).max(200).optional(),
  parameters: z.record(z.string(), z.string().max(65_536)).optional(),
});
type DefinitionReference = z.output<typeof definitionReference>;

const { timeout_seconds: timeoutSeconds, ...otherWorkFields } = workFields;

/** Seconds. */
const duration = goDurationText
  .transform(secondsOfGoDuration)
  .pipe(z.number().min(10, 'must be at least 10s').max(86_400, 'must be at most 24h'));

/** kubeopencode's words for a task, and ours for what it has no word for. */
const kubeTask = z.strictObject({
  description: z.string().min(1),
  agentRef: z.strictObject({ name: z.string().min(1).max(100) }).prefault({ name: 'opencode' }),
  timeout: duration.optional(),
  action: z.string().min(1).max(100).default('generate_code'),
  workspace_id: z.string().min(1).max(200).optional(),
  ...otherWorkFields,
});

const template = z.strictObject({
  metadata: z
    .strictObject({
      labels: z.record(z.string(), z.string()).optional(),
      annotations: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  spec: z.record(z.string(), z.unknown()),
});

/** One of the ways to say what is to be done. Throws `invalid` with the path. */
export function readWork(given: Readonly<Record<string, unknown>>, where: string): GivenWork {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  const [one, another] = named;
  const [name = '', value] = one ?? [];
  const reader = readers[name];
  if (!reader || another) throw oneOf(where, Object.keys(given));
  try {
    return reader(value);
  } catch (error) {
    throw error instanceof ServiceError ? within(error, where === '' ? name : `${where}.${name}`) : error;
  }
}

const readers: Readonly<Record<string, (value: unknown) => GivenWork>> = {
  task: (value) => {
    parse(taskBody, value, 'The task');
    return { kind: 'task', body: value as Record<string, unknown> };
  },
  taskTemplate: (value) => ({ kind: 'task', body: readTemplate(value) }),
  workflow: (value) => {
    parse(workflowBody, value, 'The workflow');
    return { kind: 'workflow', body: value as Record<string, unknown> };
  },
  definition: (value) => ({ kind: 'definition', body: parse(definitionReference, value, 'The definition') }),
};

function readTemplate(value: unknown): Record<string, unknown> {
  const { spec } = parse(template, value, 'The template');
  if ('payload' in spec) {
    parse(z.object({ spec: taskBody }), { spec }, 'The task');
    return spec;
  }
  const {
    description,
    agentRef,
    timeout,
    action,
    workspace_id: workspaceId,
    ...rest
  } = parse(z.object({ spec: kubeTask }), { spec }, 'The task').spec;
  const body = {
    type: agentRef.name,
    payload: { action, prompt: description, context: workspaceId === undefined ? {} : { workspace_id: workspaceId } },
    ...rest,
    timeout_seconds: timeoutSeconds.parse(timeout),
  };
  parse(taskBody, body, 'The task');
  return body;
}

/**
 * The same work as a later run is to mean it: every workspace as its id, and of a definition by somebody else the version
 * that its owner could look at, because it runs with the owner's rights.
 */
export async function pinWork(
  database: Database,
  ownerId: string,
  placeOf: FindPlace,
  work: GivenWork,
): Promise<GivenWork> {
  const idOf = async (reference: string | undefined): Promise<string> => (await placeOf(reference)).workspace.id;
  if (work.kind === 'definition') {
    const { workspace } = await placeOf(work.body.workspace_id);
    const { name, version: wanted } = work.body;
    const organizationId = workspace.organizationId;
    const { definition, version } = await findVersion(database, { organizationId, name, version: wanted });
    const pinned = definition.authorId === ownerId ? {} : { version: version.version };
    return { kind: 'definition', body: { ...work.body, ...pinned, workspace_id: workspace.id } };
  }
  if (work.kind === 'task') {
    const body = structuredClone(work.body) as { payload: { context?: { workspace_id?: string } } };
    body.payload.context = { ...body.payload.context, workspace_id: await idOf(body.payload.context?.workspace_id) };
    return { kind: 'task', body };
  }
  const body = structuredClone(work.body) as { workspace_id?: string; steps: { workspace_id?: string }[] };
  if (body.steps.some((step) => step.workspace_id === undefined)) body.workspace_id = await idOf(body.workspace_id);
  else delete body.workspace_id;
  for (const step of body.steps) if (step.workspace_id !== undefined) step.workspace_id = await idOf(step.workspace_id);
  return { kind: 'workflow', body };
}

/** Who wrote down what is to run, and when they did so last. */
export interface Agreed {
  readonly ownerId: string;
  readonly updatedAt: Date;
}

/** Checks work as if it were submitted now. Throws what a submission throws, and for a definition that is not as agreed. */
export async function checkLaunch(
  parts: Pick<CheckParts, 'bounds' | 'checkCost'> & { readonly database: Database },
  placeOf: FindPlace,
  given: GivenWork,
  agreed?: Agreed,
): Promise<Launch> {
  if (given.kind === 'task') {
    const body = parse(taskBody, given.body, 'The task');
    const { bounds, workspace } = await placeOf(body.payload.context.workspace_id);
    return { kind: 'task', work: checkTask(bounds, body), workspace };
  }
  const body =
    given.kind === 'workflow' ? given.body : await bodyOfDefinition(parts.database, placeOf, given.body, agreed);
  return {
    kind: 'workflow',
    workflow: await checkWorkflowIn(parts, placeOf, parse(workflowBody, body, 'The workflow')),
  };
}

/** Definitions belong to the organization of the workspace, of which the owner is a member or has no place there. */
async function bodyOfDefinition(
  database: Database,
  placeOf: FindPlace,
  given: DefinitionReference,
  agreed?: Agreed,
): Promise<unknown> {
  const { workspace } = await placeOf(given.workspace_id);
  const { name, parameters = {} } = given;
  const organizationId = workspace.organizationId;
  const { version } = await findVersion(database, { organizationId, name, version: given.version });
  // A version is never changed, but an admin may write a newer one, and a deleted definition's name is free to all.
  if (agreed && version.createdBy !== agreed.ownerId && version.createdAt > agreed.updatedAt)
    throw definitionChanged(name, version.version);
  const wanted = { organizationId, name, version: version.version, parameters, workspaceId: workspace.id };
  return (await readDefinition(database, wanted)).body;
}

export const organizationOf = (launch: Launch): string =>
  (launch.kind === 'task' ? launch.workspace : launch.workflow.steps[0]?.workspace)?.organizationId ?? '';

/** Starts what was checked, in the caller's transaction. Throws where no more tasks may wait; nothing is stored then. */
export async function startLaunch(
  tx: Transaction,
  parts: StartParts,
  launch: Launch,
  run: { readonly owner: Submitter; readonly name: string; readonly requestId: string },
): Promise<Started> {
  const { owner, name, requestId } = run;
  if (launch.kind === 'workflow')
    return { taskId: null, workflowId: await startWorkflow(tx, parts, owner, { ...launch.workflow, name }, requestId) };
  await mustHaveRoom(tx, parts.queueMax, { ownerId: owner.id, tasks: 1 });
  const { work, workspace } = launch;
  return {
    taskId: await submitTask(tx, parts, { work, workspace, submitter: owner, requestId, name }),
    workflowId: null,
  };
}

const within = (error: ServiceError, where: string): ServiceError =>
  new ServiceError(error.kind, error.code, error.message, {
    cause: error,
    errors: error.errors.map(({ path, message }) => ({ path: `${where}.${path}`, message })),
  });

const definitionChanged = (name: string, version: number): ServiceError =>
  new ServiceError(
    'unprocessable',
    'definition_changed',
    `Version ${version} of definition '${name}' was written by somebody else after this was. Look at it, and write this again if it is to run.`,
  );

const oneOf = (place: string, given: readonly string[]): ServiceError => {
  const message = `give exactly one of ${given.join(', ')}`;
  const path = place === '' ? '(body)' : place;
  return new ServiceError('invalid', 'invalid_request', `The request is not valid: ${path}: ${message}.`, {
    errors: [{ path, message }],
  });
};
