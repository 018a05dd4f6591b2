import { count, id, pinned, resource, type Body, type PolicyCase } from './policy-case.ts';

const selector = { 'app.kubernetes.io/name': 'coder-workspace', 'com.coder.workspace.id': id };

const safeContainer = {
  name: 'worker',
  image: pinned,
  env: [
    { name: 'CODER_AGENT_PPROF_ADDRESS', value: '192.0.2.1:1' },
    { name: 'CODER_AGENT_DEBUG_ADDRESS', value: '192.0.2.1:1' },
    { name: 'CODER_AGENT_PROMETHEUS_ADDRESS', value: '192.0.2.1:1' },
  ],
  resources: {
    limits: { cpu: '1', memory: '64Mi', 'ephemeral-storage': '1Gi' },
    requests: { cpu: '1', memory: '64Mi' },
  },
  security_context: {
    allow_privilege_escalation: false,
    privileged: false,
    run_as_non_root: true,
    run_as_user: '1000',
    capabilities: { drop: ['ALL'] },
    seccomp_profile: { type: 'RuntimeDefault' },
  },
};

const safePod = {
  automount_service_account_token: false,
  enable_service_links: false,
  security_context: {
    run_as_non_root: true,
    run_as_user: '1000',
    fs_group: '1000',
    fs_group_change_policy: 'OnRootMismatch',
    seccomp_profile: { type: 'RuntimeDefault' },
  },
  container: [safeContainer],
};

const spec = (pod: Body) => ({
  replicas: '1',
  strategy: { type: 'Recreate' },
  selector: { match_labels: selector },
  template: { metadata: { labels: selector }, spec: { ...safePod, ...pod } },
});

/** A Deployment that breaks no rule; each case changes one thing of its body. */
const deployment = (changes: Body): Body =>
  resource('kubernetes_deployment_v1', 'workspace', { count, wait_for_rollout: false, spec: spec({}), ...changes });
const pod = (changes: Body): Body => deployment({ spec: spec(changes) });
const container = (changes: Body): Body => pod({ container: [{ ...safeContainer, ...changes }] });
const security = (changes: Body): Body =>
  container({ security_context: { ...safeContainer.security_context, ...changes } });
const podSecurity = (changes: Body): Body => pod({ security_context: { ...safePod.security_context, ...changes } });
const named = (name: string, changes: Body = {}): Body =>
  container({
    name,
    security_context: { ...safeContainer.security_context, read_only_root_filesystem: true },
    ...changes,
  });
const ownSecret = '${kubernetes_secret_v1.workspace[0].metadata[0].name}';
const ownClaim = '${kubernetes_persistent_volume_claim_v1.home.metadata[0].name}';
const hidden = (key: string): Body => ({ name: key, value_from: { secret_key_ref: { name: ownSecret, key } } });

const policy = (changes: Body = {}): Body =>
  resource('kubernetes_network_policy_v1', 'workspace', {
    spec: { pod_selector: { match_labels: selector }, policy_types: ['Ingress', 'Egress'], ...changes },
  });
const guarded = (deployed: Body, by: Body): Body => ({
  resource: { ...(deployed.resource as Body), ...(by.resource as Body) },
});
const claim = (changes: Body): Body =>
  resource('kubernetes_persistent_volume_claim_v1', 'home', {
    wait_until_bound: false,
    metadata: { name: `coder-${id}-home` },
    lifecycle: { ignore_changes: 'all' },
    ...changes,
  });
const to = (block: Body): Body => policy({ egress: { to: [{ ip_block: block }] } });

const names = (port: string): Body =>
  policy({
    egress: [
      {
        to: [{ namespace_selector: { match_labels: { 'kubernetes.io/metadata.name': 'kube-system' } } }],
        ports: [{ port, protocol: 'UDP' }],
      },
    ],
  });

