import { CoderError, type CoderClient, type Workspace } from 'coder-sdk-ts';
import { z } from 'zod';
import { names } from '../../modules/contract.ts';
import { ask } from './ask.ts';
import { fail, ok, unknown, warn, type Check } from './check.ts';
import { detailOf } from './service-checks.ts';

interface Parts {
  readonly coder: CoderClient;
  readonly coderUrl: string;
  readonly serviceUrl: string;
  /** The caller's own, for Coder and the service alike. */
  readonly token: string;
}

/** What Coder and the service know of a workspace, with the rights of whoever asks. `reference`: id, owner/name or name. */
export async function checkWorkspace(
  parts: Parts,
  reference: string,
): Promise<{ readonly subject: string; readonly checks: readonly Check[] }> {
  const found = await findWorkspace(parts, reference);
  if ('state' in found) return { subject: `workspace ${reference}`, checks: [found] };
  const name = `${found.owner_name}/${found.name}`;
  const build = checkBuild(parts, found, name);
  const checks = [build, checkAgent(found, name, build), ...(await checkBridge(parts, found, name, build))];
  return { subject: `workspace ${name}`, checks };
}

async function findWorkspace({ coder, coderUrl }: Parts, reference: string): Promise<Workspace | Check> {
  const [first = '', second] = reference.split('/');
  try {
    if (z.uuid().safeParse(reference).success) return await coder.getWorkspace(reference);
    return await (second === undefined
      ? coder.getWorkspaceByName('me', first)
      : coder.getWorkspaceByName(first, second));
  } catch (error) {
    if (!(error instanceof CoderError)) throw error;
    if (error.kind === 'not_found')
      return fail(
        'workspace',
        `Coder knows no ${reference} that you may see`,
        '',
        'coder list --all    (shows owner/name)',
      );
    if (error.kind === 'unauthenticated')
      return fail(
        'workspace',
        'Coder does not take your token',
        '',
        `coder login ${coderUrl} && coder tokens create    (give it as CODER_SESSION_TOKEN)`,
      );
    return unknown(
      'workspace',
      `Coder did not answer: ${error.kind}`,
      '',
      `curl ${coderUrl}/api/v2/buildinfo    (must answer from here)`,
    );
  }
}

function checkBuild({ coderUrl }: Parts, { latest_build: build }: Workspace, name: string): Check {
  const { status, job } = build;
  const page = `${coderUrl}/@${name}/builds/${build.build_number}`;
  if (status === 'running') return ok('build', `running since build ${build.build_number}`);
  if (status === 'failed' || status === 'canceled')
    return fail('build', `${status}: ${job.error || 'its log says why'}`, `The log: ${page}`, `coder start ${name}`);
  if (status === 'stopped')
    return warn('build', 'stopped', 'A task starts it, where the service’s token may.', `coder start ${name}`);
  return unknown('build', status, 'A build is on its way.', `coder show ${name}    (then ask again)`);
}

function checkAgent({ latest_build: build }: Workspace, name: string, { state }: Check): Check {
  const agents = (build.resources ?? []).flatMap((resource) => resource.agents ?? []);
  const agent = agents.find((one) => one.name === names.workspaceAgent);
  if (state !== 'ok') return unknown('agent', 'the workspace does not run', '', 'Mend the line about the build first.');
  if (agent === undefined)
    return fail(
      'agent',
      `the build has no agent ${names.workspaceAgent}`,
      'Its template is not one of Outrigger’s.',
      'outrigger template push docker    (then coder update)',
    );
  const { status, lifecycle_state: lifecycle } = agent;
  if (status !== 'connected')
    return fail(
      'agent',
      `Coder’s agent is ${status}`,
      'Its container does not start or cannot reach Coder.',
      `outrigger doctor workspace --container coder-${name.replace('/', '-')}    (or --pod NAMESPACE/POD; else coder restart ${name})`,
    );
  if (lifecycle === 'start_error' || lifecycle === 'start_timeout')
    return warn(
      'agent',
      `connected, and its start ended with ${lifecycle}`,
      'A script of the template failed.',
      `coder ssh ${name} -- 'tail -n 40 /tmp/coder-*.log'`,
    );
  return ok('agent', `connected, ${lifecycle}`);
}

const presence = z.object({
  bridge: z
    .object({ connected: z.boolean(), harness_version: z.string().nullish(), last_seen_at: z.string() })
    .nullable(),
  ideEnabled: z.boolean().optional(),
  idePhase: z.string(),
  ideMessage: z.string().nullish(),
});

async function checkBridge(parts: Parts, { id }: Workspace, name: string, build: Check): Promise<readonly Check[]> {
  const { serviceUrl, token } = parts;
  const { status, body, error } = await ask(`${serviceUrl}/api/v2/agents/workspaces/${id}`, {
    'Coder-Session-Token': token,
  });
  if (status === null)
    return [
      fail(
        'service',
        `nothing answers at ${serviceUrl} (${error})`,
        '',
        'outrigger doctor    (on the machine that runs the service; or --service URL)',
      ),
    ];
  const seen = presence.safeParse(body);
  if (status === 404)
    return [
      fail(
        'service',
        detailOf(body, status),
        'To use a workspace needs Coder’s right ssh.',
        `coder sharing add ${name} --user YOU:use    (by its owner)`,
      ),
    ];
  if (status !== 200 || !seen.success)
    return [fail('service', detailOf(body, status), '', 'outrigger doctor    (on the machine that runs the service)')];
  const service = ok('service', `${serviceUrl} knows the workspace`);
  const { bridge, idePhase, ideMessage } = seen.data;
  if (build.state !== 'ok')
    return [service, unknown('bridge', 'the workspace does not run', '', 'Mend the line about the build first.')];
  return [service, bridgeLine(bridge, name, serviceUrl), ideLine(idePhase, ideMessage ?? '', name)];
}

function bridgeLine(bridge: z.infer<typeof presence>['bridge'], name: string, serviceUrl: string): Check {
  const container = `coder-${name.replace('/', '-')}`;
  const look = `outrigger doctor workspace ${name} --container ${container}    (or --pod NAMESPACE/POD; its log: docker logs ${container}.${names.containers.sidecar})`;
  if (bridge === null)
    return fail(
      'bridge',
      'never registered',
      `The agent’s container cannot reach ${serviceUrl}, or its template’s secret is not this service’s.`,
      look,
    );
  if (!bridge.connected)
    return fail('bridge', `registered, and not heard of since ${bridge.last_seen_at}`, 'No task can run.', look);
  return ok(
    'bridge',
    `connected; OpenCode ${bridge.harness_version ?? 'of unknown version'}, heard of at ${bridge.last_seen_at}`,
  );
}

function ideLine(phase: string, message: string, name: string): Check {
  if (phase !== 'Failed') return ok('IDE', phase);
  return warn(
    'IDE',
    `failed: ${message}`,
    '',
    `coder update ${name} --parameter ide_enabled=true    (ends what runs there)`,
  );
}
