import { z } from 'zod';
import { handedOver, type Agent, type Task, type TaskResult, type TouchedObject } from '../../../modules/contract.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Action } from '../action.ts';
import { describeAgent } from '../agent.ts';
import { AgentFailure } from '../agent-failure.ts';
import { containerName } from './container.ts';
import { findContainer, noContainer, readLog, stopContainer, sweepContainers, type Container } from './containers.ts';
import { readDockerAccess, type DockerAccess, type HostBounds } from './docker-access.ts';
import type { Engine } from './engine.ts';
import { followContainer } from './follow.ts';
import { allowedImage, isImage } from './images.ts';
import { ensureContainer } from './ensure-container.ts';
import { leaveNothing } from './leave-nothing.ts';

/** Parameters are stored and shown, so a secret has no place in them. */
const secretWords =
  /(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|KEY)(_|$)/i;
const noNul = (text: string): boolean => !text.includes('\0');
const variableName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _')
  .refine(
    (name) => !secretWords.test(name),
    'looks like a secret, which params must not hold: they are stored and shown',
  );

const runParams = z.strictObject({
  image: z.string().refine(isImage, 'must be the name of an image, such as alpine:3'),
  /** Takes the place of the image's command; its entrypoint stays. */
  argv: z.array(z.string().max(32_768).refine(noNul)).min(1).max(200).optional(),
  env: z
    .record(variableName, z.string().max(32_768).refine(noNul))
    .refine((variables) => Object.keys(variables).length <= 100, 'at most 100 variables')
    .default({}),
  timeout_seconds: z.int().min(1).max(3_600).default(600),
});
const containerParams = z.strictObject({
  /** Whose container is meant: a task of yours with action run_image. */
  task_id: z.uuid().toLowerCase(),
});

/** What the agent can be asked for: a closed list. */
export const dockerActions: readonly Action[] = [
  {
    name: 'run_image',
    summary: 'Runs an image to its end, without rights, and answers the end of its output.',
    prompt: 'Run the image.',
    params: runParams,
    changes: true,
  },
  { name: 'logs', summary: 'Reads what a container wrote.', prompt: 'Read the log.', params: containerParams },
  {
    name: 'stop',
    summary: 'Stops a container that this agent started.',
    prompt: 'Stop the container.',
    params: containerParams,
    changes: true,
  },
];

/** What an admin of the service lets the agent do. */
export interface DockerBounds extends HostBounds {
  /** Images, as `images.ts` reads them. */
  readonly images: readonly string[];
  readonly mayPull: boolean;
  readonly network: string;
}

export interface DockerParts {
  /** The `DOCKER_HOST_CONFIG` of an organization, or null where its admin gave none. */
  readonly hostOf: (organizationId: string) => Promise<string | null>;
  readonly connect: (access: DockerAccess) => Engine;
  readonly bounds: DockerBounds;
  readonly clock: Clock;
  /** How often a running container is looked at. */
  readonly lookEveryMs: number;
}

interface Act {
  readonly task: Task;
  readonly engine: Engine;
  readonly parts: DockerParts;
  readonly signal: AbortSignal;
}

/** Runs containers on the daemon of the submitter's organization, whose credential never reaches a workspace. */
export const makeDockerAgent = (parts: DockerParts): Agent => ({
  ...describeAgent('docker', dockerActions),
  async execute(task, { signal }) {
    const text = await parts.hostOf(task.organizationId);
    if (text === null) throw noHost();
    const engine = parts.connect(readDockerAccess(text, parts.bounds));
    return run({ task, engine, parts, signal });
  },
});

function run(act: Act): Promise<TaskResult> {
  const { action, params } = act.task;
  switch (action) {
    case 'run_image':
      return runImage(runParams.parse(params), act);
    case 'logs':
      return logs(containerParams.parse(params).task_id, act);
    case 'stop':
      return stop(containerParams.parse(params).task_id, act);
    default:
      throw new AgentFailure('AgentError', `The agent has no action '${action}'.`);
  }
}

/** Executed again, it follows the container that it started before, and answers what that came to. */
async function runImage(params: z.output<typeof runParams>, act: Act): Promise<TaskResult> {
  const { task, engine, parts, signal } = act;
  const { bounds, clock, lookEveryMs } = parts;
  const image = allowedImage(params.image, bounds.images);
  await sweepContainers(engine, task.organizationId, clock.now(), signal);
  try {
    const wish = { image, argv: params.argv, env: params.env, timeoutMs: params.timeout_seconds * 1_000 };
    const container = await ensureContainer(engine, { task, wish, bounds, clock, signal });
    const output = await followContainer(engine, { container, task, clock, lookEveryMs, signal });
    return { output, objects: [touched(task.id, 'created')] };
  } catch (error) {
    if (!signal.aborted) throw error;
    if (signal.reason === handedOver) throw new AgentFailure('UserStopped', 'Another process follows the container.');
    await leaveNothing(engine, containerName(task.id));
    throw new AgentFailure('UserStopped', 'Stopped while its container ran; the container is removed.');
  }
}

async function logs(taskId: string, act: Act): Promise<TaskResult> {
  const { id } = await mustBeThere(taskId, act);
  return { output: await readLog(act.engine, id, act.signal), objects: [touched(taskId, 'read')] };
}

/** How long a container has to end by itself. */
const graceSeconds = 10;

async function stop(taskId: string, act: Act): Promise<TaskResult> {
  const { id } = await mustBeThere(taskId, act);
  const wasRunning = await stopContainer(act.engine, id, graceSeconds, act.signal);
  const output = `${containerName(taskId)}: ${wasRunning ? 'stopped' : 'was not running'}`;
  return { output, objects: [touched(taskId, wasRunning ? 'changed' : 'unchanged')] };
}

async function mustBeThere(taskId: string, { task, engine, signal }: Act): Promise<Container> {
  const found = await findContainer(engine, taskId, task, signal);
  if (!found) throw noContainer(taskId);
  return found;
}

const touched = (taskId: string, result: TouchedObject['result']): TouchedObject => ({
  kind: 'Container',
  namespace: null,
  name: containerName(taskId),
  result,
});

const noHost = (): AgentFailure =>
  new AgentFailure(
    'ContextError',
    "This organization gave no Docker daemon. An admin writes {host, ca, cert, key} as a secret and names it in agent 'docker' as DOCKER_HOST_CONFIG.",
  );
