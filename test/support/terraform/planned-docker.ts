import { spawn } from 'node:child_process';
import type { PlannedResource } from './docker-template.ts';

/**
 * Makes real containers out of what Terraform planned, with Docker's own command.
 *
 * Every planned argument is either turned into an option or refused by name, so nothing that a template says is
 * silently left out.
 */

type Values = Readonly<Record<string, unknown>>;

/** What one argument of docker_container becomes; an argument that is not here must be empty. */
const options: Readonly<Record<string, (value: never, all: Values) => readonly string[]>> = {
  name: (value: string) => ['--name', value],
  env: (value: readonly string[]) => value.flatMap((line) => ['--env', line]),
  user: (value: string) => ['--user', value],
  hostname: (value: string) => ['--hostname', value],
  working_dir: (value: string) => ['--workdir', value],
  init: (value: boolean) => (value ? ['--init'] : []),
  read_only: (value: boolean) => (value ? ['--read-only'] : []),
  privileged: (value: boolean) => (value ? ['--privileged'] : []),
  restart: (value: string) => ['--restart', value],
  runtime: (value: string) => ['--runtime', value],
  cpus: (value: string) => ['--cpus', value],
  memory: (value: number) => ['--memory', `${String(value)}m`],
  memory_swap: (value: number) => ['--memory-swap', `${String(value)}m`],
  stop_timeout: (value: number) => ['--stop-timeout', String(value)],
  network_mode: (value: string) => ['--network', value],
  security_opts: (value: readonly string[]) => value.flatMap((one) => ['--security-opt', one]),
  capabilities: (value: readonly { drop: readonly string[] | null; add: readonly string[] | null }[]) =>
    value.flatMap(({ drop, add }) => [
      ...(drop ?? []).flatMap((one) => ['--cap-drop', one]),
      ...(add ?? []).flatMap((one) => ['--cap-add', one]),
    ]),
  tmpfs: (value: Readonly<Record<string, string>>) =>
    Object.entries(value).flatMap(([path, how]) => ['--tmpfs', `${path}:${how}`]),
  host: (value: readonly { host: string; ip: string }[]) =>
    value.flatMap(({ host, ip }) => ['--add-host', `${host}:${ip}`]),
  labels: labelFlags,
  dns: (value: readonly string[]) => value.flatMap((one) => ['--dns', one]),
  // Older clients take one network when a container is made; the others are joined before it starts.
  networks_advanced: (value: readonly PlannedNetwork[]) =>
    firstNamed(value)
      .slice(0, 1)
      .flatMap(({ name, aliases }) => [
        '--network',
        name,
        ...(aliases ?? []).flatMap((one) => ['--network-alias', one]),
      ]),
  mounts: (value: readonly PlannedMount[]) => value.flatMap((one) => ['--mount', mountOf(one)]),
  ports: (value: readonly { internal: number; external: number; ip: string | null; protocol: string | null }[]) =>
    value.flatMap(({ internal, external, ip, protocol }) => [
      '--publish',
      `${ip ?? '0.0.0.0'}:${String(external)}:${String(internal)}/${protocol ?? 'tcp'}`,
    ]),
};

/** Said in other ways, or only to the provider. */
const elsewhere = new Set([
  'image',
  'entrypoint',
  'command',
  'attach',
  'logs',
  'must_run',
  'destroy_grace_seconds',
  'container_read_refresh_timeout_milliseconds',
  'id',
  'start',
  'wait',
  'wait_timeout',
  'remove_volumes',
  'rm',
  'stdin_open',
  'tty',
  'upload',
  'healthcheck',
  'max_retry_count',
]);

interface PlannedNetwork {
  readonly name: string;
  readonly aliases: readonly string[] | null;
}

/** A plan holds them as a set; the one in which the container has a name comes first. */
const firstNamed = (networks: readonly PlannedNetwork[]): readonly PlannedNetwork[] =>
  [...networks].sort((one, other) => (other.aliases?.length ?? 0) - (one.aliases?.length ?? 0));

interface PlannedMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly read_only: boolean | null;
  readonly volume_options: readonly { readonly no_copy: boolean | null }[];
}

function mountOf({ type, source, target, read_only: readOnly, volume_options: settings }: PlannedMount): string {
  const parts = [`type=${type}`, `source=${source}`, `target=${target}`];
  if (readOnly === true) parts.push('readonly');
  if (settings.some(({ no_copy: noCopy }) => noCopy === true)) parts.push('volume-nocopy');
  return parts.join(',');
}

