import { names } from '../contract.ts';
import { blocksOf, listOf, stringsIn, type Body, type Declared } from './template.ts';

/** Says what is wrong with one declaration and what to do, or nothing when it is right. */
export interface Rule {
  readonly id: string;
  readonly check: (declared: Declared) => string | undefined;
}

const onContainers = (id: string, check: (body: Body, declared: Declared) => string | undefined): Rule => ({
  id,
  check: (declared) => (declared.type === 'docker_container' ? check(declared.body, declared) : undefined),
});

const startCount = '${data.coder_workspace.me.start_count}';
const rootUser = /^(0+|root)?(:|$)/;

/** What every container of a Docker template must be. */
export const containerRules: readonly Rule[] = [
  onContainers('privileged', (body) =>
    body.privileged === undefined || body.privileged === false
      ? undefined
      : 'is privileged, so it owns the host. Remove `privileged`.',
  ),
  onContainers('capabilities', (body) => {
    const capabilities = blocksOf(body, 'capabilities');
    const dropsAll = capabilities.some((one) => listOf(one.drop).includes('ALL'));
    const adds = capabilities.some((one) => one.add !== undefined && listOf(one.add).length > 0);
    return dropsAll && !adds ? undefined : 'keeps or adds capabilities. Drop ["ALL"] and add none.';
  }),
  onContainers('no-new-privileges', (body) => {
    const options = listOf(body.security_opts);
    const weak = options.some((one) => typeof one !== 'string' || /unconfined|disable/.test(one));
    return options.includes('no-new-privileges:true') && !weak
      ? undefined
      : 'may gain privileges. Set security_opts = ["no-new-privileges:true"] and no unconfined profile.';
  }),
  onContainers('non-root', (body) => {
    const user = body.user;
    if (typeof user === 'string' && !rootUser.test(user)) return undefined;
    return `runs as ${user === undefined ? "the image's own user" : JSON.stringify(user)}. Set user = "1000:0".`;
  }),
  onContainers('limits', (body) =>
    isSet(body.memory) && isSet(body.cpus)
      ? undefined
      : 'has no limit for memory or CPU, so one workspace can starve the host. Set both `memory` and `cpus`.',
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
    const own = network === undefined || network === 'none' || isContainerNetwork(network);
    return shared.length === 0 && own
      ? undefined
      : `joins a namespace of the host (${[...shared, ...(own ? [] : ['network_mode'])].join(', ')}). Remove it.`;
  }),
  onContainers('network', (body) =>
    body.network_mode !== undefined || blocksOf(body, 'networks_advanced').length > 0
      ? undefined
      : "joins Docker's default network, where workspaces of different people meet. Give it a network of its own.",
  ),
  onContainers('host-paths', (body) => {
    const hostVolume = blocksOf(body, 'volumes').some((one) => one.host_path !== undefined);
    const bind = blocksOf(body, 'mounts').some((one) => one.type !== 'volume' && one.type !== 'tmpfs');
    const devices = blocksOf(body, 'devices').length > 0 || body.gpus !== undefined;
    const socket = stringsIn(body).some((text) => text.includes('docker.sock'));
    return hostVolume || bind || devices || socket
      ? 'mounts a path, device or socket of the host. Use a named volume.'
      : undefined;
  }),
  onContainers('sidecar-root', (body, { name }) =>
    name === names.containers.sidecar && body.read_only !== true
      ? 'can write its root filesystem. Set read_only = true and give it a tmpfs at /tmp.'
      : undefined,
  ),
  {
    id: 'ephemeral',
    check: ({ kind, type, body }) =>
      kind !== 'resource' || !ephemeralTypes.includes(type) || body.count === startCount
        ? undefined
        : `stays when the workspace stops. Set count = ${startCount.slice(2, -1)}.`,
  },
  {
    id: 'volume-kept',
    check: ({ type, body }) =>
      type !== 'docker_volume' || blocksOf(body, 'lifecycle').some((one) => one.ignore_changes === 'all')
        ? undefined
        : 'would be replaced, with its data, when a template changes. Set lifecycle { ignore_changes = all }.',
  },
  {
    id: 'volume-name',
    check: ({ type, body }) =>
      type !== 'docker_volume' || String(body.name).includes('${data.coder_workspace.me.id}')
        ? undefined
        : 'is not named by the workspace id, so two workspaces could share it. Put data.coder_workspace.me.id into `name`.',
  },
];

const ephemeralTypes: readonly string[] = ['docker_container', 'docker_network', 'coder_metadata'];

function isSet(value: unknown): boolean {
  return typeof value === 'number' ? value > 0 : typeof value === 'string' && value !== '' && value !== '0';
}

function isContainerNetwork(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('container:');
}
