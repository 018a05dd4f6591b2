import { bridgeEnvironment, names } from '../contract.ts';
import { at, containersOf, podOf, type AnyContainer } from './containers.ts';
import type { Rule } from './rule.ts';
import { blocksOf, certainBlocksOf, listOf, type Body } from './template.ts';

const onPods = (id: string, check: (pod: Body) => string | undefined): Rule => ({
  id,
  check: (declared) => {
    const pod = podOf(declared);
    return pod === undefined ? undefined : check(pod);
  },
});

/** Judges every container of a pod, init containers too, and names the one that is wrong. */
const onContainers = (id: string, check: (container: AnyContainer) => string | undefined): Rule => ({
  id,
  check: (declared) => {
    if (podOf(declared) === undefined) return undefined;
    const refused = containersOf(declared).flatMap((container) => {
      const why = check(container);
      return why === undefined ? [] : [`has the container "${container.name}", which ${why}`];
    });
    return refused.length === 0 ? undefined : refused.join(' It also ');
  },
});

const security = ({ body }: AnyContainer): Body => at(body, 'security_context');
/** A number that is written out: what an expression becomes is known too late. */
const isRoot = (user: unknown): boolean => typeof user !== 'string' || !/^[1-9]\d{0,8}$/.test(user);
const ownClaim = /^\$\{kubernetes_persistent_volume_claim_v1\.[\w-]+\.metadata\[0\]\.name\}$/;
const ownSecret = '${kubernetes_secret_v1.workspace[0].metadata[0].name}';

