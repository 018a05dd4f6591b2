import { z } from 'zod';
import {
  names,
  protocolVersion,
  timing,
  tokenPrefix,
  type RegisterRequest,
  type RegisterResponse,
} from '../../modules/contract.ts';
import type { AuditEntry } from '../audit/audit-event.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { alertAction } from './alerts-routes.ts';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import { mintToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, requestId, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { bearerOf } from '../identity/identity.ts';
import { saveRegistration } from './bridge-store.ts';

/** Answers the id of the template secret behind a proof, or null. */
export type VerifyProof = (
  proof: string,
  ids: { workspaceId: string; ownerId: string; organizationId: string; agentId: string },
) => Promise<string | null>;

export interface RegistrationParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly coder: Pick<Coder, 'readWorkspace'>;
  readonly verifyProof: VerifyProof;
  readonly clock: Clock;
  readonly log: Logger;
}

const body = z.object({
  workspace_id: z.uuid(),
  agent_id: z.uuid(),
  version: z.string().min(1).max(100),
  protocol_version: z.number().int().default(protocolVersion),
  capabilities: z.array(z.string().max(100)).max(100).default([]),
  endpoint: z.string().max(2_000).optional(),
});

const registered = z
  .strictObject({
    bridge_token: z.string(),
    expires_at: z.iso.datetime(),
    heartbeat_interval_seconds: z.number(),
    lease_seconds: z.number(),
    protocol_version: z.number().int(),
  })
  .meta({ id: 'Registration' });

/** Protocol versions this service speaks: the current one and the one before it. */
const spoken = [protocolVersion, protocolVersion - 1].filter((version) => version >= 1);

/** `POST /api/v2/agents/opencode/register`: a proof becomes a short-lived bridge token. */
export function registerRoute(parts: RegistrationParts): Route {
  return {
    method: 'post',
    path: '/api/v2/agents/opencode/register',
    guard: 'proof',
    summary: 'Registers the bridge of a workspace with the proof its template derived.',
    shape: { body, answers: { 201: registered } },
    handler: async (request, response) => {
      const proof = bearerOf(request);
      if (proof === undefined) throw proofRefused();
      const registration = parse(body, request.body, 'The registration') as RegisterRequest;
      if (!spoken.includes(registration.protocol_version)) throw protocolNotSpoken(registration.protocol_version);
      response.status(201).json(await register(parts, registration, proof, requestId(response)));
    },
  };
}

async function register(
  parts: RegistrationParts,
  request: RegisterRequest,
  proof: string,
  id: string,
): Promise<RegisterResponse> {
  const { database, audit, clock, log } = parts;
  const workspace = await parts.coder.readWorkspace(request.workspace_id, { actor: 'service', requestId: id });
  const kid = workspace === null ? null : await parts.verifyProof(proof, idsOf(workspace, request));
  if (workspace === null || kid === null || !hasRunningAgent(workspace, request.agent_id)) {
    log.warn({ requestId: id, workspaceId: request.workspace_id }, 'bridge registration refused');
    await database.transaction((tx) =>
      audit.append(tx, {
        actor: `bridge:${request.workspace_id}`,
        action: 'bridge.refused',
        target: { type: 'workspace', id: request.workspace_id },
        outcome: 'denied',
        requestId: id,
      }),
    );
    throw proofRefused();
  }
  const { token, hash } = mintToken(tokenPrefix.bridge);
  const expiresAt = new Date(clock.now().getTime() + timing.bridgeTokenMs);
  const saved = await database.transaction(async (tx) => {
    const result = await saveRegistration(tx, clock.now(), {
      request,
      ownerId: workspace.ownerId,
      organizationId: workspace.organizationId,
      tokenHash: hash,
      tokenExpiresAt: expiresAt,
    });
    await audit.append(tx, {
      actor: `bridge:${request.workspace_id}`,
      action: result.superseded ? 'bridge.superseded' : 'bridge.registered',
      target: { type: 'workspace', id: request.workspace_id },
      outcome: 'success',
      ownerId: workspace.ownerId,
      organizationId: workspace.organizationId,
      workspaceId: request.workspace_id,
      requestId: id,
      data: { generation: result.generation, version: request.version, kid },
    });
    if (isUnexpected(result)) await audit.append(tx, alertOf(workspace, id, result.generation));
    return result;
  });
  if (saved.superseded)
    log[isUnexpected(saved) ? 'error' : 'warn'](
      { workspaceId: request.workspace_id, generation: saved.generation, alert: isUnexpected(saved) },
      'a second bridge registered; the first is fenced',
    );
  return {
    bridge_token: token,
    expires_at: expiresAt.toISOString(),
    heartbeat_interval_seconds: timing.heartbeatMs / 1000,
    lease_seconds: timing.leaseMs / 1000,
    protocol_version: protocolVersion,
  };
}

/** Two bridges of one build at once: a sidecar that was restarted too fast to be missed, or somebody with its proof. */
const isUnexpected = (saved: { readonly superseded: boolean; readonly isSameBuild: boolean }): boolean =>
  saved.superseded && saved.isSameBuild;

const alertOf = (workspace: CoderWorkspace, id: string, generation: number): AuditEntry => ({
  actor: `bridge:${workspace.id}`,
  action: alertAction,
  target: { type: 'workspace', id: workspace.id },
  outcome: 'failure',
  ownerId: workspace.ownerId,
  organizationId: workspace.organizationId,
  workspaceId: workspace.id,
  requestId: id,
  data: { alert: 'second_registration', generation },
});

const idsOf = (workspace: CoderWorkspace, request: RegisterRequest) => ({
  workspaceId: workspace.id,
  ownerId: workspace.ownerId,
  organizationId: workspace.organizationId,
  agentId: request.agent_id,
});

/** The proof dies with its build: it must name the workspace agent of the build that runs now. */
const hasRunningAgent = (workspace: CoderWorkspace, agentId: string): boolean =>
  workspace.transition === 'start' &&
  workspace.jobStatus === 'succeeded' &&
  workspace.agents.some((agent) => agent.id === agentId && agent.name === names.workspaceAgent);

const proofRefused = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'proof_refused',
    'The registration proof does not fit a running workspace. Rebuild the workspace, or push its template again.',
  );

const protocolNotSpoken = (version: number): ServiceError =>
  new ServiceError(
    'upgrade_required',
    'protocol_not_spoken',
    `This bridge speaks protocol ${version}; this service speaks ${spoken.join(' and ')}. ` +
      (version < protocolVersion
        ? 'Upgrade the opencode image of the template.'
        : 'Upgrade the service before the templates.'),
  );
