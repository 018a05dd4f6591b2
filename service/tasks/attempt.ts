import { timing, type Agent, type AttemptRef, type Evidence, type Reason } from '../../modules/contract.ts';
import { wakeBridge } from '../bridge/bridge-store.ts';
import type { Coder } from '../coder/coder.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { DurableContext, Engine } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import { askToStop } from './ask-to-stop.ts';
import { beginParking } from './park.ts';
import { nothingRan, runHere } from './run-here.ts';
import { settleAttempt, type SettleParts } from './settle.ts';
import { changeAttempt, changeTask, lockTask, readAttempt } from './task-store.ts';
import {
  attemptWorkflow,
  attemptWorkflowId,
  failedEvidence,
  lookTopic,
  type AttemptRecord,
  type TaskRecord,
} from './task.ts';
import { done, lockCurrent, wait, type Turn } from './turn.ts';
import { ensureStarted } from './workspace-start.ts';

export interface AttemptParts extends SettleParts {
  readonly database: Database;
  readonly coder: Pick<Coder, 'ensureRunning' | 'readWorkspace'>;
  /** Agents that work in this process. */
  readonly serviceAgents: readonly Agent[];
  readonly log: Logger;
  /** Since when this process can hear heartbeats. */
  readonly aliveSince: Date;
  /** Called after an attempt gave back its place. */
  readonly admit: () => Promise<unknown>;
}

/** How often a starting workspace is looked at. */
const workspacePollMs = 2_000;
const brokenTurnMs = 5_000;
/** Room for the bridge to report the end it was asked for: abort, TERM, KILL and the check. */
const stopGraceMs = timing.stopAbortMs + timing.stopTermMs + 20_000;

/** Answers a function that takes an attempt's first turn early, before the engine has polled for it. */
export function registerAttempt(engine: Engine, parts: AttemptParts): (ref: AttemptRef) => void {
  const turns = makeTurns(parts);
  engine.register<AttemptRef>(attemptWorkflow, (context, ref) => runAttempt(context, parts, turns, ref));
  return (ref) => void takeEarly(engine, parts, turns, ref);
}

type TakeTurn = (ref: AttemptRef) => Promise<Turn>;

/** Two who want a turn of one attempt in this process share it, so that Coder is asked once. */
function makeTurns(parts: AttemptParts): TakeTurn {
  const open = new Map<string, Promise<Turn>>();
  return (ref) => {
    const key = attemptWorkflowId(ref.task_id, ref.attempt);
    const turn = open.get(key) ?? takeTurnOrWait(parts, ref).finally(() => open.delete(key));
    open.set(key, turn);
    return turn;
  };
}

/** The durable function will find the turn taken; whom it would have woken is woken here. */
async function takeEarly(engine: Engine, parts: AttemptParts, turns: TakeTurn, ref: AttemptRef): Promise<void> {
  const turn = await turns(ref);
  if (!turn.done) return;
  try {
    const key = attemptWorkflowId(ref.task_id, ref.attempt);
    for (const wake of turn.wakes) await engine.signal(wake.workflowId, wake.topic, {}, `early:${key}`);
  } catch (error) {
    parts.log.warn({ error, taskId: ref.task_id }, 'cannot wake after an early turn');
  }
}

async function runAttempt(
  context: DurableContext,
  parts: AttemptParts,
  takeTurnOf: TakeTurn,
  ref: AttemptRef,
): Promise<void> {
  for (let turn = 1; ; turn += 1) {
    const next = await context.step(`turn-${turn}`, () => takeTurnOf(ref));
    if (next.done) {
      for (const wake of next.wakes) await context.signal(wake.workflowId, wake.topic, {});
      await context.step('admit', () => parts.admit().then(() => null));
      return;
    }
    await context.receive(lookTopic, next.waitMs);
  }
}

/** A turn that broke is taken again a little later: an error would end the durable function for ever. */
async function takeTurnOrWait(parts: AttemptParts, ref: AttemptRef): Promise<Turn> {
  try {
    return await takeTurn(parts, ref);
  } catch (error) {
    parts.log.error({ error, taskId: ref.task_id, attempt: ref.attempt }, 'a turn of an attempt failed');
    return wait(brokenTurnMs);
  }
}

/** Does what is due for an attempt. Idempotent. */
export async function takeTurn(parts: AttemptParts, ref: AttemptRef): Promise<Turn> {
  const attempt = await readAttempt(parts.database, ref.task_id, ref.attempt);
  if (!attempt) return done();
  if (attempt.state === 'preparing') {
    const agent = parts.serviceAgents.find((one) => one.name() === attempt.agent);
    return agent ? runHere(parts, agent, ref) : prepare(parts, ref);
  }
  return parts.database.transaction((tx) => lockedTurn(tx, parts, ref));
}

/** Makes sure the workspace runs. Coder is asked outside any transaction. */
async function prepare(parts: AttemptParts, ref: AttemptRef): Promise<Turn> {
  const { database, clock } = parts;
  const task = await database.transaction((tx) => lockTask(tx, ref.task_id));
  if (!task || task.attempt !== ref.attempt) return done();
  const ready = await isWorkspaceReady(parts, task);
  return database.transaction(async (tx) => {
    const current = await lockCurrent(tx, ref);
    if (!current) return done();
    if (current.attempt.state !== 'preparing') return lockedTurn(tx, parts, ref);
    if (current.task.state === 'stopping') return settle(tx, parts, current.task, nothingRan(clock));
    if (ready === 'running') {
      await changeAttempt(tx, ref.task_id, ref.attempt, { state: 'offered' });
      await changeTask(tx, ref.task_id, { reason: 'AgentServerNotReady' });
      await wakeBridge(tx, task.workspaceId);
      return wait(current.attempt.prepareUntil.getTime() - clock.now().getTime());
    }
    if (typeof ready === 'object')
      return settle(tx, parts, current.task, failure('WorkspaceStopped', ready.refused, false));
    if (current.attempt.prepareUntil <= clock.now())
      return settle(tx, parts, current.task, failure('WorkspaceStopped', tooLate[ready], true));
    await changeTask(tx, ref.task_id, { reason: 'AgentServerNotReady' });
    return wait(workspacePollMs);
  });
}

