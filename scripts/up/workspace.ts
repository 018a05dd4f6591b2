import { CoderError, type Workspace } from 'coder-sdk-ts';
import { z } from 'zod';
import { fail, unless } from '../coder-failure.ts';
import { CommandFailure } from '../command-failure.ts';
import type { Surroundings } from '../template-context.ts';
import type { JoinedCoder } from './check-coder.ts';
import { poll } from './steps.ts';

interface Parts extends Pick<Surroundings, 'clock' | 'signal' | 'pollMs'> {
  readonly coder: JoinedCoder;
  readonly name: string;
  readonly template: { readonly id: string; readonly version: string };
  /** Values of the template's parameters; every other one has its default. */
  readonly choices: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
  readonly timeoutMs: number;
}

/**
 * A running workspace of that name: the one that is there, started where it stands still, else a new one.
 *
 * Trap  a running workspace is never built again: that would replace its containers under whoever works in it.
 */
export async function runningWorkspace(parts: Parts): Promise<Workspace> {
  const { coder, name, say } = parts;
  const before = await unless(['not_found'], coder.client.getWorkspaceByName('me', name)).catch(fail);
  if (before !== undefined && before.template_id !== parts.template.id)
    throw new CommandFailure(
      2,
      `You have a workspace ${name} already, of template ${before.template_name}. Name another with --workspace.`,
    );
  if (before === undefined) {
    say(`creating ${coder.user.username}/${name}`);
    return await built(parts, await create(parts));
  }
  const { status } = before.latest_build;
  if (['stopped', 'failed', 'canceled'].includes(status)) {
    say(`${name} is ${status}; starting it with the active version`);
    await coder.client
      .createBuild(before.id, { transition: 'start', template_version_id: parts.template.version })
      .catch(fail);
  }
  return await built(parts, before.id);
}

const created = z.object({ id: z.uuid() });

/** Not a route of coder-sdk-ts. Source: coder/coder docs/reference/api/workspaces.md, recorded of 2.36.0. */
async function create({ coder, name, template, choices, signal }: Parts): Promise<string> {
  const response = await fetch(`${coder.url}/api/v2/users/me/workspaces`, {
    method: 'POST',
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
    headers: { 'Coder-Session-Token': coder.token, 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify({
      name,
      template_id: template.id,
      rich_parameter_values: Object.entries(choices).map(([key, value]) => ({ name: key, value })),
    }),
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new CommandFailure(2, `Coder at ${coder.url} could not be reached. Check CODER_URL and the network.`, {
      cause,
    });
  });
  const body: unknown = await response.json().catch(() => null);
  const answer = created.safeParse(body);
  if (response.status === 201 && answer.success) return answer.data.id;
  throw new CommandFailure(1, `Coder did not create workspace ${name}: ${refusalIn(body, response.status)}`);
}

const refusal = z.object({
  message: z.string(),
  detail: z.string().optional(),
  validations: z.array(z.object({ field: z.string(), detail: z.string() })).nullish(),
});

function refusalIn(body: unknown, status: number): string {
  const said = refusal.safeParse(body);
  if (!said.success) return `it answered ${status}.`;
  const { message, detail, validations } = said.data;
  return [message, detail, ...(validations ?? []).map((one) => `${one.field}: ${one.detail}`)]
    .filter(Boolean)
    .join(' ');
}

async function built(parts: Parts, id: string): Promise<Workspace> {
  const { coder, name, say } = parts;
  let told = '';
  const ended = await poll(parts, async () => {
    const workspace = await coder.client.getWorkspace(id).catch(passing);
    if (workspace === undefined) return undefined;
    const { status, job } = workspace.latest_build;
    if (status !== told) say(`${name}: ${(told = status)}`);
    return ['running', 'failed', 'canceled', 'stopped', 'deleted'].includes(status) && job.status !== 'running'
      ? workspace
      : undefined;
  });
  const page = `${coder.url}/@${coder.user.username}/${name}`;
  if (ended === undefined)
    throw new CommandFailure(
      124,
      `Workspace ${name} did not start within ${parts.timeoutMs / 1000} s. Its build: ${page}`,
    );
  const { status, job } = ended.latest_build;
  if (status === 'running') return ended;
  throw new CommandFailure(
    1,
    `Workspace ${name} is ${status}: ${job.error || 'its build says why'}. Look at ${page}, then run this again.`,
  );
}

/** One answer that Coder did not give is no reason to stop waiting. */
function passing(error: unknown): undefined {
  if (error instanceof CoderError && ['unavailable', 'unreachable', 'timeout', 'rate_limited'].includes(error.kind))
    return undefined;
  return fail(error);
}
