import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { inSynthesized, onStack, type DeployPlan } from '../support/terraform/deployable.ts';
import { createArguments, docker, dockerResult } from '../support/terraform/planned-docker.ts';
import { run, terraformPath } from '../support/terraform/terraform.ts';
import { hasServiceImage, removeServiceImage, serviceImage } from './service-image.ts';

const withService = hasServiceImage && terraformPath !== null ? describe : describe.skip;
let image = '';

const name = `outrigger-test-${randomBytes(4).toString('hex')}`;
const token = `canary-${randomBytes(16).toString('hex')}`;

type Resources = NonNullable<DeployPlan['planned_values']['root_module']['resources']>;
type Resource = Resources[number];

/** The arguments of a planned container that the shared helper leaves to its caller. */
interface Planned {
  readonly healthcheck: readonly { readonly test: readonly string[] }[];
  readonly log_driver?: string | null;
  readonly log_opts?: Readonly<Record<string, string>> | null;
  readonly upload: readonly { readonly file: string; readonly source: string; readonly permissions: string }[];
}

async function planned(secret: string): Promise<Resources> {
  const values = {
    name,
    service_image: `registry.example.com/outrigger-service:1@sha256:${'a'.repeat(64)}`,
    coder_url: 'https://coder.example.com',
    outrigger_url: 'https://outrigger.example.com',
    coder_token_file: secret,
  };
  return await inSynthesized({ OUTRIGGER_STACKS: 'docker-service' }, async (directory) => {
    const plan = await onStack(directory, 'docker-service', values, (bench) => bench.plan());
    return plan.planned_values.root_module.resources ?? [];
  });
}

const settingsOf = (resource: Resource): Planned => resource.values as unknown as Planned;

const nameOf = (resource: Resource): string => String(resource.values['name']);

/** As the provider does it: make, upload to `/` a tar whose one file belongs to root, start. */
async function startContainer(resource: Resource): Promise<void> {
  const { log_driver: driver, log_opts: options, upload } = settingsOf(resource);
  const rest = { ...resource.values, log_driver: null, log_opts: null, image };
  const planned = { ...resource, type: 'docker_container', name: '', values: rest };
  const [create = '', ...words] = createArguments(planned);
  const logging = Object.entries(options ?? {}).flatMap(([key, value]) => ['--log-opt', `${key}=${value}`]);
  await docker(create, ...(driver == null ? [] : ['--log-driver', driver]), ...logging, ...words);
  for (const { file, source, permissions } of upload) {
    const inside = `--absolute-names --transform='s|.*|${file.slice(1)}|'`;
    const tar = `tar --owner=0 --group=0 --mode=${permissions} ${inside} -cf - '${source}'`;
    const { code, stderr } = await run('sh', ['-c', `${tar} | docker cp - ${nameOf(resource)}:/`]);
    if (code !== 0) throw new Error(stderr);
  }
  if (resource.values['start'] !== false) await docker('start', nameOf(resource));
}

/** Each probe starts a Node in the container; without a pause they would take the time of the start. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1_000));

/** Asks with the planned healthcheck until it agrees. Ends with the log when the container did. */
async function healthy(resource: Resource, expected = 'running 0'): Promise<void> {
  const [, ...probe] = settingsOf(resource).healthcheck[0]?.test ?? [];
  for (;;) {
    const { code } = await dockerResult('exec', name, ...probe);
    if (code === 0) return;
    const state = await docker('inspect', '--format', '{{.State.Status}} {{.RestartCount}}', name);
    if (state !== expected) throw new Error(`The container is ${state}.\n${await docker('logs', name)}`);
    await aWhile();
  }
}