function labelFlags(labels: readonly { readonly label: string; readonly value: string }[]): readonly string[] {
  return labels.flatMap(({ label, value }) => ['--label', `${label}=${value}`]);
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || value === false || (Array.isArray(value) && value.length === 0);

/** `docker create` for a planned container. Throws for an argument that it would leave out. */
export function createArguments({ address, values }: PlannedResource): readonly string[] {
  const forgotten = Object.entries(values).filter(
    ([name, value]) => options[name] === undefined && !elsewhere.has(name) && !isEmpty(value),
  );
  if (forgotten.length > 0) {
    throw new Error(`${address}: nothing is known to do with ${forgotten.map(([name]) => name).join(', ')}.`);
  }
  const flags = Object.entries(options).flatMap(([name, turn]) =>
    isEmpty(values[name]) ? [] : turn(values[name] as never, values),
  );
  const [entry, ...rest] = [...((values.entrypoint ?? []) as string[])];
  const command = [...rest, ...((values.command ?? []) as string[])];
  return [
    'create',
    ...flags,
    ...(entry === undefined ? [] : ['--entrypoint', entry]),
    String(values.image),
    ...command,
  ];
}

/** Runs `docker`; rejects with what it said when it fails. */
export async function docker(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await dockerResult(...words);
  if (code !== 0)
    throw new Error(`docker ${words.slice(0, 2).join(' ')} ended with ${String(code)}: ${stderr || stdout}`);
  return stdout.trim();
}

/** The same, with the exit code instead of a rejection. */
export function dockerResult(
  ...words: readonly string[]
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('docker', [...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Everything of a plan that Docker holds, started as the provider would start it. */
export interface PlannedDocker {
  /** Makes what does not exist; the init container must end with 0 before others start. */
  start(): Promise<void>;
  /** What Coder's stop does: containers and networks go, volumes stay. */
  stop(): Promise<void>;
  /** Everything goes. */
  remove(): Promise<void>;
}

export function plannedDocker(resources: readonly PlannedResource[]): PlannedDocker {
  const ofType = (type: string): readonly PlannedResource[] => resources.filter((one) => one.type === type);
  const containers = [...ofType('docker_container')].sort((one, other) => rank(one) - rank(other));
  const nameOf = ({ values }: PlannedResource): string => String(values.name);
  const stop = async (): Promise<void> => {
    for (const one of [...containers].reverse()) {
      const grace = String(one.values.destroy_grace_seconds ?? 10);
      await dockerResult('stop', '--time', grace, nameOf(one));
      await dockerResult('rm', '--force', '--volumes', nameOf(one));
    }
    for (const one of ofType('docker_network')) await dockerResult('network', 'rm', nameOf(one));
  };
  return {
    async start() {
      for (const { values } of ofType('docker_volume')) await docker(...volumeArguments(values));
      for (const { values } of ofType('docker_network')) {
        await docker(...networkArguments(values));
      }
      for (const one of containers) {
        await docker(...createArguments(one));
        const networks = (one.values.networks_advanced ?? []) as readonly PlannedNetwork[];
        for (const { name } of firstNamed(networks).slice(1)) await docker('network', 'connect', name, nameOf(one));
        await docker('start', ...(one.values.attach === true ? ['--attach'] : []), nameOf(one));
      }
    },
    stop,
    async remove() {
      await stop();
      for (const one of ofType('docker_volume')) await dockerResult('volume', 'rm', '--force', nameOf(one));
    },
  };
}

/** Who is started first: what fills volumes, then who owns the network, then who joins it. */
function rank({ values }: PlannedResource): number {
  if (values.attach === true) return 0;
  return String(values.network_mode ?? '').startsWith('container:') ? 2 : 1;
}

function volumeArguments(values: Values): readonly string[] {
  const settings = Object.entries((values.driver_opts ?? {}) as Record<string, string>);
  const flags = settings.flatMap(([key, value]) => ['--opt', `${key}=${value}`]);
  return ['volume', 'create', '--driver', String(values.driver ?? 'local'), ...flags, ...labelsAndName(values)];
}

function networkArguments(values: Values): readonly string[] {
  const settings = Object.entries((values.options ?? {}) as Record<string, string>);
  const flags = settings.flatMap(([key, value]) => ['--opt', `${key}=${value}`]);
  const internal = values.internal === true ? ['--internal'] : [];
  return [
    ...['network', 'create', '--driver', String(values.driver ?? 'bridge')],
    ...[...internal, ...flags, ...labelsAndName(values)],
  ];
}

const labelsAndName = ({ labels, name }: Values): readonly string[] => [
  ...labelFlags((labels ?? []) as Parameters<typeof labelFlags>[0]),
  String(name),
];