const tooLate = {
  starting: 'The workspace did not start in time.',
  unknown: 'Coder did not say in time whether the workspace runs.',
} as const;

/** What Coder says of the workspace; `unknown` while Coder cannot be asked. */
async function isWorkspaceReady(
  parts: AttemptParts,
  task: TaskRecord,
): Promise<'running' | 'starting' | 'unknown' | { readonly refused: string }> {
  if (task.state === 'stopping' || task.state === 'finished') return 'running';
  try {
    const context = { actor: `user:${task.ownerId}`, requestId: task.requestId };
    return await ensureStarted(parts, task, context);
  } catch (error) {
    parts.log.warn({ error, taskId: task.id }, 'cannot ask whether a workspace runs');
    return 'unknown';
  }
}

async function lockedTurn(tx: Transaction, parts: AttemptParts, ref: AttemptRef): Promise<Turn> {
  const current = await lockCurrent(tx, ref);
  if (!current) return done();
  const { task, attempt } = current;
  switch (attempt.state) {
    case 'settled':
      return done();
    case 'preparing':
      return wait(50);
    case 'offered':
      return whileOffered(tx, parts, task, attempt);
    case 'leased':
      return whileLeased(tx, parts, task, attempt);
    case 'reported':
      return settle(tx, parts, task, attempt.evidence ?? failure('AgentError', 'The report was empty.', true));
  }
}

async function whileOffered(
  tx: Transaction,
  parts: AttemptParts,
  task: TaskRecord,
  attempt: AttemptRecord,
): Promise<Turn> {
  if (task.state === 'stopping') return settle(tx, parts, task, nothingRan(parts.clock));
  const leftMs = attempt.prepareUntil.getTime() - parts.clock.now().getTime();
  if (leftMs > 0) return wait(leftMs);
  return settle(tx, parts, task, failure('BridgeLost', 'No bridge of the workspace asked for work in time.', true));
}

async function whileLeased(
  tx: Transaction,
  parts: AttemptParts,
  task: TaskRecord,
  attempt: AttemptRecord,
): Promise<Turn> {
  const now = parts.clock.now().getTime();
  // After a restart the bridges come back first: their heartbeats could not arrive while nobody listened.
  const leaseEnd = Math.max(attempt.leaseUntil?.getTime() ?? now, parts.aliveSince.getTime() + timing.leaseMs);
  const leaseLeftMs = leaseEnd - now;
  if (leaseLeftMs <= 0)
    return settle(tx, parts, task, failure('BridgeLost', 'The bridge stopped sending heartbeats.', true));
  if (task.state === 'stopping') {
    const stopLeftMs = (task.stopRequestedAt?.getTime() ?? now) + stopGraceMs - now;
    return stopLeftMs > 0
      ? wait(Math.min(stopLeftMs, leaseLeftMs))
      : settle(tx, parts, task, failure('StopUnproven', 'The bridge did not prove the stop in time.', false));
  }
  if (attempt.parkingSince !== null) return whileParking(tx, parts, task, attempt.parkingSince, leaseLeftMs);
  const { nextDueAt, unanswered } = await parts.approvals.expireDue(tx, task.id);
  if (unanswered === 'park') {
    await beginParking(tx, parts, task);
    return wait(Math.min(stopGraceMs, leaseLeftMs));
  }
  if (unanswered === 'stop') {
    const current = (await lockTask(tx, task.id)) ?? task;
    await askToStop(tx, parts, current, 'PermissionRequired', { actor: 'service', requestId: null });
    return wait(Math.min(stopGraceMs, leaseLeftMs));
  }
  const activeLeftMs = activeDeadline(task, attempt, now) - now;
  if (activeLeftMs <= 0) {
    await askToStop(tx, parts, task, 'Timeout', { actor: 'service', requestId: null });
    return wait(Math.min(stopGraceMs, leaseLeftMs));
  }
  return wait(Math.min(leaseLeftMs, activeLeftMs, nextDueAt === null ? leaseLeftMs : nextDueAt.getTime() - now));
}

/** Its bridge was asked to end it, and has as long for that as for a stop. */
async function whileParking(
  tx: Transaction,
  parts: AttemptParts,
  task: TaskRecord,
  since: Date,
  leaseLeftMs: number,
): Promise<Turn> {
  const leftMs = since.getTime() + stopGraceMs - parts.clock.now().getTime();
  if (leftMs > 0) return wait(Math.min(leftMs, leaseLeftMs));
  return settle(tx, parts, task, failure('StopUnproven', 'The bridge did not prove the stop in time.', false));
}

/** When the attempt has used up its time: it counts from running, and not while a person is waited for. */
function activeDeadline(task: TaskRecord, attempt: AttemptRecord, now: number): number {
  const waitingMs = attempt.waitingSince === null ? 0 : now - attempt.waitingSince.getTime();
  return ((attempt.runningAt ?? attempt.leasedAt)?.getTime() ?? now) + task.timeoutMs + attempt.waitedMs + waitingMs;
}

async function settle(tx: Transaction, parts: AttemptParts, task: TaskRecord, evidence: Evidence): Promise<Turn> {
  return done(await settleAttempt(tx, parts, task, evidence));
}

const failure = (reason: Reason, message: string, retryable: boolean): Evidence =>
  failedEvidence({ reason, message, retryable });