/** The rules that only Kubernetes has. */
export const kubernetesCases: readonly PolicyCase[] = [
  {
    rule: 'pod-host',
    allows: [pod({}), pod({ host_network: false })],
    refuses: ['host_network', 'host_pid', 'host_ipc', 'share_process_namespace'].map((name) => pod({ [name]: true })),
  },
  {
    rule: 'pod-service-account',
    allows: [pod({})],
    refuses: [pod({ automount_service_account_token: undefined }), pod({ service_account_name: 'default' })],
  },
  {
    rule: 'pod-service-links',
    allows: [pod({})],
    refuses: [pod({ enable_service_links: true }), pod({ enable_service_links: undefined })],
  },
  {
    rule: 'pod-volumes',
    allows: [pod({ volume: [{ name: 'home', persistent_volume_claim: { claim_name: ownClaim } }] })],
    refuses: [
      pod({ volume: { name: 'x', host_path: { path: '/' } } }),
      pod({ volume: [{ name: 'x', secret: { secret_name: 's' } }] }),
      pod({ volume: [{ name: 'x', persistent_volume_claim: { claim_name: 'coder-of-somebody-home' } }] }),
      pod({ volume: [{ name: 'x', projected: { sources: {} } }] }),
      pod({ dynamic: { volume: { for_each: '${[1]}', content: { name: 'x', host_path: { path: '/' } } } } }),
    ],
  },
  {
    rule: 'pod-volume-size',
    allows: [pod({ volume: [{ name: 'x', empty_dir: { size_limit: '1Mi' } }] })],
    refuses: [
      pod({ volume: [{ name: 'x', empty_dir: {} }] }),
      pod({ volume: { name: 'x', empty_dir: { size_limit: '' } } }),
    ],
  },
  {
    rule: 'pod-identity',
    allows: [pod({})],
    refuses: [
      pod({ security_context: undefined }),
      podSecurity({ run_as_non_root: false }),
      podSecurity({ run_as_user: '0' }),
      podSecurity({ run_as_user: '+0' }),
      podSecurity({ run_as_user: '${var.u}' }),
      podSecurity({ seccomp_profile: { type: 'Unconfined' } }),
    ],
  },
  {
    rule: 'pod-volume-owner',
    allows: [pod({})],
    refuses: [podSecurity({ fs_group: undefined }), podSecurity({ fs_group_change_policy: 'Always' })],
  },
  {
    rule: 'pod-runtime-class',
    allows: [pod({}), pod({ runtime_class_name: 'gvisor' })],
    refuses: [pod({ runtime_class_name: '' })],
  },
  {
    rule: 'pod-privileged',
    allows: [pod({})],
    refuses: [security({ privileged: true }), security({ privileged: '${var.p}' })],
  },
  {
    rule: 'pod-escalation',
    allows: [pod({})],
    refuses: [
      container({ security_context: undefined }),
      security({ allow_privilege_escalation: undefined }),
      container({
        security_context: undefined,
        dynamic: { security_context: { for_each: '${[]}', content: safeContainer.security_context } },
      }),
      pod({ init_container: [{ ...safeContainer, security_context: undefined }] }),
      pod({
        dynamic: { container: { for_each: '${[1]}', content: { ...safeContainer, security_context: undefined } } },
      }),
    ],
  },
  {
    rule: 'pod-capabilities',
    allows: [security({ capabilities: [{ drop: ['ALL'], add: [] }] })],
    refuses: [security({ capabilities: undefined }), security({ capabilities: { drop: ['ALL'], add: ['NET_RAW'] } })],
  },
  {
    rule: 'pod-non-root',
    allows: [pod({})],
    refuses: [
      security({ run_as_non_root: undefined }),
      security({ run_as_user: '0' }),
      security({ run_as_user: '+0' }),
      security({ run_as_user: '${var.u}' }),
      security({ run_as_user: undefined }),
    ],
  },
  { rule: 'pod-seccomp', allows: [pod({})], refuses: [security({ seccomp_profile: undefined })] },
  {
    rule: 'pod-root-filesystem',
    allows: [pod({}), named('opencode')],
    refuses: [container({ name: 'opencode' }), pod({ init_container: [{ ...safeContainer, name: 'opencode-init' }] })],
  },
  {
    rule: 'pod-limits',
    allows: [pod({})],
    refuses: [
      container({ resources: undefined }),
      container({ resources: { ...safeContainer.resources, limits: { cpu: '1', memory: '64Mi' } } }),
      container({ resources: { limits: safeContainer.resources.limits } }),
    ],
  },
  {
    rule: 'pod-ports',
    allows: [container({ port: { name: 'ide', container_port: 13337 } })],
    refuses: [container({ port: { container_port: 80, host_port: 80 } })],
  },
  {
    rule: 'pod-secret-keys',
    allows: [
      container({ env: [...safeContainer.env, hidden('CODER_AGENT_TOKEN')] }),
      named('opencode', { env: [hidden('OUTRIGGER_PROOF'), hidden('OUTRIGGER_HARNESS_KEY')] }),
    ],
    refuses: [
      named('opencode', { env: [hidden('CODER_AGENT_TOKEN')] }),
      container({ env: [...safeContainer.env, hidden('OUTRIGGER_PROOF')] }),
      container({ env: [hidden('OTHER')] }),
      named('opencode-init', { env: [hidden('OUTRIGGER_HARNESS_KEY')] }),
      container({
        env: [{ name: 'T', value_from: { secret_key_ref: { name: 'somebody', key: 'CODER_AGENT_TOKEN' } } }],
      }),
      container({ env: [{ name: 'T', value_from: { config_map_key_ref: { name: 'x', key: 'y' } } }] }),
      container({ env_from: { secret_ref: { name: 's' } } }),
    ],
  },
  {
    rule: 'pod-environment-order',
    allows: [container({ env: [{ name: 'A', value: 'x' }, hidden('B')] })],
    refuses: [container({ env: [hidden('B'), { name: 'A', value: '$(B)' }] })],
  },
  {
    rule: 'deployment-single',
    allows: [deployment({})],
    refuses: [
      deployment({ spec: { ...spec({}), replicas: '2' } }),
      deployment({ spec: { ...spec({}), strategy: { type: 'RollingUpdate' } } }),
    ],
  },
  { rule: 'deployment-wait', allows: [deployment({})], refuses: [deployment({ wait_for_rollout: undefined })] },
  {
    rule: 'selector',
    allows: [deployment({})],
    refuses: [
      deployment({ spec: { ...spec({}), selector: { match_labels: { app: 'x' } } } }),
      deployment({
        spec: { ...spec({}), selector: { match_labels: { ...selector, name: '${data.coder_workspace.me.name}' } } },
      }),
    ],
  },
  {
    rule: 'network-policy',
    allows: [guarded(deployment({}), policy())],
    refuses: [
      deployment({}),
      guarded(deployment({}), policy({ pod_selector: { match_labels: { app: 'other' } } })),
      guarded(deployment({}), policy({ pod_selector: {} })),
    ],
  },
  {
    rule: 'ingress',
    allows: [policy()],
    refuses: [
      policy({ policy_types: ['Egress'] }),
      policy({ policy_types: ['Ingress'] }),
      policy({ ingress: [{}] }),
      policy({ dynamic: { ingress: { for_each: '${[1]}', content: {} } } }),
    ],
  },
  {
    rule: 'egress',
    allows: [names('53'), policy({ egress: [{ to: [{ ip_block: { cidr: '192.0.2.1/32' } }] }] })],
    refuses: [
      policy({ egress: [{}] }),
      names('443'),
      policy({ egress: [{ to: [{ namespace_selector: {} }], ports: [{ port: '53' }] }] }),
      policy({ egress: [{ to: [{ namespace_selector: {} }] }] }),
      policy({ egress: [{ to: [{ pod_selector: {} }], ports: [{ port: '53' }] }] }),
      policy({ egress: [{ ports: [{ port: '443' }] }] }),
      policy({ egress: { dynamic: { to: { for_each: '${var.x}', content: { ip_block: { cidr: '10.0.0.0/8' } } } } } }),
      policy({ dynamic: { egress: { for_each: '${[1]}', content: { to: { ip_block: { cidr: '10.0.0.0/8' } } } } } }),
    ],
  },
  {
    rule: 'metadata-address',
    allows: [to({ cidr: '${to.value}', except: '${lookup({ "0.0.0.0/0" = ["169.254.0.0/16"] }, to.value, [])}' })],
    refuses: [to({ cidr: '0.0.0.0/0' }), to({ cidr: '${to.value}' }), to({ cidr: '169.254.169.254/32' })],
  },
  { rule: 'claim-wait', allows: [claim({})], refuses: [claim({ wait_until_bound: undefined })] },
  {
    rule: 'namespace-security',
    allows: [
      resource('kubernetes_namespace_v1', 'x', {
        metadata: { labels: '${merge(local.labels, { "pod-security.kubernetes.io/enforce" = "restricted" })}' },
      }),
    ],
    refuses: [
      resource('kubernetes_namespace_v1', 'x', { metadata: {} }),
      resource('kubernetes_namespace_v1', 'x', {
        metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } },
      }),
    ],
  },
  {
    rule: 'runtime-claim',
    allows: [
      pod({}),
      pod({
        runtime_class_name: '${var.runtime_class}',
        container: [
          { ...safeContainer, env: [{ name: 'OUTRIGGER_RUNTIME', value: 'kata' }] },
          {
            ...safeContainer,
            name: 'opencode',
            command: ['sh', '-c', '/tools/runtime-proof check && exec "$0"', 'x'],
            env: [
              { name: 'OUTRIGGER_RUNTIME', value: 'kata' },
              { name: 'OUTRIGGER_NODE_KERNELS', value: 'x' },
            ],
          },
        ],
      }),
    ],
    refuses: [
      container({ env: [{ name: 'OUTRIGGER_RUNTIME', value: 'kata' }] }),
      pod({
        runtime_class_name: 'kata-qemu',
        container: [{ ...safeContainer, name: 'opencode', env: [{ name: 'OUTRIGGER_RUNTIME', value: 'kata' }] }],
      }),
    ],
  },
];

