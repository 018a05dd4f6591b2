import type { Task } from '../../../modules/contract.ts';
import type { Clock } from '../../platform/clock.ts';
import { AgentFailure } from '../agent-failure.ts';
import { containerBody, containerName, imageFacts, type ImageFacts } from './container.ts';
import { findContainer, type Container } from './containers.ts';
import { fieldsOf, messageOf, refused, type Engine } from './engine.ts';

export interface RunWish {
  /** Its whole name, which an admin allowed. */
  readonly image: string;
  readonly argv: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface EnsureParts {
  readonly task: Task;
  readonly wish: RunWish;
  readonly bounds: { readonly mayPull: boolean; readonly network: string };
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const pullMs = 30 * 60_000;
const startMs = 60_000;

/** The started container of a task, made now or by an execution before. */
export async function ensureContainer(engine: Engine, parts: EnsureParts): Promise<Container> {
  const { task, signal } = parts;
  if (!(await findContainer(engine, task.id, task, signal))) await create(engine, parts);
  const made = await mustBe(engine, parts);
  if (made.status !== 'created') return made;
  await start(engine, made.id, signal);
  return mustBe(engine, parts);
}

async function mustBe(engine: Engine, { task, signal }: EnsureParts): Promise<Container> {
  const found = await findContainer(engine, task.id, task, signal);
  if (!found) throw new AgentFailure('ContextError', 'The container was removed by somebody else.');
  return found;
}

async function create(engine: Engine, { task, wish, bounds, clock, signal }: EnsureParts): Promise<void> {
  const image = await ensureImage(engine, wish.image, bounds.mayPull, signal);
  const until = new Date(clock.now().getTime() + wish.timeoutMs);
  const body = containerBody({ task, image, argv: wish.argv, env: wish.env, network: bounds.network, until });
  signal.throwIfAborted();
  // Not with the signal: what was asked for and not waited for may still be made after it was cleaned up.
  const path = `/containers/create?name=${containerName(task.id)}`;
  const answer = await engine.call({ method: 'POST', path, body, answerMs: startMs }, never);
  // 409: an execution before was still at it.
  if (answer.status !== 201 && answer.status !== 409) throw refused('to make the container', answer);
}

const never = new AbortController().signal;

async function start(engine: Engine, id: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const path = `/containers/${id}/start`;
  const answer = await engine.call({ method: 'POST', path, answerMs: startMs }, never);
  if (answer.status === 400) throw new AgentFailure('AgentError', `The command cannot start: ${messageOf(answer)}`);
  if (answer.status !== 204 && answer.status !== 304) throw refused('to start the container', answer);
}

async function ensureImage(engine: Engine, image: string, mayPull: boolean, signal: AbortSignal): Promise<ImageFacts> {
  const there = await inspectImage(engine, image, signal);
  if (there) return there;
  if (!mayPull) throw notThere(image);
  // Failures of a pull come in the stream of a 200; what counts is whether the image is there afterwards.
  const path = `/images/create?fromImage=${encodeURIComponent(image)}`;
  const answer = await engine.call({ method: 'POST', path, answerMs: pullMs }, signal);
  const pulled = answer.status === 200 ? await inspectImage(engine, image, signal) : null;
  if (!pulled) throw cannotPull(image, answer.status === 200 ? lastLine(answer.bytes) : messageOf(answer));
  return pulled;
}

async function inspectImage(engine: Engine, image: string, signal: AbortSignal): Promise<ImageFacts | null> {
  const answer = await engine.call({ method: 'GET', path: `/images/${image}/json` }, signal);
  if (answer.status === 404) return null;
  if (answer.status !== 200) throw refused(`to show ${image}`, answer);
  return imageFacts(fieldsOf(answer));
}

const lastLine = (bytes: Buffer): string => {
  const last = bytes.toString('utf8').trim().split('\n').at(-1) ?? '';
  const { error } = fieldsOf({ status: 200, bytes: Buffer.from(last) });
  return typeof error === 'string' ? error.slice(0, 500) : 'it did not say why';
};

const notThere = (image: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `The image ${image} is not on the daemon. Pull it there, or let the agent pull: an admin of the service sets OUTRIGGER_DOCKER_PULL=true.`,
  );

const cannotPull = (image: string, why: string): AgentFailure =>
  new AgentFailure('ContextError', `Docker could not pull ${image}: ${why}`);