withService('S-16 the container of docker-service, as planned', () => {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'));
  let resources: Resources = [];
  const ofType = (type: string) => resources.filter(({ address }) => address.startsWith(`${type}.`));
  const container = (label: string): Resource => {
    const found = resources.find(({ address }) => address === `docker_container.${label}`);
    if (found === undefined) throw new Error(`No container "${label}" is planned.`);
    return found;
  };
  const service = () => container('service');
  const node = (script: string) => dockerResult('exec', name, 'node', '-e', script);
  const marks = "require('fs').readFileSync('/var/lib/outrigger/data/keys/audit-signing-key', 'utf8')";
  const key = `process.stdout.write(require('crypto').createHash('sha256').update(${marks}).digest('hex'))`;

  /** As `cdktf destroy`: containers first, because they hold the rest. */
  const destroy = async (): Promise<void> => {
    const ended = service().values['destroy_grace_seconds'];
    await dockerResult('stop', '--time', String(ended), name);
    for (const resource of ofType('docker_container')) await dockerResult('rm', '--force', nameOf(resource));
    for (const { values } of ofType('docker_network')) await dockerResult('network', 'rm', String(values['name']));
    for (const { values } of ofType('docker_volume')) await dockerResult('volume', 'rm', String(values['name']));
  };

  beforeAll(async () => {
    image = serviceImage();
    const secret = join(directory, 'coder-token');
    writeFileSync(secret, token);
    resources = await planned(secret);
    for (const { values } of ofType('docker_volume')) await docker('volume', 'create', String(values['name']));
    for (const { values } of ofType('docker_network')) await docker('network', 'create', String(values['name']));
    await startContainer(container('secrets'));
    await startContainer(service());
    await healthy(service());
  }, 1_200_000);

  afterAll(async () => {
    if (resources.length > 0) await destroy();
    removeServiceImage(image);
    rmSync(directory, { recursive: true, force: true });
  });

  it('holds its secret in a file that only it can read, and in no environment, label or log', async () => {
    const read = await node("process.stdout.write(require('fs').readFileSync('/run/secrets/coder-token', 'utf8'))");
    const { stdout: mode } = await node(
      "const s = require('fs').statSync('/run/secrets/coder-token'); process.stdout.write([s.uid, s.gid, (s.mode & 0o777).toString(8)].join(' '))",
    );

    expect(read.stdout).toBe(token);
    expect(mode).toBe('0 0 440');
    expect(await docker('inspect', name)).not.toContain(token);
    expect(await docker('logs', name)).not.toContain(token);
  });

  it('cannot write its root', async () => {
    const { code, stderr } = await node("require('fs').writeFileSync('/app/planted', '')");

    expect(code).not.toBe(0);
    expect(stderr).toContain('EROFS');
  });

  it('keeps its database and its keys when it is made anew', async () => {
    const before = (await node(key)).stdout;
    await docker('stop', '--time', '30', name);
    const ended = await docker('inspect', '--format', '{{.State.ExitCode}}', name);
    await docker('rm', name);
    await startContainer(service());
    await healthy(service());

    expect(ended).toBe('0');
    expect(before).toHaveLength(64);
    expect((await node(key)).stdout).toBe(before);
  }, 600_000);

  it('serves again after a restart, with the same keys', async () => {
    const before = (await node(key)).stdout;
    await docker('restart', '--time', '30', name);
    await healthy(service());

    expect((await node(key)).stdout).toBe(before);
  }, 600_000);

  it('comes back by itself when it dies, and serves again', async () => {
    const died = await dockerResult('exec', name, 'node', '-e', 'process.kill(1, "SIGTERM")');
    expect(died.code).not.toBeNull();
    const count = () => docker('inspect', '--format', '{{.RestartCount}} {{.State.Status}}', name);
    while (!/^1 running/.test(await count())) await aWhile();
    await healthy(service(), 'running 1');

    expect(await count()).toBe('1 running');
  }, 600_000);

  it('goes with its network and its volumes, and leaves nothing', async () => {
    await destroy();
    const ours = ['--filter', `name=${name}`, '--quiet'];

    expect(await docker('ps', '--all', ...ours)).toBe('');
    expect(await docker('network', 'ls', ...ours)).toBe('');
    expect(await docker('volume', 'ls', ...ours)).toBe('');
  });
});
