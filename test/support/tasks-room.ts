import { randomBytes, randomUUID } from 'node:crypto';
import type { Agent, Answer, Lease, Profile } from '../../modules/contract.ts';
import { makeRegistry } from '../../service/agents/registry.ts';
import type { Approval } from '../../service/approvals/approval.ts';
import { listApprovals, pendingOfTask } from '../../service/approvals/approval-store.ts';
import { makeApprovals } from '../../service/approvals/approvals.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import type { BridgeHandlers, BridgeIdentity } from '../../service/bridge/bridge.ts';
import { saveRegistration } from '../../service/bridge/bridge-store.ts';
import type { CoderWorkspace } from '../../service/coder/coder.ts';
import { makeGateway } from '../../service/gateway/gateway.ts';
import { loadPrices } from '../../service/gateway/prices.ts';
import type { Engine, EnqueueRequest } from '../../service/platform/engine.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeAdmission, type Admission } from '../../service/tasks/admit.ts';
import { takeTurn, type AttemptParts } from '../../service/tasks/attempt.ts';
import { endUnanswered } from '../../service/tasks/end-unanswered.ts';
import { makeApprovalHook } from '../../service/tasks/asks.ts';
import { makeLeaseHandlers } from '../../service/tasks/leases.ts';
import { checkWork, submitTask, taskBody } from '../../service/tasks/submit-task.ts';
import type { StopParts } from '../../service/tasks/stop-task.ts';
import { lockTask, readTask } from '../../service/tasks/task-store.ts';
import type { TaskRecord } from '../../service/tasks/task.ts';
import type { Turn } from '../../service/tasks/turn.ts';
import type { WorkLimits } from '../../service/tasks/work-bounds.ts';
import { makeTestClock, type TestClock } from './clock.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

/**
 * The tasks room on a real database, without an engine: the test takes each turn of an attempt by hand, and moves
 * the clock between them.
 */
export interface TasksRoom {
  readonly clock: TestClock;
  readonly data: TestDatabase;
  readonly enqueued: readonly EnqueueRequest[];
  readonly signals: readonly string[];
  readonly handlers: BridgeHandlers;
  readonly admission: Admission;
  readonly bridge: BridgeIdentity;
  /** What stopping a task needs. */
  readonly stopParts: StopParts;
  /** What a turn of an attempt needs. */
  readonly attemptParts: AttemptParts;
  /** What Coder says when a turn asks whether the workspace runs. */
  workspaceIs: 'running' | 'starting' | 'unreachable' | { refused: string };
  /** What the workspace allows when a bridge asks for work; null while Coder does not say. */
  limits: WorkLimits | null;
  /** A newer registration of the same workspace. */
  registerAgain(): Promise<void>;
  /** As if the process had just started. */
  startedAgain(): void;
  submit(change?: Record<string, unknown>, workspaceId?: string): Promise<string>;
  turn(taskId: string, attempt: number): Promise<Turn>;
  task(taskId: string): Promise<TaskRecord>;
  /** The newest question of a task. */
  question(taskId: string): Promise<Approval>;
  /** A person answers the newest question of a task. */
  decide(taskId: string, decision: Answer, message?: string): Promise<Approval>;
  /** What is looked at every minute: questions that nobody answered. */
  endUnanswered(): Promise<void>;
  /** Submits, admits and leases a task. */
  leased(change?: Record<string, unknown>): Promise<Lease>;
  close(): Promise<void>;
}

