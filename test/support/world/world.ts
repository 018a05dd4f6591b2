import { randomUUID } from 'node:crypto';
import { silentLogger } from '../../../service/platform/logger.ts';
import { registerAttempt } from '../../../service/tasks/attempt.ts';
import { stopTask } from '../../../service/tasks/stop-task.ts';
import { cancelWorkflow } from '../../../service/workflows/cancel-workflow.ts';
import { registerRunWorkflow, wakeWorkflow } from '../../../service/workflows/run-workflow.ts';
import { startWorkflow } from '../../../service/workflows/submit-workflow.ts';
import { readWorkflow, type NewStep } from '../../../service/workflows/workflow-store.ts';
import type { TestClock } from '../clock.ts';
import { goodEvidence } from '../fake-bridge.ts';
import { makeRandom } from '../random.ts';
import { makeTasksRoom, type TasksRoom } from '../tasks-room.ts';
import type { AttemptEnd, ModelStep } from '../workflow-model.ts';
import { evidenceFor, makeWorldBridge, type Network, type WorldBridge } from './bridge.ts';
import { makeWorldEngine, type WorldEngine } from './engine.ts';
import { checkEnd, checkNow, standOf, type Stand } from './invariants.ts';

/** A world that can live many lives, one seed each, on one database. */
export interface World {
  /**
   * Lives the life of a seed: a random workflow is driven to its end while clock, network, crashes, the bridge and
   * a person who may cancel do what the seed says. Answers what happened, in order.
   *
   * Errors  an Error that names the seed and the last of what happened, as soon as a rule is broken.
   */
  live(seed: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** What one life is about. */
export interface Life {
  readonly room: TasksRoom;
  readonly bridge: WorldBridge;
  readonly engine: WorldEngine;
  readonly steps: readonly ModelStep[];
  readonly workflowId: string;
  readonly isCanceled: () => boolean;
}

const slots = 2;
const mostMoves = 4_000;
const ends: readonly AttemptEnd[] = ['ok', 'ok', 'ok', 'same', 'busy', 'busy', 'cut', 'lost'];

type Random = () => number;
const upTo = (random: Random, many: number): number => Math.floor(random() * many);
const oneOf = <Value>(random: Random, values: readonly Value[]): Value => values[upTo(random, values.length)] as Value;

/** Starts where real time is, so that rows of the database's own clock are not from another age. */
function makeWorldClock(): TestClock {
  let now = Date.now();
  return {
    // No two looks at it are the same, so that ids and rows have one order.
    now: () => new Date((now += 1)),
    advance: (milliseconds) => void (now += milliseconds),
  };
}

/** `fault` breaks a rule on purpose, so that a test can see a life go wrong. */
export async function makeWorld(fault: (room: TasksRoom) => TasksRoom = (room) => room): Promise<World> {
  const clock = makeWorldClock();
  let engine: WorldEngine | null = null;
  const current = (): WorldEngine => {
    if (!engine) throw new Error('no life has begun');
    return engine;
  };
  const made = await makeTasksRoom({
    perWorkspace: slots,
    clock,
    engine: {
      enqueue: (tx, request) => current().enqueue(tx, request),
      signal: (...words) => current().signal(...words),
    },
  });
  const room = fault(made);
  return {
    async live(seed) {
      await room.data.database.pool.query('truncate task, workflow, attempt, bridge_frame cascade');
      await room.data.database.pool.query('drop table if exists world_enqueued');
      engine = makeWorldEngine({ database: () => room.data.database, now: () => clock.now().getTime() });
      const log: string[] = [];
      try {
        await liveOnce(room, engine, seed, log);
        return log;
      } catch (error) {
        const last = log.slice(-40).join('\n  ');
        throw new Error(
          `Seed ${seed}: ${String(error)}\nRepeat it with WORLD_SEED=${seed}. What happened last:\n  ${last}`,
        );
      }
    },
    close: () => room.close(),
  };
}

async function liveOnce(room: TasksRoom, engine: WorldEngine, seed: number, log: string[]): Promise<void> {
  const random = makeRandom(seed);
  const steps = makeSteps(random);
  const cancelAt = random() < 0.25 ? upTo(random, 120) : null;
  await room.registerAgain();
  const { rows } = await room.data.database.pool.query<{ generation: number }>('select generation from bridge');
  const bridge = makeWorldBridge({ ...room, bridge: { ...room.bridge, generation: rows[0]?.generation ?? 1 } });
  const run = join(room, engine);
  const { database } = room.data;
  const owner = { id: room.bridge.ownerId, name: 'ada', commitIdentity: { name: 'Ada', email: 'ada@localhost' } };
  const workflow = {
    name: 'world',
    maxParallel: 1 + upTo(random, 3),
    steps: steps.map((one, at) => asNew(room, one, at)),
  };
  const workflowId = await database.transaction((tx) =>
    startWorkflow(tx, { ...run, queueMax: 10_000 }, owner, workflow, 'request'),
  );
  log.push(`steps ${JSON.stringify(steps)}`);
  let isCanceled = false;
  const life: Life = { room, bridge, engine, steps, workflowId, isCanceled: () => isCanceled };
  const namer = makeNamer();
  for (let move = 0; move < mostMoves; move += 1) {
    await engine.poll();
    if (move === cancelAt && !(await readWorkflow(database, workflowId))?.outcome) {
      isCanceled = true;
      await cancelWorkflow(run, workflowId, owner.id, 'request');
      log.push('canceled');
    }
    const stand = await standOf(life);
    checkNow(life, stand);
    if (engine.open === 0) return checkEnd(life);
    const chosen = choose(life, stand, random, namer);
    log.push(chosen.name);
    await chosen.take();
  }
  throw new Error('it never ends');
}

/** What may happen next, by how often it is chosen. */
interface Happening {
  readonly name: string;
  readonly weight: number;
  readonly take: () => Promise<unknown>;
}

function choose(life: Life, stand: Stand, random: Random, nameOf: (id: string) => string): Happening {
  const { room, bridge, engine } = life;
  const tasks = new Map([...stand.tasks.values()].map((task) => [task.id, task]));
  const network = (): Network => {
    const luck = random();
    return luck < 0.06 ? 'request lost' : luck < 0.12 ? 'answer lost' : 'whole';
  };
  const dies = (): 'no' | 'before' | 'unrecorded' => {
    const luck = random();
    return luck < 0.02 ? 'before' : luck < 0.05 ? 'unrecorded' : 'no';
  };
  const happenings: Happening[] = [
    { name: 'admission', weight: 0.5, take: () => room.admission.lookAtAll() },
    { name: 'bridge asks', weight: 1.5, take: () => bridge.ask(network(), slots) },
    { name: 'bridge beats', weight: 1, take: () => bridge.beat(network()) },
    { name: 'bridge restarts', weight: 0.1, take: () => bridge.restart() },
    { name: 'processes die', weight: 0.1, take: () => Promise.resolve(engine.crash()) },
    { name: 'time passes', weight: 1, take: () => Promise.resolve(pass(life, random)) },
  ];
  for (const move of engine.moves()) {
    const death = dies();
    const name = `${nameOf(move.id)} ${move.what}${death === 'no' ? '' : `, dies ${death}`}`;
    happenings.push({ name, weight: 4, take: () => move.take(death) });
  }
  for (const [key, { lease, hasBegun, evidence }] of bridge.held) {
    const task = tasks.get(lease.task_id);
    const title = `${task?.stepId ?? '?'} attempt ${lease.attempt}`;
    if (!hasBegun) happenings.push({ name: `${title} begins`, weight: 3, take: () => bridge.begin(key, network()) });
    const itsEnd = life.steps.find(({ id }) => id === task?.stepId)?.attempts[lease.attempt - 1] ?? 'ok';
    const said = evidence ?? (task?.state === 'stopping' ? stopped(room.clock.now()) : evidenceFor[itsEnd]());
    if (hasBegun) happenings.push({ name: `${title} ends`, weight: 2, take: () => bridge.end(key, said, network()) });
  }
  let left = random() * happenings.reduce((sum, { weight }) => sum + weight, 0);
  return happenings.find(({ weight }) => (left -= weight) < 0) ?? (happenings[0] as Happening);
}

/** A little while, or all of it where nobody would do anything before. */
function pass({ room, engine, bridge }: Life, random: Random): void {
  const dueAt = engine.nextDueAt();
  const isIdle = bridge.held.size === 0 && engine.moves().length === 0;
  const wholeMs = isIdle && dueAt !== null ? Math.max(0, dueAt - room.clock.now().getTime()) : 0;
  room.clock.advance(wholeMs + upTo(random, 8_000));
}

function makeSteps(random: Random): readonly ModelStep[] {
  const many = 1 + upTo(random, 6);
  return Array.from({ length: many }, (_one, index) => {
    const before = (most: number): string[] =>
      index === 0 ? [] : [...new Set(Array.from({ length: upTo(random, most + 1) }, () => `s${upTo(random, index)}`))];
    return {
      id: `s${index}`,
      dependsOn: before(2),
      onFailureOf: random() < 0.2 ? before(2) : [],
      maxAttempts: 1 + upTo(random, 3),
      hasFallback: random() < 0.3,
      attempts: Array.from({ length: upTo(random, 4) }, () => oneOf(random, ends)),
    };
  });
}

/** The rules of the service, joined to the world's engine as the service joins them to its own. */
function join(room: TasksRoom, engine: WorldEngine) {
  const stops = { ...room.stopParts, engine: { ...room.stopParts.engine, ...engine }, onFinished: wakeWorkflow };
  const run = {
    ...stops,
    log: silentLogger,
    admit: () => room.admission.admitNow(),
    stopTask: (taskId: string, actorId: string, requestId: string) => stopTask(stops, taskId, actorId, requestId),
  };
  const attempts = { ...room.attemptParts, onFinished: wakeWorkflow, admit: run.admit };
  registerAttempt(engine as never, attempts);
  registerRunWorkflow(engine as never, run);
  return run;
}

/** Ids are random; what happened is told by the order in which they were seen. */
function makeNamer(): (id: string) => string {
  const names = new Map<string, string>();
  return (id) => {
    const [work = '', attempt = ''] = id.split(':');
    if (!names.has(work)) names.set(work, `work ${names.size + 1}`);
    return `${names.get(work)}:${/^\d+$/.test(attempt) ? attempt : 'run'}`;
  };
}

const stopped = (at: Date) =>
  goodEvidence({
    last_message: null,
    stop: { stopped_at: at.toISOString(), method: 'abort', processes_left: 0, tokens_after_stop: 0 },
  });

const asNew = (room: TasksRoom, step: ModelStep, position: number): NewStep => ({
  stepId: step.id,
  position,
  dependsOn: step.dependsOn,
  onFailureOf: step.onFailureOf,
  needsApproval: false,
  work: {
    agent: 'opencode',
    action: 'generate_code',
    prompt: step.id,
    payload: {},
    profile: 'ask',
    model: 'scripted/test',
    fallback: step.hasFallback ? { agent: 'opencode', model: 'scripted/other' } : null,
    verify: null,
    priority: 0,
    timeoutMs: 7_200_000,
    maxAttempts: step.maxAttempts,
    retryDelayMs: 1_000,
  },
  workspace: {
    id: room.bridge.workspaceId,
    name: 'ws',
    ownerId: room.bridge.ownerId,
    ownerName: 'ada',
    organizationId: room.bridge.organizationId,
    organizationName: 'acme',
    templateName: 'docker',
    status: 'running',
    transition: 'start',
    jobStatus: 'succeeded',
    buildId: randomUUID(),
    templateVersionId: randomUUID(),
    agents: [],
  },
});
