import { serviceAgents } from './agents/actions.ts';
import { pendingOfTask } from './approvals/approval-store.ts';
import { makeApprovals } from './approvals/approvals.ts';
import { makeAskBridge, throughAsking } from './bridge/call-bridge.ts';
import { makeRefusalAudit } from './bridge/refusal-audit.ts';
import { makeBridgeHub } from './bridge/hub.ts';
import { makeBoundsReader } from './coder/template-bounds-reader.ts';
import { callerOf } from './identity/identity.ts';
import { systemRandomness, uuidv7 } from './platform/clock.ts';
import { agentsOff, mustBeOn } from './platform/flags.ts';
import { requestId } from './platform/http.ts';
import { makeAgents } from './server-agents.ts';
import type { OrganizationAdminParts } from './secrets/organization-admin.ts';
import { makeAdmission } from './tasks/admit.ts';
import { registerAttempt } from './tasks/attempt.ts';
import { makeHaltHooks } from './tasks/halt-task.ts';
import { makeEventStream } from './tasks/event-stream.ts';
import { makeEventSockets } from './tasks/event-sockets.ts';
import { makeApprovalHook } from './tasks/asks.ts';
import { makeLeaseHandlers } from './tasks/leases.ts';
import { makeLimitsOfBridge } from './tasks/limits-of-bridge.ts';
import { releaseStep } from './tasks/release-step.ts';
import { endCallsChannel } from './tasks/end-calls.ts';
import type { FinishedHook } from './tasks/settle.ts';
import { stopTask } from './tasks/stop-task.ts';
import { lockTask } from './tasks/task-store.ts';
import { makeTaskWatch } from './tasks/task-watch.ts';
import { findVisibleTask } from './tasks/tasks-routes.ts';
import { makeCheckCost } from './workflows/estimate.ts';
import { makeProgress } from './workflows/watch-steps.ts';
import { cancelWorkflow } from './workflows/cancel-workflow.ts';
import { makeEndNested, registerRunWorkflow, wakeWorkflow } from './workflows/run-workflow.ts';
import { findVisibleWorkflow, workflowsPath } from './workflows/workflows-routes.ts';
import { makeSchedules } from './schedules/schedules.ts';
import { makeIdeReports } from './workspaces/reconcile-ide.ts';
import type { Base } from './server-base.ts';

/** How long an attempt waits for its workspace and its bridge. */
const prepareMs = 600_000;

/** What {@link makeWork} answers. */
export type Work = ReturnType<typeof makeWork>;

/** The parts that take work, hand it to agents and settle it: approvals, admission, bridges, tasks, workflows, schedules. */
export function makeWork(base: Base) {
  const {
    metrics,
    config,
    clock,
    log,
    database,
    listener,
    engine,
    audit,
    seal,
    secrets,
    coder,
    identity,
    authorize,
    registry,
    defaultModel,
    allowedModels,
    gateway,
    broker,
  } = base;
  const approvals = makeApprovals({
    audit,
    clock,
    lockTask,
    onSettled: makeApprovalHook(
      clock,
      async (tx, taskId) => (await pendingOfTask(tx, taskId)).length,
      (tx, task, approval) => releaseStep(tx, settleParts, task, approval),
    ),
  });
  const admission = makeAdmission({
    database,
    engine,
    clock,
    log,
    perWorkspace: config.maxConcurrentPerWorkspace,
    prepareMs,
    onAdmitted: (ref) => takeEarly(ref),
  });
  const endNested = makeEndNested({ audit, clock });
  const onFinished: FinishedHook = async (tx, task) => {
    metrics.taskFinished(task);
    return [...(await wakeWorkflow(tx, task)), ...(await endNested(tx, task))];
  };
  const settleParts = { audit, approvals, gateway, clock, onFinished };
  gateway.subscribe(makeHaltHooks({ ...settleParts, database, engine }));
  const stream = makeEventStream({ database, listener, log });
  const watch = makeTaskWatch({ database, listener });
  const bounds = { registry, defaultModel, allowedModels, maxProfile: config.maxProfile };
  const workspaceBounds = makeBoundsReader(coder, (id) => agentsOff(config.flags, id));
  const hub = makeBridgeHub({
    database,
    listener,
    clock,
    log,
    elsewhere: makeEventSockets(
      identity,
      [
        ['/api/v2/agents/tasks/', () => stream, findVisibleTask],
        [`${workflowsPath}/`, () => progress, findVisibleWorkflow],
      ],
      { database, authorize, clock },
    ),
    handlers: {
      ...makeLeaseHandlers({
        database,
        engine,
        audit,
        approvals,
        gateway,
        clock,
        log,
        limitsOf: makeLimitsOfBridge({ coder, workspaceBounds, bounds }),
      }),
      ide: makeIdeReports({ database, audit, clock }),
      refused: makeRefusalAudit({ database, audit, clock }),
    },
  });

  const stop = (taskId: string, actorId: string, id: string) =>
    stopTask({ ...settleParts, database, engine }, taskId, actorId, id);
  const runParts = { database, audit, approvals, clock, log, admit: admission.admitNow, stopTask: stop };
  const checkCost = makeCheckCost({ database, aboveMicroUsd: config.approvalAboveMicroUsd ?? null });
  const askBridge = makeAskBridge({ database, listener, clock });
  const callBridge = throughAsking(askBridge);
  const agents = makeAgents({
    checkCost,
    callBridge,
    ...{ config, database, registry, audit, clock, engine, coder, bounds, workspaceBounds, secrets },
    stopTask: (id, ownerId) => stop(id, ownerId, uuidv7(clock)),
    cancelWorkflow: (id, ownerId) => cancelWorkflow({ ...runParts, engine }, id, ownerId, uuidv7(clock)),
  });
  const takeEarly = registerAttempt(engine, {
    ...settleParts,
    database,
    coder,
    serviceAgents: agents.filter((agent) => serviceAgents.includes(agent.name())),
    log,
    aliveSince: clock.now(),
    admit: admission.admitNow,
  });
  registerRunWorkflow(engine, runParts);
  const progress = makeProgress({ ...runParts, listener });
  listener.on(
    endCallsChannel,
    (taskId) => {
      gateway.abortCalls(taskId);
      broker.abortCalls(taskId);
    },
    () => undefined,
  );
  const organizationAdmin: OrganizationAdminParts = {
    database,
    audit,
    mayAdminister: (_request, response, organizationId) =>
      authorize.organization(callerOf(response), organizationId, requestId(response)),
  };
  const acceptParts = {
    database,
    audit,
    clock,
    authorize,
    bounds,
    workspaceBounds,
    queueMax: config.queueMax,
    checkCost,
    admitSoon: () => void admission.admitNow().catch((error: unknown) => log.error({ error }, 'admission failed')),
  };
  const planning = {
    ...acceptParts,
    upstreamUrl: config.model.upstreamUrl,
    hasModelKey: config.model.apiKey !== undefined,
    gitGrantsOf: broker.grantsOf,
    approvalAboveMicroUsd: config.approvalAboveMicroUsd ?? null,
  };
  const schedules = makeSchedules({
    ...acceptParts,
    ...runParts,
    engine,
    coder,
    seal,
    randomness: systemRandomness,
    mustBeOn: (flag, id) => mustBeOn(config.flags, flag, id),
  });
  return {
    approvals,
    admission,
    settleParts,
    stream,
    watch,
    hub,
    stop,
    runParts,
    callBridge,
    askBridge,
    agents,
    progress,
    organizationAdmin,
    acceptParts,
    planning,
    schedules,
  };
}
