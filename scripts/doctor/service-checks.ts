import { CoderError, createClient, type AuthChecks, type CoderClient } from 'coder-sdk-ts';
import pg from 'pg';
import { z } from 'zod';
import { isLoopbackUrl } from '../../service/config-settings.ts';
import type { Config } from '../../service/config.ts';
import { ask } from './ask.ts';
import { fail, ok, unknown, warn, type Check } from './check.ts';

const problem = z.object({ detail: z.string() });
/** What a program of the service says of its refusal; its status where it says nothing. */
export const detailOf = (body: unknown, status: number): string =>
  problem.safeParse(body).data?.detail ?? `status ${status}`;

/** Where the service is asked for: what somebody named, its public address, else where it listens here. */
export function serviceUrlOf(config: Config, named: string | undefined): string {
  const { host, port } = config.listen;
  const local = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return (named ?? config.publicUrl ?? local).replace(/\/+$/, '');
}

/** Everything that the service needs, seen from the machine and with the configuration of whoever runs it. */
export async function checkService(config: Config, serviceUrl: string): Promise<readonly Check[]> {
  const service = await checkReady(serviceUrl);
  return [
    service,
    checkAddress(config, serviceUrl),
    ...(await checkCoder(config)),
    ...(await checkGateway(config)),
    await checkDatabase(config, service),
  ];
}

export async function checkReady(url: string): Promise<Check> {
  const { status, body, error } = await ask(`${url}/readyz`);
  if (status === 200) return ok('service', `${url} takes requests`);
  if (status === null)
    return fail(
      'service',
      `nothing answers at ${url} (${error})`,
      'Without the service no task runs; what runs now goes on in its workspace for as long as its lease.',
      'outrigger serve    (or name the right address: --service URL)',
    );
  if (status === 503)
    return fail(
      'service',
      detailOf(body, status),
      '',
      'Look at the service’s log; its last lines name what is missing.',
    );
  return fail(
    'service',
    `what answers at ${url} is no Outrigger of this version (status ${status})`,
    '',
    'outrigger doctor --service URL    (where /readyz is the service’s own)',
  );
}

function checkAddress({ publicUrl }: Config, serviceUrl: string): Check {
  const name = 'public address';
  if (publicUrl !== undefined && !isLoopbackUrl(publicUrl)) return ok(name, publicUrl);
  return warn(
    name,
    publicUrl ?? `not set; ${serviceUrl} is where it listens`,
    'Workspaces on other machines and in containers cannot reach a loopback address.',
    'OUTRIGGER_URL=https://outrigger.example.com outrigger serve    (the name that workspaces reach)',
  );
}

const mintToken = (url: string): string =>
  `coder login ${url} && coder tokens create --name outrigger-service    (give it as OUTRIGGER_CODER_TOKEN)`;

async function checkCoder(config: Config): Promise<readonly Check[]> {
  const { url, isConfigured, serviceToken, timeoutSeconds } = config.coder;
  const client = createClient({
    url,
    timeoutMs: timeoutSeconds * 1000,
    ...(serviceToken ? { token: serviceToken } : {}),
  });
  const reached = await client.buildInfo().then(
    ({ version }) => ok('Coder', `${url} is Coder ${version}`),
    (error: unknown) =>
      fail(
        'Coder',
        `${url} ${isConfigured ? '' : '(the default: CODER_URL is not set) '}does not answer as Coder: ${kindOf(error)}`,
        '',
        `CODER_URL=https://coder.example.com outrigger doctor    (curl ${url}/api/v2/buildinfo must answer from here)`,
      ),
  );
  const name = 'Coder token';
  if (serviceToken === undefined)
    return [reached, fail(name, 'OUTRIGGER_CODER_TOKEN is not set', 'The service asks Coder with it.', mintToken(url))];
  if (reached.state !== 'ok')
    return [reached, unknown(name, 'Coder did not answer', '', 'Mend the line about Coder first.')];
  return [reached, await checkToken(client, url)];
}

const kindOf = (error: unknown): string => (error instanceof CoderError ? error.kind : 'it failed');