/** What every pod of a Kubernetes template must be. Pod Security "restricted" asks for a part of it. */
export const podRules: readonly Rule[] = [
  onPods('pod-host', (pod) => {
    const shared = ['host_network', 'host_pid', 'host_ipc', 'share_process_namespace'].filter(
      (name) => (pod[name] ?? false) !== false,
    );
    return shared.length === 0
      ? undefined
      : `shares namespaces of the node or between its containers (${shared.join(', ')}). Set them to false.`;
  }),
  onPods('pod-service-account', (pod) =>
    pod.automount_service_account_token === false && pod.service_account_name === undefined
      ? undefined
      : 'is given a token of the cluster. Set automount_service_account_token = false and no service_account_name.',
  ),
  onPods('pod-service-links', (pod) =>
    pod.enable_service_links === false
      ? undefined
      : "is told the addresses of the namespace's services. Set enable_service_links = false.",
  ),
  onPods('pod-volumes', (pod) => {
    const strange = blocksOf(pod, 'volume').filter(
      (volume) =>
        Object.keys(volume).some(
          (key) => !['name', 'persistent_volume_claim', 'empty_dir', 'ephemeral'].includes(key),
        ) || blocksOf(volume, 'persistent_volume_claim').some((one) => !ownClaim.test(String(one.claim_name))),
    );
    return strange.length === 0
      ? undefined
      : `mounts ${strange.map(({ name }) => String(name)).join(', ')} from the node, the cluster or somebody else. Use a claim of the template, an ephemeral one, or an empty_dir.`;
  }),
  onPods('pod-volume-size', (pod) =>
    blocksOf(pod, 'volume').every(
      (volume) => volume.empty_dir === undefined || isSet(at(volume, 'empty_dir').size_limit),
    )
      ? undefined
      : 'has an empty_dir that can fill the node. Set size_limit.',
  ),
  onPods('pod-identity', (pod) => {
    const { run_as_non_root: nonRoot, run_as_user: user, ...rest } = at(pod, 'security_context');
    return nonRoot === true && !isRoot(user) && at(rest, 'seccomp_profile').type === 'RuntimeDefault'
      ? undefined
      : 'may run as root or without seccomp. Set run_as_non_root, run_as_user = "1000" and seccomp_profile RuntimeDefault.';
  }),
  onPods('pod-volume-owner', (pod) => {
    const { fs_group: group, fs_group_change_policy: policy } = at(pod, 'security_context');
    return !isRoot(group) && policy === 'OnRootMismatch'
      ? undefined
      : 'cannot write fresh volumes, or makes private keys readable by their group at each start. Set fs_group = "1000" and fs_group_change_policy = "OnRootMismatch".';
  }),
  onPods('pod-runtime-class', (pod) =>
    pod.runtime_class_name === ''
      ? 'names an empty RuntimeClass, which is not the same as none. Leave runtime_class_name out, or make it null.'
      : undefined,
  ),
  onContainers('pod-privileged', (container) =>
    (security(container).privileged ?? false) === false
      ? undefined
      : 'is privileged, so it owns the node. Set privileged = false.',
  ),
  onContainers('pod-escalation', (container) =>
    security(container).allow_privilege_escalation === false
      ? undefined
      : 'may gain privileges. Set allow_privilege_escalation = false.',
  ),
  onContainers('pod-capabilities', (container) => {
    const capabilities = blocksOf(security(container), 'capabilities');
    const dropsAll = certainBlocksOf(security(container), 'capabilities').some((one) =>
      listOf(one.drop).includes('ALL'),
    );
    const adds = capabilities.some((one) => one.add !== undefined && listOf(one.add).length > 0);
    return dropsAll && !adds ? undefined : 'keeps or adds capabilities. Drop ["ALL"] and add none.';
  }),
  onContainers('pod-non-root', (container) => {
    const { run_as_non_root: nonRoot, run_as_user: user } = security(container);
    return nonRoot === true && !isRoot(user)
      ? undefined
      : 'may run as root: what its security_context leaves out is sent as false and overrides the pod. Set run_as_non_root = true and run_as_user = "1000".';
  }),
  onContainers('pod-seccomp', (container) =>
    at(security(container), 'seccomp_profile').type === 'RuntimeDefault'
      ? undefined
      : 'has no seccomp profile. Set seccomp_profile { type = "RuntimeDefault" }.',
  ),
  onContainers('pod-root-filesystem', (container) =>
    container.name === names.containers.worker || security(container).read_only_root_filesystem === true
      ? undefined
      : 'can write its root filesystem. Set read_only_root_filesystem = true and mount an empty_dir at /tmp.',
  ),
  onContainers('pod-limits', ({ body }) => {
    const { limits, requests } = at(body, 'resources') as { limits?: Body; requests?: Body };
    const isBounded = ['cpu', 'memory', 'ephemeral-storage'].every((name) => isSet(limits?.[name]));
    return isBounded && ['cpu', 'memory'].every((name) => isSet(requests?.[name]))
      ? undefined
      : 'has no limit or request, so one workspace can starve the node. Set limits of cpu, memory and ephemeral-storage, and requests of cpu and memory.';
  }),
  onContainers('pod-ports', ({ body }) =>
    blocksOf(body, 'port').every((port) => port.host_port === undefined && port.host_ip === undefined)
      ? undefined
      : "opens a port of the node. Remove host_port and host_ip: Coder's proxy reaches the workspace.",
  ),
  onContainers('pod-secret-keys', secretKeys),
  onContainers('pod-environment-order', ({ body }) => {
    const secrets = blocksOf(body, 'env').map((one) => one.value === undefined);
    return secrets.includes(true) && secrets.lastIndexOf(false) > secrets.indexOf(true)
      ? 'has plain values after secrets, and Kubernetes would expand $(NAME) of a secret in them. Put secrets last.'
      : undefined;
  }),
];

/** Which keys of the workspace's Secret a container may be given; a container that is not here, none. */
const keysOf: Readonly<Record<string, readonly string[]>> = {
  [names.containers.worker]: ['CODER_AGENT_TOKEN', bridgeEnvironment.harnessKey],
  [names.containers.sidecar]: [bridgeEnvironment.proof, bridgeEnvironment.harnessKey],
};

function secretKeys({ name, body }: AnyContainer): string | undefined {
  if (blocksOf(body, 'env_from').length > 0) return 'is given all of a Secret or ConfigMap. Name each key in env.';
  const sources = blocksOf(body, 'env').filter((one) => blocksOf(one, 'value_from').length > 0);
  const wrong = sources
    .map((one) => at(one, 'value_from', 'secret_key_ref'))
    .filter((from) => from.name !== ownSecret || !(keysOf[name] ?? []).includes(String(from.key)));
  return wrong.length === 0
    ? undefined
    : `is given ${wrong.map(({ key }) => String(key)).join(', ')}, which is another container's or of another Secret. Give it keys of ${ownSecret} that are its own.`;
}

function isSet(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value !== '0';
}