export async function makeTasksRoom(
  options: {
    perWorkspace?: number;
    serviceAgents?: readonly Agent[];
    maxProfile?: Profile;
    clock?: TestClock;
    /** Takes the work instead of the list `enqueued`. */
    engine?: Pick<Engine, 'enqueue' | 'signal'>;
  } = {},
): Promise<TasksRoom> {
  const data = await createTestDatabase();
  const { database } = data;
  const clock = options.clock ?? makeTestClock();
  const enqueued: EnqueueRequest[] = [];
  const signals: string[] = [];
  const engine = options.engine ?? {
    enqueue: (_tx: unknown, request: EnqueueRequest) => {
      enqueued.push(request);
      return Promise.resolve();
    },
    signal: (workflowId: string) => {
      signals.push(workflowId);
      return Promise.resolve();
    },
  };
  const audit = makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger });
  const gateway = makeGateway({
    database,
    upstream: { url: 'http://127.0.0.1:9/v1', apiKey: null, timeoutMs: 1_000 },
    defaultModel: 'scripted/test',
    allowedModels: null,
    prices: loadPrices(),
    allowUnpriced: true,
    clock,
    log: silentLogger,
  });
  const approvals = makeApprovals({
    audit,
    clock,
    lockTask,
    onSettled: makeApprovalHook(
      clock,
      async (tx, taskId) => (await pendingOfTask(tx, taskId)).length,
      () => Promise.resolve(),
    ),
  });
  const admission = makeAdmission({
    database,
    engine,
    clock,
    log: silentLogger,
    perWorkspace: options.perWorkspace ?? 1,
    prepareMs: 600_000,
    onAdmitted: () => undefined,
  });
  const bridge: BridgeIdentity = {
    workspaceId: randomUUID(),
    generation: 1,
    ownerId: randomUUID(),
    organizationId: randomUUID(),
  };
  let aliveSince = new Date(0);
  const register = (): Promise<unknown> =>
    database.transaction((tx) =>
      saveRegistration(tx, clock.now(), {
        request: {
          workspace_id: bridge.workspaceId,
          agent_id: randomUUID(),
          version: 'test',
          protocol_version: 1,
          capabilities: [],
        },
        ownerId: bridge.ownerId,
        organizationId: bridge.organizationId,
        tokenHash: randomBytes(32),
        tokenExpiresAt: new Date(clock.now().getTime() + 7 * 86_400_000),
      }),
    );
  await register();
  const parts: AttemptParts = {
    database,
    audit,
    approvals,
    gateway,
    clock,
    log: silentLogger,
    onFinished: () => Promise.resolve([]),
    get aliveSince() {
      return aliveSince;
    },
    admit: () => Promise.resolve(),
    serviceAgents: options.serviceAgents ?? [],
    coder: {
      readWorkspace: (id) => Promise.resolve(workspaceOf(id)),
      ensureRunning: () =>
        room.workspaceIs === 'unreachable'
          ? Promise.reject(new Error('Coder is away'))
          : Promise.resolve(room.workspaceIs),
    },
  };
  const handlers = makeLeaseHandlers({
    database,
    engine,
    audit,
    approvals,
    gateway,
    clock,
    log: silentLogger,
    limitsOf: () => (room.limits ? Promise.resolve(room.limits) : Promise.reject(new Error('Coder is away'))),
  });
  const bounds = {
    registry: makeRegistry(),
    defaultModel: 'scripted/test',
    allowedModels: null,
    maxProfile: options.maxProfile ?? 'ask',
  };
  const workspaceOf = (id: string): CoderWorkspace => ({
    id,
    name: 'ws',
    ownerId: bridge.ownerId,
    ownerName: 'ada',
    organizationId: bridge.organizationId,
    organizationName: 'acme',
    templateName: 'docker',
    status: 'running',
    transition: 'start',
    jobStatus: 'succeeded',
    buildId: randomUUID(),
    templateVersionId: randomUUID(),
    agents: [],
  });

  const room: TasksRoom = {
    clock,
    data,
    enqueued,
    signals,
    handlers,
    admission,
    bridge,
    stopParts: { ...parts, engine },
    attemptParts: parts,
    workspaceIs: 'running',
    limits: bounds,
    async submit(change = {}, workspaceId = bridge.workspaceId) {
      const body = taskBody.parse({
        type: 'opencode',
        payload: { action: 'generate_code', prompt: 'Do it' },
        ...change,
      });
      const work = checkWork(bounds, body.type, body.payload.action, {
        ...body,
        prompt: body.payload.prompt,
        payload: body.payload,
        params: body.payload.params,
      });
      const submitter = { id: bridge.ownerId, name: 'ada', commitIdentity: { name: 'Ada', email: 'ada@localhost' } };
      const workspace = workspaceOf(workspaceId);
      return database.transaction((tx) =>
        submitTask(tx, { audit, clock }, { work, submitter, workspace, requestId: null }),
      );
    },
    async registerAgain() {
      await register();
    },
    startedAgain() {
      aliveSince = clock.now();
    },
    turn: (taskId, attempt) => takeTurn(parts, { task_id: taskId, attempt }),
    async task(taskId) {
      const task = await readTask(database, taskId);
      if (!task) throw new Error(`no task ${taskId}`);
      return task;
    },
    async question(taskId) {
      const filter = { ownerId: bridge.ownerId, taskId, limit: 1 };
      const [newest] = await listApprovals(database, filter);
      if (!newest) throw new Error(`task ${taskId} asked nothing`);
      return newest;
    },
    async decide(taskId, decision, message) {
      const approval = await room.question(taskId);
      const by = { actorId: bridge.ownerId, decision, message: message ?? null, requestId: randomUUID() };
      return database.transaction((tx) => approvals.decide(tx, approval, by));
    },
    endUnanswered: () => endUnanswered({ ...parts, engine }),
    async leased(change) {
      const id = await room.submit(change);
      await admission.admitNow();
      await room.turn(id, 1);
      const lease = await handlers.claim(bridge, { slots: 1, holding: [] });
      if (!lease) throw new Error('nothing to lease');
      return lease;
    },
    async close() {
      await gateway.close();
      await data.drop();
    },
  };
  return room;
}
