import { limits, timing, type Agent } from '../modules/contract.ts';
import { serviceAgents } from './agents/actions.ts';
import { agentEntryRoutes } from './agents/agent-entry-routes.ts';
import { agentTemplateRoutes } from './agents/agent-template.ts';
import { makePresence } from './agents/presence.ts';
import { makeProviderKey } from './agents/provider-key.ts';
import { makeRegistry } from './agents/registry.ts';
import { workLimitRoutes } from './agents/work-limit-routes.ts';
import { pendingOfTask } from './approvals/approval-store.ts';
import { approvalsRoutes } from './approvals/approvals-routes.ts';
import { makeApprovals } from './approvals/approvals.ts';
import { makeAuditLog } from './audit/audit-log.ts';
import { auditRoutes } from './audit/audit-routes.ts';
import { makeChainer } from './audit/chainer.ts';
import { makeBroker } from './broker/broker.ts';
import { makeCallBridge } from './bridge/call-bridge.ts';
import { harnessPartsRoutes } from './bridge/harness-parts-routes.ts';
import { makeBridgeHub } from './bridge/hub.ts';
import { forgetOldFrames } from './bridge/bridge-store.ts';
import { registerRoute } from './bridge/register.ts';
import { auditCoderCall } from './coder/audit-call.ts';
import { makeCaller, type CallerOptions } from './coder/caller.ts';
import { makeCoder } from './coder/coder.ts';
import { makeBoundsReader } from './coder/template-bounds-reader.ts';
import type { Config } from './config.ts';
import { makeGateway } from './gateway/gateway.ts';
import { loadPrices } from './gateway/prices.ts';
import { makeAuthorize } from './identity/authorize.ts';
import { callerOf, makeIdentity } from './identity/identity.ts';
import type { Clock } from './platform/clock.ts';
import { systemRandomness, uuidv7 } from './platform/clock.ts';
import { createEngine } from './platform/engine.ts';
import { agentsOff, mustBeOn } from './platform/flags.ts';
import { behind, requestId, type Route } from './platform/http.ts';
import { forgetOldKeys } from './platform/idempotency.ts';
import { makeListener } from './platform/listener.ts';
import type { Logger } from './platform/logger.ts';
import { makeSeal } from './platform/seal.ts';
import { startTracing } from './platform/tracing.ts';
import { healthRoutes } from './platform/health-routes.ts';
import { makeWebServer } from './platform/web-server.ts';
import { makeAgents } from './server-agents.ts';
import { openData, type Undo } from './server-data.ts';
import { makeGuards, makeMustBeOn } from './server-guards.ts';
import { agentSecretRoutes } from './secrets/agent-secret-routes.ts';
import { makeAgentSecrets } from './secrets/agent-secrets.ts';
import type { OrganizationAdminParts } from './secrets/organization-admin.ts';
import { makeTemplateSecrets } from './secrets/template-secrets.ts';
import { templateSecretRoutes } from './secrets/template-secret-routes.ts';
import { makeAdmission } from './tasks/admit.ts';
import { registerAttempt } from './tasks/attempt.ts';
import { deadLetterRoutes } from './tasks/dead-letter-routes.ts';
import { makeEventStream } from './tasks/event-stream.ts';
import { makeEventSockets } from './tasks/event-sockets.ts';
import { executeRoutes } from './tasks/execute-routes.ts';
import { makeApprovalHook } from './tasks/asks.ts';
import { makeLeaseHandlers } from './tasks/leases.ts';
import { makeLimitsOfBridge } from './tasks/limits-of-bridge.ts';
import { releaseStep } from './tasks/release-step.ts';
import { endCallsChannel, type FinishedHook } from './tasks/settle.ts';
import { stopTask } from './tasks/stop-task.ts';
import { sweepLostAttempts } from './tasks/sweep.ts';
import { retryRoutes } from './tasks/retry-routes.ts';
import { lockTask } from './tasks/task-store.ts';
import { namedTaskRoutes } from './tasks/named-task-routes.ts';
import { makeTaskWatch } from './tasks/task-watch.ts';
import { taskMessagesRoutes } from './tasks/task-messages-routes.ts';
import { findVisibleTask, tasksRoutes } from './tasks/tasks-routes.ts';
import { composeRoutes } from './workflows/compose/compose-routes.ts';
import { makeStartDraft } from './workflows/compose/start-draft.ts';
import { definitionsRoutes } from './workflows/definitions/definitions-routes.ts';
import { makeCheckCost } from './workflows/estimate.ts';
import { makeProgress } from './workflows/watch-steps.ts';
import { cancelWorkflow } from './workflows/cancel-workflow.ts';
import { schemasRoutes } from './workflows/schemas-routes.ts';
import { makeEndNested, registerRunWorkflow, wakeWorkflow } from './workflows/run-workflow.ts';
import { sweepLostWorkflows } from './workflows/sweep.ts';
import { findVisibleWorkflow, workflowsPath, workflowsRoutes } from './workflows/workflows-routes.ts';
import { makeSchedules } from './schedules/schedules.ts';
import { compatibleWorkspaceRoutes } from './workspaces/compatible-routes.ts';
import { makeCoderBuilds } from './workspaces/coder-builds.ts';
import { forgetDeletedWorkspaces } from './workspaces/forget-workspaces.ts';
import { makeIdeReports } from './workspaces/reconcile-ide.ts';
import { stopIdleWorkspaces } from './workspaces/standby.ts';
import { workspacesRoutes } from './workspaces/workspaces-routes.ts';

