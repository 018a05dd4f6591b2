import { z } from 'zod';
import { names, type EgressBlocked, type EgressSyncResponse } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import { bearerOf } from '../identity/identity.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, requestId, type Route } from '../platform/http.ts';
import { makeTimeCache } from '../platform/time-cache.ts';
import type { TemplateSecrets } from '../secrets/template-secrets.ts';
import { countBlocked, rulesOf, versionOf } from './egress-store.ts';

export interface EgressSyncParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly coder: Pick<Coder, 'readWorkspace'>;
  readonly verifyProof: TemplateSecrets['verifyProof'];
  readonly clock: Clock;
  /** Told of places that a workspace was refused for the first time, in the transaction that counts them. */
  readonly onBlocked: (tx: Transaction, workspaceId: string, blocked: readonly EgressBlocked[]) => Promise<void>;
}

/** How often a proxy asks; so long a change of the list may take. */
const nextSeconds = 15;
/** A proof is asked about at Coder once in this time, not at each call. */
const believedMs = 5 * 60_000;

const body = z.strictObject({
  workspace_id: z.uuid(),
  agent_id: z.uuid(),
  blocked: z
    .array(
      z.strictObject({
        host: z
          .string()
          .min(1)
          .max(253)
          .regex(/^[\x21-\x7e]+$/, 'must be printable'),
        port: z.number().int().min(0).max(65_535),
        reason: z.string().regex(/^[a-z_]{1,30}$/),
        count: z.number().int().min(1).max(1_000_000_000),
      }),
    )
    .max(100),
});

/** `POST /api/v2/agents/egress/sync`: the proxy of a workspace says what it refused and learns what it may let through. */
export function egressSyncRoute(parts: EgressSyncParts): Route {
  const { database, audit, clock } = parts;
  const believed = makeTimeCache<CoderWorkspace>({ clock, ttlMs: believedMs, most: 10_000 });

  /** Throws where it is nobody's: a refusal is not remembered, because a proxy asks before its build has ended. */
  async function whoseProof(proof: string, workspaceId: string, agentId: string, id: string) {
    const workspace = await parts.coder.readWorkspace(workspaceId, { actor: 'service', requestId: id });
    if (workspace === null || !hasRunningAgent(workspace, agentId)) throw proofRefused();
    const { ownerId, organizationId } = workspace;
    // The bridge's own proof is another one, so neither works in place of the other.
    const subject = { workspaceId, ownerId, organizationId, agentId: `egress:${agentId}` };
    if ((await parts.verifyProof(proof, subject)) === null) throw proofRefused();
    return workspace;
  }

  return {
    method: 'post',
    path: '/api/v2/agents/egress/sync',
    guard: 'proof',
    summary: 'Takes what the proxy of a workspace refused, and answers the list that holds for it.',
    shape: {
      body,
      answers: {
        200: z.strictObject({ version: z.number(), hosts: z.array(z.string()), next_seconds: z.number() }),
      },
    },
    handler: async (request, response) => {
      const proof = bearerOf(request);
      if (proof === undefined) throw proofRefused();
      const { workspace_id: workspaceId, agent_id: agentId, blocked } = parse(body, request.body, 'The call');
      const workspace = await believed.get(`${proof} ${workspaceId} ${agentId}`, () =>
        whoseProof(proof, workspaceId, agentId, requestId(response)),
      );
      const { organizationId, ownerId } = workspace;
      if (blocked.length > 0) {
        await database.transaction(async (tx) => {
          const fresh = await countBlocked(tx, workspaceId, blocked, clock.now());
          if (fresh.length === 0) return;
          await audit.append(tx, {
            actor: 'service',
            action: 'egress.blocked',
            target: { type: 'workspace', id: workspaceId },
            outcome: 'denied',
            ownerId,
            organizationId,
            workspaceId,
            requestId: requestId(response),
            data: {
              places: fresh
                .slice(0, 20)
                .map(({ host, port }) => `${host}:${String(port)}`)
                .join(' '),
              count: fresh.length,
            },
          });
          await parts.onBlocked(tx, workspaceId, fresh);
        });
      }
      const rules = await rulesOf(database, organizationId, clock.now());
      const own = rules.filter(({ workspace_id: of }) => of === null || of === workspaceId);
      const answer: EgressSyncResponse = {
        version: await versionOf(database, organizationId),
        hosts: [...new Set(own.map(({ host }) => host))],
        next_seconds: nextSeconds,
      };
      response.json(answer);
    },
  };
}

/** The proof dies with its build: it must name the workspace agent of the build that runs now. */
const hasRunningAgent = ({ transition, agents }: CoderWorkspace, agentId: string): boolean =>
  transition === 'start' && agents.some(({ id, name }) => id === agentId && name === names.workspaceAgent);

const proofRefused = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'proof_refused',
    'The proof does not fit a running workspace. Rebuild the workspace, or push its template again.',
  );
