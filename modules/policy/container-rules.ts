import { names } from '../contract.ts';
import { at } from './containers.ts';
import type { Rule } from './rule.ts';
import { blocksOf, certainBlocksOf, listOf, stringsIn, type Body, type Declared } from './template.ts';

const onContainers = (id: string, check: (body: Body, declared: Declared) => string | undefined): Rule => ({
  id,
  check: (declared) => (declared.type === 'docker_container' ? check(declared.body, declared) : undefined),
});

const agentModeCount =
  /^\$\{(?:local\.agent_mode == "(?:sidecar|process)"|var\.egress != "open") \? data\.coder_workspace\.me\.start_count : 0\}$/;
/** A condition around `{ size = "…" }`, which has no other key, and null. */
const sizeOrNothing = /^\$\{var\.\w+ \? \{ size = "[^"]*(\$\{[^"}]*\})?[^"]*" \} : null\}$/;
const startCount = '${data.coder_workspace.me.start_count}';
/** By number, because a name means what the image says it means, and Docker reads "+0" as 0. */
const plainUser = /^[1-9]\d{0,8}(:\d{1,9})?$/;
const ownNetwork = '${docker_network.workspace[0].name}';
/** What closes the network of a workspace, unless its admin leaves the way out open. */
const closed = '${var.egress != "open"}';
const hostless = '${var.egress != "open" ? { "com.docker.network.bridge.inhibit_ipv4" = "true" } : {}}';
const nameless = '${var.egress != "open" ? ["192.0.2.1"] : null}';
const outerNetwork = '${var.egress_network}';
const netOfPod = 'container:${docker_container.net[0].id}';
const ownVolume = /^\$\{docker_volume\.[\w-]+\.name\}$/;

/** What every container of a Docker template must be. */
export const containerRules: readonly Rule[] = [
  onContainers('privileged', (body) =>
    body.privileged === undefined || body.privileged === false
      ? undefined
      : 'is privileged, so it owns the host. Remove `privileged`.',
  ),
  onContainers('capabilities', (body) => {
    const capabilities = blocksOf(body, 'capabilities');
    const dropsAll = certainBlocksOf(body, 'capabilities').some((one) => listOf(one.drop).includes('ALL'));
    const adds = capabilities.some((one) => one.add !== undefined && listOf(one.add).length > 0);
    return dropsAll && !adds ? undefined : 'keeps or adds capabilities. Drop ["ALL"] and add none.';
  }),
  onContainers('no-new-privileges', (body) => {
    const options = listOf(body.security_opts);
    return options.length === 1 && options[0] === 'no-new-privileges:true'
      ? undefined
      : 'may gain privileges. Set security_opts = ["no-new-privileges:true"] and nothing else.';
  }),
  onContainers('non-root', (body) => {
    const user = body.user;
    if (typeof user === 'string' && plainUser.test(user)) return undefined;
    return `runs as ${user === undefined ? "the image's own user" : JSON.stringify(user)}. Set user = "1000:0", in digits.`;
  }),
  onContainers('limits', (body) =>
    isSet(body.memory) && isSet(body.cpus)
      ? undefined
      : 'has no limit for memory or CPU, so one workspace can starve the host. Set both `memory` and `cpus`.',
  ),
  onContainers('swap', (body) =>
    body.memory_swap === body.memory
      ? undefined
      : 'may use as much swap as memory. Set memory_swap to the same value as memory.',
  ),
  onContainers('restart', (body) =>
    body.restart === 'no' ? undefined : 'restarts by itself, but Coder owns the life cycle. Set restart = "no".',
  ),
  onContainers('ports', (body) =>
    blocksOf(body, 'ports').length === 0 && (body.publish_all_ports ?? false) === false
      ? undefined
      : "publishes ports on the host. Remove them: Coder's app proxy reaches the workspace.",
  ),
  onContainers('namespaces', (body) => {
    const shared = ['pid_mode', 'ipc_mode', 'userns_mode', 'cgroupns_mode'].filter((name) => body[name] !== undefined);
    const network = body.network_mode;
    const own = network === undefined || network === 'none' || network === netOfPod;
    return shared.length === 0 && own
      ? undefined
      : `joins a namespace of the host (${[...shared, ...(own ? [] : ['network_mode'])].join(', ')}). Remove it.`;
  }),
  onContainers('network', (body, { name: declaredName }) => {
    const joined = certainBlocksOf(body, 'networks_advanced');
    const may = declaredName === names.containers.egress ? [ownNetwork, outerNetwork] : [ownNetwork];
    const isOwn = blocksOf(body, 'networks_advanced').every(({ name }) => may.includes(String(name)));
    return isOwn && (body.network_mode !== undefined || joined.length > 0)
      ? undefined
      : `joins a network where workspaces of different people meet. Join ${ownNetwork} only.`;
  }),
  onContainers('host-paths', (body) => {
    const hostVolume = blocksOf(body, 'volumes').some((one) => one.host_path !== undefined);
    const bind = blocksOf(body, 'mounts').some((one) => one.type !== 'volume' && one.type !== 'tmpfs');
    const foreign = blocksOf(body, 'mounts').some(
      (one) => one.type === 'volume' && !(typeof one.source === 'string' && ownVolume.test(one.source)),
    );
    const devices = blocksOf(body, 'devices').length > 0 || body.gpus !== undefined;
    const socket = stringsIn(body).some((text) => text.includes('docker.sock'));
    return hostVolume || bind || foreign || devices || socket
      ? 'mounts a path, device or socket of the host, or a volume of somebody else. Use a docker_volume of the template.'
      : undefined;
  }),
  onContainers('sidecar-root', (body, { name }) =>
    name !== names.containers.worker && body.read_only !== true
      ? 'can write its root filesystem. Set read_only = true, and give it a tmpfs at /tmp where it needs one.'
      : undefined,
  ),
  onContainers('tmpfs', (body) => looseMemory(Object.values((body.tmpfs ?? {}) as Body))),
  {
    id: 'tmpfs-volume',
    check: ({ type, body }) => {
      const options = (body.driver_opts ?? {}) as Body;
      return type === 'docker_volume' && options.type === 'tmpfs' ? looseMemory([options.o]) : undefined;
    },
  },
  {
    id: 'volume-driver',
    check: ({ type, body }) =>
      type !== 'docker_volume' || ((body.driver ?? 'local') === 'local' && isHarmless(body.driver_opts))
        ? undefined
        : 'is given options of a driver, with which a volume can be any path of the host. Use a tmpfs or { size = … } only.',
  },
  {
    id: 'network-driver',
    check: ({ type, body }) =>
      type !== 'docker_network' || (body.driver ?? 'bridge') === 'bridge'
        ? undefined
        : `uses the driver ${JSON.stringify(body.driver)}, which puts the workspace into a network of the host. Use "bridge".`,
  },
  {
    id: 'network-internal',
    check: ({ type, name, body }) =>
      type !== 'docker_network' || name !== 'workspace' || (body.internal === closed && body.options === hostless)
        ? undefined
        : `leads out of the workspace past its list. Set internal = ${closed.slice(2, -1)} and options = ${hostless.slice(2, -1)}.`,
  },
  onContainers('network-names', (body, { name }) =>
    name !== names.containers.network || body.dns === nameless
      ? undefined
      : `asks name servers outside, which carries data out. Set dns = ${nameless.slice(2, -1)}.`,
  ),
  {
    id: 'ephemeral',
    check: ({ kind, type, body }) =>
      kind !== 'resource' || !ephemeralTypes.includes(type) || stopsWithWorkspace(body.count)
        ? undefined
        : `stays when the workspace stops. Set count = ${startCount.slice(2, -1)}.`,
  },
  {
    id: 'volume-kept',
    check: ({ type, body }) =>
      !keptTypes.includes(type) || certainBlocksOf(body, 'lifecycle').some((one) => one.ignore_changes === 'all')
        ? undefined
        : 'would be replaced, with its data, when a template changes. Set lifecycle { ignore_changes = all }.',
  },
  {
    id: 'volume-name',
    check: ({ type, body }) =>
      !namedTypes.includes(type) ||
      String(body.name ?? at(body, 'metadata').name).includes('${data.coder_workspace.me.id}')
        ? undefined
        : 'is not named by the workspace id, so two workspaces could share it. Put data.coder_workspace.me.id into `name`.',
  },
];

const volumeTypes: readonly string[] = ['docker_volume', 'kubernetes_persistent_volume_claim_v1'];
const namedTypes: readonly string[] = [...volumeTypes, 'docker_network'];
const keptTypes: readonly string[] = [...volumeTypes, 'kubernetes_namespace_v1'];
const ephemeralTypes: readonly string[] = [
  'docker_container',
  'docker_network',
  'kubernetes_deployment_v1',
  'kubernetes_secret_v1',
  'coder_metadata',
];

/** The count itself, or the count where the agent runs in this way. Another condition could hold in a stopped one. */
function stopsWithWorkspace(count: unknown): boolean {
  return count === startCount || agentModeCount.test(String(count));
}

function isSet(value: unknown): boolean {
  return typeof value === 'number' ? value > 0 : typeof value === 'string' && value !== '' && value !== '0';
}

/** Nothing, memory, or a size; "device" and "o" of any other type can be a bind mount of the host. */
function isHarmless(options: unknown): boolean {
  if (options === undefined || options === null) return true;
  if (typeof options === 'string') return sizeOrNothing.test(options);
  const { type, device, o: _bounds, ...others } = options as Body;
  const isMemory = type === 'tmpfs' && (device === undefined || device === 'tmpfs');
  const isSize = type === undefined && device === undefined && _bounds === undefined;
  return Object.keys(others).every((name) => name === 'size') && (isMemory || isSize);
}

/** Memory that is mounted as a filesystem has a size, and brings neither devices nor set-user-id programs. */
function looseMemory(mounted: readonly unknown[]): string | undefined {
  const loose = mounted.some((options) => {
    const given = String(options).split(',');
    return !given.includes('nosuid') || !given.includes('nodev') || !given.some((one) => /^size=\d/.test(one));
  });
  return loose ? 'mounts memory without bounds. Give the tmpfs size=…, nosuid and nodev.' : undefined;
}
