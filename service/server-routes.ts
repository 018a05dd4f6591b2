import { agentEntryRoutes } from './agents/agent-entry-routes.ts';
import { agentTemplateRoutes } from './agents/agent-template.ts';
import { ownCredentialRoutes } from './agents/own-credential-routes.ts';
import { workLimitRoutes } from './agents/work-limit-routes.ts';
import { approvalsRoutes } from './approvals/approvals-routes.ts';
import { policyRoutes } from './approvals/policy-routes.ts';
import { auditRoutes } from './audit/audit-routes.ts';
import { alertsRoute } from './bridge/alerts-routes.ts';
import { harnessPartsRoutes } from './bridge/harness-parts-routes.ts';
import { registerRoute } from './bridge/register.ts';
import { budgetRoutes } from './gateway/budget-routes.ts';
import { usageRoutes } from './gateway/usage-routes.ts';
import { egressRoutes } from './egress/egress-routes.ts';
import { egressSyncRoute } from './egress/sync-route.ts';
import { callerOf } from './identity/identity.ts';
import { behind, requestId, type Route } from './platform/http.ts';
import { healthRoutes } from './platform/health-routes.ts';
import { secretRoutes } from './secrets/secret-routes.ts';
import { templateSecretRoutes } from './secrets/template-secret-routes.ts';
import { deadLetterRoutes } from './tasks/dead-letter-routes.ts';
import { executeRoutes } from './tasks/execute-routes.ts';
import { checkpointRoutes } from './tasks/record/checkpoint-routes.ts';
import { recordRoutes } from './tasks/record/record-routes.ts';
import { retentionRoutes } from './tasks/record/retention-routes.ts';
import { retryRoutes } from './tasks/retry-routes.ts';
import { namedTaskRoutes } from './tasks/named-task-routes.ts';
import { taskMessagesRoutes } from './tasks/task-messages-routes.ts';
import { tellTasksOfBlocked } from './tasks/tell-egress.ts';
import { tasksRoutes } from './tasks/tasks-routes.ts';
import { composeRoutes } from './workflows/compose/compose-routes.ts';
import { makeStartDraft } from './workflows/compose/start-draft.ts';
import { definitionsRoutes } from './workflows/definitions/definitions-routes.ts';
import { schemasRoutes } from './workflows/schemas-routes.ts';
import { workflowsRoutes } from './workflows/workflows-routes.ts';
import { bridgeCommandRoutes } from './workspaces/bridge-command-routes.ts';
import { compatibleWorkspaceRoutes } from './workspaces/compatible-routes.ts';
import { deleteWorkspaceRoutes } from './workspaces/delete-workspace.ts';
import { workspacesRoutes } from './workspaces/workspaces-routes.ts';
import type { Base } from './server-base.ts';
import { makeReseal } from './server-seals.ts';
import type { Work } from './server-work.ts';
import { metricsRoutes } from './metrics/metrics-routes.ts';

/** Everything the service answers, in the order in which it is tried; `isReady` is what `/readyz` says. */
export function makeRoutes(base: Base, work: Work, isReady: () => boolean): readonly Route[] {
  const {
    metrics,
    config,
    clock,
    log,
    database,
    engine,
    audit,
    templateSecrets,
    secrets,
    seal,
    keys,
    coder,
    builds,
    authorize,
    registry,
    gateway,
    broker,
  } = base;
  const {
    approvals,
    settleParts,
    stream,
    watch,
    stop,
    runParts,
    callBridge,
    askBridge,
    progress,
    organizationAdmin,
    acceptParts,
    planning,
    schedules,
  } = work;
  return [
    ...healthRoutes({ database, isReady }),
    registerRoute({ database, audit, coder, verifyProof: templateSecrets.verifyProof, clock, log }),
    ...tasksRoutes({
      ...settleParts,
      ...acceptParts,
      engine,
      stream,
      watch,
    }),
    ...harnessPartsRoutes({ database, coder, authorize, callBridge, clock }),
    ...recordRoutes({ database, authorize }),
    ...retentionRoutes(organizationAdmin),
    ...checkpointRoutes({ database, authorize, audit, clock, callBridge }),
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
    ...deleteWorkspaceRoutes({ database, audit, authorize, coder, builds, callBridge }),
    ...compatibleWorkspaceRoutes({ coder, authorize }),
    ...bridgeCommandRoutes({ ...acceptParts, approvals, coder, askBridge }),
    ...auditRoutes({ database }),
    ...metricsRoutes(metrics, config.metricsToken),
    ...templateSecretRoutes({
      database,
      secrets: templateSecrets,
      audit,
      mayAdministerTemplates: (_request, response, organizationId) =>
        authorize.templates(callerOf(response), organizationId, requestId(response)),
    }),
    ...secretRoutes({
      ...organizationAdmin,
      secrets,
      reseal: makeReseal(database, seal, keys),
      workspaceOf: (response, reference) => authorize.workspace(callerOf(response), reference, requestId(response)),
    }),
    alertsRoute(organizationAdmin),
    egressSyncRoute({
      ...{ database, audit, coder, clock, verifyProof: templateSecrets.verifyProof },
      onBlocked: tellTasksOfBlocked(clock),
    }),
    ...egressRoutes({
      ...organizationAdmin,
      clock,
      workspaceOf: (response, reference) => authorize.workspace(callerOf(response), reference, requestId(response)),
    }),
    ...ownCredentialRoutes({ database, audit, secrets, upstreamUrl: config.model.upstreamUrl, clock }),
    ...agentEntryRoutes({
      ...organizationAdmin,
      secrets,
      upstreamUrl: config.model.upstreamUrl,
      clock,
    }),
    ...agentTemplateRoutes({ ...organizationAdmin, clock }),
    ...workLimitRoutes({ ...organizationAdmin, registry }),
    ...policyRoutes({ ...organizationAdmin, clock }),
    ...budgetRoutes({ ...organizationAdmin, clock }),
    ...usageRoutes(organizationAdmin),
    ...gateway.routes,
    ...broker.routes,
  ];
}
