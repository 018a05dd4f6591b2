import { CoderError, type Workspace } from 'coder-sdk-ts';
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

async function create({ coder, name, template, choices }: Parts): Promise<string> {
  const values = Object.entries(choices).map(([key, value]) => ({ name: key, value }));
  const body = { name, template_id: template.id, rich_parameter_values: values };
  return (await coder.client.createWorkspace('me', body).catch(fail)).id;
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
