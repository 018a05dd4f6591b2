/** Every way in which one of our templates could lose a part of its hardening. */

export type Body = Record<string, unknown>;

/** Values that make a field unsafe; `absent` takes it away. */
export const absent = Symbol('absent');

/** Field by path of names, below every resource of a type; blocks may be one, several or dynamic. */
export type Table = Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>>;

const securityContext = {
  privileged: [true],
  allow_privilege_escalation: [absent, true],
  run_as_non_root: [absent, false],
  run_as_user: [absent, '0'],
  capabilities: [absent, { drop: [] }, { drop: ['ALL'], add: ['SYS_ADMIN'] }],
  seccomp_profile: [absent, { type: 'Unconfined' }],
};

const ofContainer = {
  image: [absent, 'debian:latest'],
  security_context: [absent],
  resources: [absent],
  'resources.limits': [absent, { cpu: '1' }],
  'resources.requests': [absent],
  env_from: [{ secret_ref: { name: 'all' } }],
  port: [{ container_port: 1, host_port: 1 }],
  ...under('security_context', securityContext),
};

const pod = {
  automount_service_account_token: [absent, true],
  enable_service_links: [absent, true],
  host_network: [true],
  host_pid: [true],
  host_ipc: [true],
  share_process_namespace: [true],
  service_account_name: ['default'],
  runtime_class_name: [''],
  security_context: [absent],
  'security_context.run_as_non_root': [absent, false],
  'security_context.run_as_user': [absent, '0'],
  'security_context.fs_group': [absent, '0'],
  'security_context.fs_group_change_policy': [absent, 'Always'],
  'security_context.seccomp_profile': [absent, { type: 'Unconfined' }],
  volume: [{ name: 'x', host_path: { path: '/' } }],
  'volume.empty_dir.size_limit': [absent],
  ...under('container', ofContainer),
  ...under('init_container', ofContainer),
  'init_container.security_context.read_only_root_filesystem': [absent, false],
};

/** What no template may lose, by the type that holds it. */
export const hardening: Table = {
  docker_container: {
    count: [absent],
    image: [absent, 'debian:latest'],
    user: [absent, 'root', '0:0'],
    privileged: [true],
    capabilities: [absent, { drop: [] }, { drop: ['ALL'], add: ['SYS_ADMIN'] }],
    security_opts: [absent, ['no-new-privileges:true', 'seccomp=unconfined']],
    memory: [absent],
    memory_swap: [absent, -1],
    cpus: [absent, '0'],
    restart: [absent, 'always'],
    network_mode: [absent, 'host'],
    networks_advanced: [absent],
    pid_mode: ['host'],
    ipc_mode: ['host'],
    userns_mode: ['host'],
    ports: [{ internal: 80 }],
    publish_all_ports: [true],
    devices: [{ host_path: '/dev/kvm' }],
    volumes: [{ host_path: '/', container_path: '/host' }],
    'mounts.type': ['bind'],
    tmpfs: [{ '/tmp': 'rw' }],
  },
  docker_network: { count: [absent], name: ['shared'], internal: [absent, false], options: [absent, {}] },
  docker_volume: { name: ['shared'], lifecycle: [absent, { ignore_changes: ['name'] }] },
  kubernetes_deployment_v1: {
    count: [absent],
    wait_for_rollout: [absent, true],
    'spec.replicas': [absent, '2'],
    'spec.strategy': [absent, { type: 'RollingUpdate' }],
    'spec.selector.match_labels': [absent, { app: 'x' }],
    'spec.template.metadata.labels': [absent],
    ...under('spec.template.spec', pod),
  },
  kubernetes_network_policy_v1: {
    'spec.policy_types': [absent, ['Egress'], ['Ingress']],
    'spec.ingress': [{}],
    'spec.pod_selector': [absent, { match_labels: { app: 'x' } }],
    'spec.egress.to': [absent, { ip_block: { cidr: '0.0.0.0/0' } }],
    'spec.egress.to.ip_block.except': [absent, []],
  },
  kubernetes_persistent_volume_claim_v1: {
    wait_until_bound: [absent],
    'metadata.name': ['shared'],
    lifecycle: [absent, { ignore_changes: ['metadata'] }],
  },
  kubernetes_namespace_v1: { 'metadata.labels': [absent], lifecycle: [absent] },
  kubernetes_secret_v1: {
    count: [absent],
    'data.OUTRIGGER_PROOF': ['${var.outrigger_secret}'],
    'data.OUTRIGGER_HARNESS_KEY': ['${coder_agent.main.token}'],
  },
  coder_agent: { env: [absent], api_key_scope: [absent, 'all'] },
  coder_app: { share: ['public', 'authenticated'], url: ['http://10.0.0.1:1/'] },
  coder_env: { count: [absent], value: ['${var.outrigger_secret}', '${coder_agent.main.token}'] },
  coder_metadata: { count: [absent] },
};

/** Fields that hold only where they are set: taken away or widened wherever they stand. */
export const whereSet: Table = {
  docker_container: { read_only: [absent, false], 'mounts.read_only': [absent, false] },
  kubernetes_deployment_v1: {
    'spec.template.spec.container.volume_mount.read_only': [absent, false],
    'spec.template.spec.container.security_context.read_only_root_filesystem': [absent],
  },
};

function under(prefix: string, fields: Readonly<Record<string, readonly unknown[]>>) {
  return Object.fromEntries(Object.entries(fields).map(([path, values]) => [`${prefix}.${path}`, values]));
}

/** Each body at the end of a path of names: through one block, several, and the content of dynamic ones. */
export function bodiesAt(body: Body, names: readonly string[]): readonly Body[] {
  const [name, ...rest] = names;
  if (name === undefined) return [body];
  const inside = [
    ...listed(body[name]),
    ...listed((body.dynamic as Body | undefined)?.[name]).flatMap((one) => listed(one.content)),
  ];
  return inside.flatMap((one) => bodiesAt(one, rest));
}

function listed(value: unknown): readonly Body[] {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).filter((one): one is Body => typeof one === 'object' && one !== null);
}
