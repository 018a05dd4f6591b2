import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import { currentGeneration } from '../bridge/bridge-store.ts';
import type { Caller } from '../identity/identity.ts';
import { ServiceError } from '../platform/errors.ts';
import type { TaskTables } from '../tasks/task-rows.ts';
import { activeStates } from '../tasks/task.ts';
import type { CoderBuilds } from './coder-builds.ts';
import { isRecreating, nextRepair } from './ide.ts';
import { lockIde, readIde, saveRecreation, saveRepairs, saveReport, saveWish } from './ide-store.ts';
import type { IdeParts } from './reconcile-ide.ts';

/** What a new build needs beyond what a wish does. */
export interface Recreation {
  readonly coder: Pick<Coder, 'may' | 'buildParameters'>;
  readonly builds: Pick<CoderBuilds, 'rebuild'>;
  /** Ends a task with its receipt; a task that has ended by then is no error. */
  readonly stopTask: (taskId: string, actorId: string, requestId: string) => Promise<unknown>;
  /** How long tasks may take to end. @default 90 s, more than the longest stop. */
  readonly stopWaitMs?: number;
}

type Workspace = Pick<CoderWorkspace, 'id' | 'name' | 'ownerId' | 'organizationId' | 'status' | 'buildId'>;

const parameter = 'ide_enabled';
const lookMs = 250;
const stopWaitMsDefault = 90_000;

/**
 * Builds a workspace anew with the IDE, where it was built without: ends its running tasks, waits for their receipts
 * and checkpoints, and asks Coder for a start with `ide_enabled=true` by the caller's own token.
 *
 * Again    while it is under way it changes nothing.
 * Errors   `conflict` where a build would not help, or tasks do not end; nothing is ended unless the caller may start
 *          the workspace. When Coder refuses the build, tasks stay ended and the error says why.
 */
export async function recreateWithIde(
  parts: IdeParts,
  recreation: Recreation,
  workspace: Workspace,
  caller: Pick<Caller, 'actor' | 'token'>,
  requestId: string,
): Promise<void> {
  const { database, clock } = parts;
  const context = { actor: `user:${caller.actor.id}`, requestId };
  const generation = (await currentGeneration(database, workspace.id)) ?? 0;
  if (isRecreating(await readIde(database, workspace.id), generation, clock.now())) return;
  await refuseUseless(parts, recreation, workspace, requestId);
  const { start } = await recreation.coder.may(caller.token, workspace.id, ['start'], context);
  if (start !== true) throw mayNotStart(workspace);

  const note = makeNote(parts, workspace, context);
  const isOurs = await database.transaction(async (tx) => {
    const record = await lockIde(tx, workspace.id);
    if (isRecreating(record, generation, clock.now())) return false;
    await saveRecreation(tx, workspace.id, { replaces: generation, since: clock.now() });
    await note(tx, 'intent', {});
    return true;
  });
  if (!isOurs) return;
  try {
    const ended = await endTasks(parts, recreation, workspace, caller.actor.id, requestId);
    const build = await recreation.builds.rebuild(caller.token, workspace.id, { [parameter]: 'true' }, context);
    await database.transaction(async (tx) => {
      await lockIde(tx, workspace.id);
      await saveWish(tx, workspace.id, true, clock.now());
      await saveRepairs(tx, workspace.id, 0, nextRepair(0, clock.now()));
      await saveReport(tx, workspace.id, { enabled: null, phase: null, message: '' }, clock.now());
      await note(tx, 'success', { build_id: build, tasks_ended: ended });
    });
  } catch (error) {
    await database.transaction(async (tx) => {
      await saveRecreation(tx, workspace.id, null);
      await note(tx, 'failure', { error: error instanceof ServiceError ? error.code : 'internal' });
    });
    throw error;
  }
}

type Note = (
  tx: Parameters<IdeParts['audit']['append']>[0],
  outcome: 'intent' | 'success' | 'failure',
  data: Readonly<Record<string, string | number>>,
) => Promise<void>;

const makeNote =
  ({ audit }: IdeParts, workspace: Workspace, { actor, requestId }: { actor: string; requestId: string }): Note =>
  async (tx, outcome, data) => {
    await audit.append(tx, {
      actor,
      action: 'workspace.recreated',
      target: { type: 'workspace', id: workspace.id },
      outcome,
      ownerId: workspace.ownerId,
      organizationId: workspace.organizationId,
      workspaceId: workspace.id,
      requestId,
      data,
    });
  };

/** Only a workspace that was built without the IDE is helped by another build. */
async function refuseUseless(
  { database }: IdeParts,
  { coder }: Recreation,
  { id, name, status, buildId }: Workspace,
  requestId: string,
): Promise<void> {
  if (status !== 'running')
    throw refusal('workspace_not_running', `Workspace ${name} does not run. Start it in Coder with ${parameter}=true.`);
  const { phase } = (await readIde(database, id)).reported;
  const chosen = (await coder.buildParameters(buildId, { actor: 'service', requestId })).get(parameter);
  if (chosen === undefined)
    throw refusal(
      'ide_not_in_image',
      `The image of workspace ${name} holds no IDE, so that a new build would not bring one. Choose another image in Coder.`,
    );
  if (chosen === 'true' || (phase !== null && phase !== 'Failed'))
    throw refusal(
      'ide_needs_no_build',
      `Workspace ${name} can start its IDE without a new build. Ask for the IDE without 'recreate'; where it fails, its message says why.`,
    );
}

/** Answers how many there were. */
async function endTasks(
  { database, clock }: IdeParts,
  { stopTask, stopWaitMs = stopWaitMsDefault }: Recreation,
  workspace: Workspace,
  actorId: string,
  requestId: string,
): Promise<number> {
  const until = clock.now().getTime() + stopWaitMs;
  const asked = new Set<string>();
  for (;;) {
    const active = await activeTasks(database, workspace.id);
    if (active.length === 0) return asked.size;
    if (clock.now().getTime() >= until) throw tasksGoOn(workspace, active.length);
    for (const id of active.filter((one) => !asked.has(one))) {
      asked.add(id);
      await stopTask(id, actorId, requestId).catch((error: unknown) => {
        if (!(error instanceof ServiceError && error.code === 'task_finished')) throw error;
      });
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

async function activeTasks(database: IdeParts['database'], workspaceId: string): Promise<readonly string[]> {
  const rows = await database
    .as<TaskTables>()
    .selectFrom('task')
    .select('id')
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', [...activeStates])
    .execute();
  return rows.map(({ id }) => id);
}

const refusal = (code: string, message: string): ServiceError => new ServiceError('conflict', code, message);

const mayNotStart = ({ name }: Workspace): ServiceError =>
  new ServiceError(
    'forbidden',
    'workspace_start_forbidden',
    `You may use workspace ${name} but not build it. Ask its owner for a build with ${parameter}=true.`,
  );

const tasksGoOn = ({ name }: Workspace, count: number): ServiceError =>
  refusal(
    'tasks_still_running',
    `${count} tasks of workspace ${name} did not end in time, so it was not built anew. Look at them, then ask again.`,
  );
