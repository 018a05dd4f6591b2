import { randomBytes, randomUUID } from 'node:crypto';
import { makeRegistry } from '../../service/agents/registry.ts';
import { makeApprovals } from '../../service/approvals/approvals.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import type { CoderWorkspace } from '../../service/coder/coder.ts';
import { readBounds } from '../../service/coder/template-bounds.ts';
import type { Caller } from '../../service/identity/identity.ts';
import { systemRandomness, type Clock } from '../../service/platform/clock.ts';
import type { Database, Transaction } from '../../service/platform/database.ts';
import type { EnqueueRequest } from '../../service/platform/engine.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeSeal } from '../../service/platform/seal.ts';
import type { HookParts } from '../../service/schedules/receive-hook.ts';
import { lockTask } from '../../service/tasks/task-store.ts';

/** Ids that every process of one test shares. */
export interface RoomIds {
  readonly ownerId: string;
  readonly workspaceId: string;
  readonly organizationId: string;
}

export const newRoomIds = (): RoomIds => ({
  ownerId: randomUUID(),
  workspaceId: randomUUID(),
  organizationId: randomUUID(),
});

/** The room of schedules on a real database, without an engine and with a Coder that says yes. */
export function makeScheduleParts(options: {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: RoomIds;
  /** Called inside the transaction that starts a workflow. */
  readonly enqueue?: (tx: Transaction, request: EnqueueRequest) => Promise<void>;
}): HookParts {
  const { database, clock, ids } = options;
  const audit = makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger });
  const workspace: CoderWorkspace = {
    id: ids.workspaceId,
    name: 'ws-123',
    ownerId: ids.ownerId,
    ownerName: 'ada',
    organizationId: ids.organizationId,
    organizationName: 'coder',
    templateName: 'docker',
    status: 'running',
    transition: 'start',
    jobStatus: 'succeeded',
    buildId: randomUUID(),
    templateVersionId: randomUUID(),
    agents: [],
  };
  const user = { id: ids.ownerId, username: 'ada', name: 'Ada', email: '', organizationIds: [ids.organizationId] };
  return {
    database,
    clock,
    log: silentLogger,
    audit,
    approvals: makeApprovals({ audit, clock, lockTask, onSettled: () => Promise.resolve() }),
    coder: {
      readUser: () => Promise.resolve({ ...user, isActive: true }),
      readWorkspace: () => Promise.resolve(workspace),
    },
    authorize: { workspace: () => Promise.resolve(workspace) },
    bounds: { registry: makeRegistry(), defaultModel: 'scripted/test', allowedModels: null, maxProfile: 'ask' },
    workspaceBounds: { of: () => Promise.resolve(readBounds(new Map(), new Map())) },
    queueMax: 10_000,
    engine: { enqueue: options.enqueue ?? (() => Promise.resolve()), signal: () => Promise.resolve() },
    stopTask: () => Promise.resolve(),
    admit: () => Promise.resolve(),
    admitSoon: () => undefined,
    seal: makeSeal({ keyring: new Map([['1', randomBytes(32)]]), current: '1' }),
    randomness: systemRandomness,
  };
}

export const callerIn = (ids: RoomIds): Caller => ({
  actor: { id: ids.ownerId, name: 'ada', organizationIds: [ids.organizationId] },
  commitIdentity: { name: 'Ada', email: '' },
  token: '',
});

export const cronTaskOf = (name: string, spec: Record<string, unknown>) => ({
  apiVersion: 'kubeopencode.io/v1alpha1',
  kind: 'CronTask',
  metadata: { name },
  spec: { taskTemplate: { spec: { description: 'Add a test.', workspace_id: 'ws-123' } }, ...spec },
});