/** A running service. */
export interface Service {
  /** Where it listens, e.g. `http://127.0.0.1:7676`. */
  readonly url: string;
  /** Every agent of the registry. */
  readonly agents: readonly Agent[];
  /** Everything it answers, for whoever wants to try all of it. */
  readonly routes: readonly Route[];
  /** Takes no more work, says goodbye to bridges and watchers, lets open steps finish, and ends. Idempotent. */
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often waiting tasks are looked at even if nothing happened. */
const admitEveryMs = 1_000;
const chainEveryMs = 1_000;
const lookForDueEveryMs = 1_000;
/** How often this process says which agents it executes. */
const announceEveryMs = 10_000;
/** How long an attempt waits for its workspace and its bridge. */
const prepareMs = 600_000;
const drainMs = 5_000;

/** Builds every room, joins them and starts: database, migrations, engine, HTTP. Undone again if a part fails. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const undo: Undo = [];
  try {
    return await build(options, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

async function build(options: ServiceOptions, undo: Undo): Promise<Service> {
  const { config, clock, log } = options;
  if (config.traceEndpoint !== undefined) undo.push(startTracing({ endpoint: config.traceEndpoint }));
  const { database, keys, anchorPath, own } = await openData(options, undo);

  const listener = makeListener({ url: database.url, log });
  const engine = createEngine({
    database,
    executorId: uuidv7(clock),
    log,
    singleProcess: !config.mayHaveReplicas,
  });
  const audit = makeAuditLog({ database, keys: keys.auditKeys, clock, log });
  const chainer = makeChainer({
    database,
    keys: keys.auditKeys,
    clock,
    log,
    anchorPath,
  });
  const seal = makeSeal(keys);
  const secrets = makeTemplateSecrets({ database, seal, audit, clock });
  const agentSecrets = makeAgentSecrets({ database, seal, audit, clock });
  const coderOptions: CallerOptions = {
    url: config.coder.url,
    serviceToken: config.coder.serviceToken ?? '',
    timeoutMs: config.coder.timeoutSeconds * 1_000,
    clock,
    log,
    record: (call) => auditCoderCall(audit, database, call),
  };
  const coder = makeCoder(coderOptions);
  const builds = makeCoderBuilds(makeCaller(coderOptions));
  const identity = makeIdentity({ coder, clock });
  const authorize = makeAuthorize(coder);
  const registry = makeRegistry();
  const presence = makePresence({ database, registry, clock, log, processId: uuidv7(clock) });
  const defaultModel = config.model.default ?? 'openrouter/auto';
  const allowedModels = config.model.allowed.length > 0 ? config.model.allowed : null;
  const gateway = makeGateway({
    database,
    upstream: { url: config.model.upstreamUrl, apiKey: config.model.apiKey ?? null, timeoutMs: 300_000 },
    providerKey: makeProviderKey({
      database,
      secrets: agentSecrets,
      upstreamUrl: config.model.upstreamUrl,
      clock,
    }),
    defaultModel,
    allowedModels,
    prices: loadPrices(config.model.pricesFile),
    clock,
    log,
  });
  const broker = makeBroker({
    database,
    audit,
    secrets: agentSecrets,
    coder,
    authenticate: gateway.authenticate,
    clock,
    allowLoopback: config.allowInsecureHttp,
  });
  const approvals = makeApprovals({
    audit,
    clock,
    askMs: timing.askMs,
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
  const onFinished: FinishedHook = async (tx, task) => [
    ...(await wakeWorkflow(tx, task)),
    ...(await endNested(tx, task)),
  ];
  const settleParts = { audit, approvals, gateway, clock, onFinished };
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
    },
  });

  const stop = (taskId: string, actorId: string, id: string) =>
    stopTask({ ...settleParts, database, engine }, taskId, actorId, id);
  const runParts = { database, audit, approvals, clock, log, admit: admission.admitNow, stopTask: stop };
  const checkCost = makeCheckCost({ database, aboveMicroUsd: config.approvalAboveMicroUsd ?? null });
  const callBridge = makeCallBridge({ database, listener, clock });
  const agents = makeAgents({
    checkCost,
    callBridge,
    ...{ config, database, registry, audit, clock, engine, coder, bounds, workspaceBounds, secrets: agentSecrets },
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
  engine.schedule('sweep', '* * * * *', async () => {
    await sweepLostAttempts({ ...settleParts, database, engine, log });
    await database.transaction((tx) => approvals.expireDrafts(tx));
    await sweepLostWorkflows(engine, runParts);
  });
  engine.schedule('forget-workspaces', '*/10 * * * *', async () => {
    await forgetDeletedWorkspaces({ database, audit, clock, log, builds });
  });
  engine.schedule('standby', '* * * * *', async () => {
    await stopIdleWorkspaces({ database, audit, clock, log, coder, builds });
  });
  engine.schedule('housekeeping', '17 * * * *', () =>
    database.transaction(async (tx) => {
      await forgetOldKeys(tx, clock);
      await forgetOldFrames(tx, clock.now());
    }),
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
  let ready = false;
  const web = makeWebServer({
    guards: makeGuards(identity, gateway),
    mustBeOn: makeMustBeOn(config.flags),
    clock,
    log,
    bodyLimitBytes: limits.jsonBodyBytes,
    routes: [
      ...healthRoutes({ database, isReady: () => ready }),
      registerRoute({ database, audit, coder, verifyProof: secrets.verifyProof, clock, log }),
      ...tasksRoutes({
        ...settleParts,
        ...acceptParts,
        engine,
        stream,
        watch,
      }),
      ...harnessPartsRoutes({ database, coder, authorize, callBridge, clock }),
      ...taskMessagesRoutes(acceptParts),
      ...namedTaskRoutes(acceptParts),
      ...executeRoutes(acceptParts),
      ...deadLetterRoutes(acceptParts),
      ...behind('compose', composeRoutes({ ...planning, gateway, approvals, answerMs: 60_000 })),
      ...retryRoutes(acceptParts),
      ...schemasRoutes(),
      ...workflowsRoutes({ ...acceptParts, ...runParts, progress, engine, planning }),
      ...schedules.routes,
      ...behind('definitions', definitionsRoutes({ ...organizationAdmin, ...acceptParts, engine })),
      ...approvalsRoutes({ database, approvals, authorize, onDecision: makeStartDraft({ ...acceptParts, engine }) }),
      ...workspacesRoutes({
        database,
        audit,
        clock,
        authorize,
        coderUrl: config.coder.url,
        recreation: {
          coder,
          builds,
          stopTask: stop,
        },
      }),
      ...compatibleWorkspaceRoutes({ coder, authorize }),
      ...auditRoutes({ database }),
      ...templateSecretRoutes({
        database,
        secrets,
        audit,
        mayAdministerTemplates: (_request, response, organizationId) =>
          authorize.templates(callerOf(response), organizationId, requestId(response)),
      }),
      ...agentSecretRoutes({ ...organizationAdmin, secrets: agentSecrets }),
      ...agentEntryRoutes({
        ...organizationAdmin,
        secrets: agentSecrets,
        upstreamUrl: config.model.upstreamUrl,
        clock,
      }),
      ...agentTemplateRoutes({ ...organizationAdmin, clock }),
      ...workLimitRoutes({ ...organizationAdmin, registry }),
      ...gateway.routes,
      ...broker.routes,
    ],
  });
  hub.attach(web.server);

  undo.push(() => listener.stop());
  await listener.start();
  undo.push(() => gateway.close());
  undo.push(() => broker.close());
  await gateway.recoverLostCalls();
  undo.push(() => chainer.stop());
  undo.push(() => audit.flush());
  chainer.start(chainEveryMs);
  undo.push(() => engine.stop());
  await engine.start();
  own();
  undo.push(() => admission.stop());
  admission.start(admitEveryMs);
  undo.push(() => schedules.stop());
  schedules.start(lookForDueEveryMs);
  undo.push(() => presence.stop());
  await presence.announce();
  presence.start(announceEveryMs);
  undo.push(() => web.close(drainMs));
  undo.push(() => hub.drain());
  const address = await web.listen(config.listen);
  ready = true;
  undo.push(() => {
    ready = false;
    stream.drain();
    progress.drain();
    watch.drain();
    return Promise.resolve();
  });

  const url = `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  let stopping: Promise<void> | undefined;
  return {
    url,
    routes: web.routes,
    agents,
    stop() {
      stopping ??= (async () => {
        for (const step of undo.reverse())
          await step().catch((error: unknown) => log.warn({ error }, 'a part did not stop cleanly'));
      })();
      return stopping;
    },
  };
}