/** What rules for both platforms make of a pod. */
export const podCases: readonly PolicyCase[] = [
  {
    rule: 'pinned-image',
    allows: [pod({})],
    refuses: [container({ image: 'debian:12' }), container({ image: undefined })],
  },
  {
    rule: 'loopback',
    allows: [],
    refuses: [container({ command: ['opencode', 'serve', '--port', '4096'] })],
  },
  { rule: 'ephemeral', allows: [deployment({})], refuses: [deployment({ count: 1 })] },
  { rule: 'volume-kept', allows: [claim({})], refuses: [claim({ lifecycle: undefined })] },
  { rule: 'volume-name', allows: [claim({})], refuses: [claim({ metadata: { name: 'home' } })] },
  {
    rule: 'agent-token',
    allows: [
      resource('kubernetes_secret_v1', 'x', { count, data: { CODER_AGENT_TOKEN: '${coder_agent.main.token}' } }),
    ],
    refuses: [
      resource('kubernetes_secret_v1', 'x', { count, data: { OTHER: '${coder_agent.main.token}' } }),
      container({ env: [{ name: 'T', value: '${coder_agent.main.token}' }] }),
    ],
  },
  {
    rule: 'template-secret',
    allows: [
      resource('kubernetes_secret_v1', 'x', {
        count,
        data: { OUTRIGGER_PROOF: '${sha256("${var.outrigger_secret}")}' },
      }),
    ],
    refuses: [
      resource('kubernetes_secret_v1', 'x', { count, data: { OUTRIGGER_PROOF: '${var.outrigger_secret}' } }),
      resource('kubernetes_secret_v1', 'x', { count, data: { OTHER: '${sha256("${var.outrigger_secret}")}' } }),
    ],
  },
  {
    rule: 'tools-read-only',
    allows: [container({ volume_mount: { mount_path: '/tools', read_only: true } })],
    refuses: [container({ volume_mount: { mount_path: '/tools' } })],
  },
  {
    rule: 'home-of-worker',
    allows: [container({ volume_mount: { mount_path: '/home/coder' } })],
    refuses: [named('opencode', { volume_mount: { mount_path: '/home/coder' } })],
  },
  { rule: 'closed-listeners', allows: [pod({})], refuses: [container({ env: [] })] },
  {
    rule: 'permission',
    allows: [pod({})],
    refuses: [container({ env: [{ name: 'OPENCODE_PERMISSION', value: '{"*":"allow"}' }] })],
  },
];
