import { z } from 'zod';
import { CommandFailure } from '../command-failure.ts';
import type { Surroundings } from '../template-context.ts';
import { poll } from './steps.ts';

interface Parts extends Pick<Surroundings, 'clock' | 'signal' | 'pollMs'> {
  /** The service. */
  readonly url: string;
  /** The person's. */
  readonly token: string;
  readonly workspace: { readonly id: string; readonly name: string; readonly owner: string };
  readonly say: (line: string) => void;
  readonly timeoutMs: number;
}

const bridgeShape = z.object({ bridge: z.object({ connected: z.boolean() }).nullable() });

/** Answers once the workspace's bridge has connected to the service. */
export async function connectedBridge(parts: Parts): Promise<void> {
  const { id, name, owner } = parts.workspace;
  const connected = await poll(parts, async () => {
    const { bridge } = await ask(parts, 'GET', `/api/v2/agents/workspaces/${id}`, bridgeShape);
    return bridge?.connected === true ? true : undefined;
  });
  if (connected) return;
  throw new CommandFailure(
    124,
    `The agent's container of ${name} did not connect to ${parts.url} within ${parts.timeoutMs / 1000} s. ` +
      `On the machine that runs the workspace, \`docker logs coder-${owner}-${name}.opencode\` says why; from a terminal of the workspace, \`curl ${parts.url}/healthz\` must answer. ` +
      'Where it does not, open the port in that machine’s firewall or give another address with --url.',
  );
}

const taskShape = z.object({
  id: z.string(),
  state: z.string(),
  outcome: z.string().nullable(),
  reason: z.string().nullish(),
  message: z.string().nullish(),
  evidence: z.object({ commit: z.string().nullish() }).nullish(),
});
export type FinishedTask = z.infer<typeof taskShape>;

/** Gives the workspace one task and follows it to its end. Throws a `CommandFailure` unless it succeeded. */
export async function finishTask(parts: Parts, prompt: string): Promise<FinishedTask> {
  const body = {
    type: 'opencode',
    payload: { action: 'generate_code', prompt, context: { workspace_id: parts.workspace.id } },
  };
  const { id } = await ask(parts, 'POST', '/api/v2/agents/opencode/tasks', z.object({ id: z.string() }), body);
  let told = '';
  const finished = await poll(parts, async () => {
    const task = await ask(parts, 'GET', `/api/v2/agents/tasks/${id}`, taskShape);
    if (task.state !== told) parts.say(`task ${id}: ${(told = task.state)}`);
    return task.state === 'finished' ? task : undefined;
  });
  if (finished === undefined)
    throw new CommandFailure(
      124,
      `Task ${id} did not finish within ${parts.timeoutMs / 1000} s; it is ${told}. ${parts.url}/api/v2/agents/tasks/${id} tells how it goes on${told === 'waiting' ? '; it waits for your answer under /api/v2/agents/approvals' : ''}.`,
    );
  if (finished.outcome === 'succeeded') return finished;
  const why = [finished.reason, finished.message].filter(Boolean).join(': ') || 'without a reason';
  throw new CommandFailure(
    1,
    `Task ${id} ended as ${finished.outcome ?? 'nothing'} (${why}). Mend that, then run this again.`,
  );
}

const problem = z.object({ detail: z.string() });

async function ask<Shape extends z.ZodType>(
  { url, token, signal }: Pick<Parts, 'url' | 'token' | 'signal'>,
  method: string,
  path: string,
  shape: Shape,
  body?: unknown,
): Promise<z.output<Shape>> {
  const response = await fetch(url + path, {
    method,
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
    headers: {
      'Coder-Session-Token': token,
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new CommandFailure(2, `Outrigger at ${url} went away. Look at its log, then run this again.`, { cause });
  });
  const answer: unknown = await response.json().catch(() => null);
  const result = shape.safeParse(answer);
  if (response.ok && result.success) return result.data;
  const said = problem.safeParse(answer);
  throw new CommandFailure(
    1,
    said.success
      ? `Outrigger says: ${said.data.detail}`
      : `What answers at ${url} is not an Outrigger of this version (${method} ${path}: ${response.status}). Name the right one with --url.`,
  );
}
