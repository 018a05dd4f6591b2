import type { Task } from '../../../modules/contract.ts';
import { AgentFailure } from '../agent-failure.ts';
import { containerName, labels } from './container.ts';
import { fieldsOf, jsonOf, refused, type Engine } from './engine.ts';
import { lastOfLog } from './log-frames.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A container as it is now. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly exitCode: number;
  readonly wasOutOfMemory: boolean;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly labels: Readonly<Record<string, string>>;
}

/** Whose containers are meant. */
export type Owner = Pick<Task, 'organizationId' | 'ownerId'>;

const mostOutputBytes = 32 * 1024;
const mostLines = 5_000;

/** The container of a task, or null. Throws `AgentFailure` for one that is somebody else's. */
export async function findContainer(
  engine: Engine,
  taskId: string,
  owner: Owner,
  signal: AbortSignal,
): Promise<Container | null> {
  const found = await inspect(engine, containerName(taskId), signal);
  if (!found) return null;
  const { labels: its } = found;
  const isTheirs =
    its[labels.task] === taskId &&
    its[labels.organization] === owner.organizationId &&
    its[labels.owner] === owner.ownerId;
  // As for one that is not there: nobody learns what others run.
  if (!isTheirs) throw noContainer(taskId);
  return found;
}

async function inspect(engine: Engine, idOrName: string, signal: AbortSignal): Promise<Container | null> {
  const answer = await engine.call({ method: 'GET', path: `/containers/${idOrName}/json` }, signal);
  if (answer.status === 404) return null;
  if (answer.status !== 200) throw refused('to show a container', answer);
  const body = fieldsOf(answer);
  const state = (body['State'] ?? {}) as Fields;
  const config = (body['Config'] ?? {}) as { Labels?: Record<string, string> };
  return {
    id: String(body['Id']),
    name: String(body['Name']).replace(/^\//, ''),
    status: String(state['Status']),
    exitCode: Number(state['ExitCode'] ?? 0),
    wasOutOfMemory: state['OOMKilled'] === true,
    startedAt: new Date(String(state['StartedAt'])),
    finishedAt: new Date(String(state['FinishedAt'])),
    labels: config.Labels ?? {},
  };
}

/** The end of what a container wrote, at most 32 KiB. */
export async function readLog(engine: Engine, id: string, signal: AbortSignal): Promise<string> {
  const path = `/containers/${id}/logs?stdout=1&stderr=1&tail=${mostLines}`;
  const answer = await engine.call({ method: 'GET', path }, signal);
  if (answer.status !== 200) throw refused('to show a log', answer);
  return lastOfLog(answer.bytes, mostOutputBytes);
}

/** Asks a container to end, and ends it after so many seconds. Whether it was running. */
export async function stopContainer(
  engine: Engine,
  id: string,
  seconds: number,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await engine.call({ method: 'POST', path: `/containers/${id}/stop?t=${seconds}` }, signal);
  if (![204, 304, 404].includes(answer.status)) throw refused('to stop a container', answer);
  return answer.status === 204;
}

/** Ends and removes a container, by id or name, with its volumes; done as well where it is gone. */
export async function removeContainer(engine: Engine, idOrName: string, signal: AbortSignal): Promise<void> {
  const answer = await engine.call({ method: 'DELETE', path: `/containers/${idOrName}?force=1&v=1` }, signal);
  // 409: it is being removed.
  if (![204, 404, 409].includes(answer.status)) throw refused('to remove a container', answer);
}

const keptMs = 60 * 60_000;

/** Removes what this organization's tasks left: what ended an hour ago, and what nobody follows any more. */
export async function sweepContainers(
  engine: Engine,
  organizationId: string,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${labels.organization}=${organizationId}`] }));
  const answer = await engine.call({ method: 'GET', path: `/containers/json?all=1&filters=${filters}` }, signal);
  const listed = jsonOf(answer.bytes);
  if (answer.status !== 200 || !Array.isArray(listed)) throw refused('to list containers', answer);
  const old = (listed as { Id: string; Created: number }[]).filter(
    ({ Created }) => Created * 1_000 < now.getTime() - keptMs,
  );
  for (const { Id } of old) {
    const container = await inspect(engine, Id, signal);
    if (container && isLeftOver(container, now)) await removeContainer(engine, Id, signal);
  }
}

function isLeftOver({ name, status, finishedAt, labels: its }: Container, now: Date): boolean {
  // Labels may come from an image; the name was given by us.
  if (name !== containerName(its[labels.task] ?? '')) return false;
  const endedAt = status === 'exited' || status === 'dead' ? finishedAt : new Date(its[labels.until] ?? 0);
  return endedAt.getTime() < now.getTime() - keptMs;
}

export const noContainer = (taskId: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `There is no container of task ${taskId} that is yours. It is kept for an hour after it ended; stopping its task removes it.`,
  );