async function checkToken(client: CoderClient, url: string): Promise<Check> {
  const name = 'Coder token';
  try {
    const user = await client.me();
    const organizations = await client.organizations();
    const blind: string[] = [];
    const idle: string[] = [];
    for (const { id, name: organization } of organizations) {
      const object = { resource_type: 'workspace', organization_id: id };
      const checks: AuthChecks = { read: { object, action: 'read' }, start: { object, action: 'start' } };
      const may = await client.authCheck(checks);
      if (may['read'] !== true) blind.push(organization);
      else if (may['start'] !== true) idle.push(organization);
    }
    const grant = (role: string, where: readonly string[]): string =>
      where
        .map((one) => `coder organizations members edit-roles ${user.username} ${role} -O ${one}`)
        .concat('(name also the roles that the member has: the command replaces them)')
        .join('\n    ');
    if (blind.length > 0)
      return fail(
        name,
        `${user.username} may not read the workspaces of ${blind.join(', ')}`,
        'No workspace there can register its bridge.',
        grant('organization-template-admin', blind),
      );
    if (idle.length > 0)
      return warn(
        name,
        `${user.username} may read and not start the workspaces of ${idle.join(', ')}`,
        'A task for a stopped workspace fails there until its owner starts it.',
        grant('organization-admin', idle),
      );
    return ok(
      name,
      `${user.username} may read and start the workspaces of ${organizations.map((one) => one.name).join(', ')}`,
    );
  } catch (error) {
    const what =
      error instanceof CoderError && error.kind === 'not_found' ? 'a scope is missing: user:read' : kindOf(error);
    return fail(
      name,
      `Coder does not take it: ${what}`,
      'It is wrong, has ended, or was made with scopes.',
      mintToken(url),
    );
  }
}

const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });

async function checkGateway({ model }: Config): Promise<readonly Check[]> {
  const { upstreamUrl, apiKey, default: wanted } = model;
  const name = 'model gateway';
  const key =
    apiKey === undefined
      ? fail(
          'model key',
          'OPENROUTER_API_KEY is not set',
          'Agents without a key of their own cannot think.',
          'OPENROUTER_API_KEY_FILE=/run/secrets/model-key outrigger serve',
        )
      : ok('model key', 'configured; it is shown to nobody');
  const { status, body, error } = await ask(
    `${upstreamUrl.replace(/\/+$/, '')}/models`,
    apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` },
  );
  if (status === null)
    return [
      key,
      fail(
        name,
        `${upstreamUrl} does not answer (${error})`,
        '',
        `curl -sS ${upstreamUrl}/models    (must answer from here; else mend the network or MODEL_UPSTREAM_URL)`,
      ),
    ];
  if (status === 401 || status === 403)
    return [
      key,
      fail(
        name,
        `${upstreamUrl} refuses the key (${status})`,
        '',
        'Give a valid one as OPENROUTER_API_KEY and start the service again.',
      ),
    ];
  const listed = modelList.safeParse(body).data?.data.map(({ id }) => id);
  if (status !== 200 || listed === undefined)
    return [
      key,
      unknown(
        name,
        `${upstreamUrl} does not list its models (status ${status})`,
        'Some providers do not.',
        'outrigger demo    (runs one task through it)',
      ),
    ];
  if (wanted !== undefined && !listed.includes(wanted))
    return [
      key,
      warn(
        name,
        `${upstreamUrl} does not list ${wanted}`,
        'A task that names no model uses it.',
        `OUTRIGGER_MODEL=${listed[0] ?? 'MODEL'} outrigger serve`,
      ),
    ];
  return [key, ok(name, `${upstreamUrl} answers with ${listed.length} models`)];
}

async function checkDatabase({ databaseUrl, dataDir }: Config, service: Check): Promise<Check> {
  const name = 'database';
  if (databaseUrl === undefined) {
    if (service.state === 'ok') return ok(name, `the service’s own Postgres in ${dataDir} answers it`);
    return unknown(name, `the service’s own Postgres in ${dataDir} runs only with the service`, '', 'outrigger serve');
  }
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; migrated: boolean }>(
      "select current_setting('server_version') as version, to_regclass('outrigger.task') is not null as migrated",
    );
    const [seen] = rows;
    return seen?.migrated === true
      ? ok(name, `Postgres ${seen.version} answers, and holds Outrigger’s tables`)
      : warn(
          name,
          `Postgres ${seen?.version ?? ''} answers, and holds no tables of Outrigger`,
          'The service makes them when it starts.',
          'outrigger serve',
        );
  } catch (error) {
    const { host, port, pathname } = new URL(databaseUrl.replace(/^postgres(ql)?:/, 'http:'));
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'no answer';
    return fail(
      name,
      `no connection to ${host}${pathname} (${code})`,
      code === '28P01' ? 'The password is wrong.' : '',
      `pg_isready -h ${host.split(':')[0] ?? host}${port ? ` -p ${port}` : ''}    (then mend DATABASE_URL)`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}
