/** The arguments that a template may give, by type. What is not here has no rule, so it may not be given. */

/** A nested block: its own arguments, and whether a `dynamic` block may make it. */
export interface Block {
  readonly inside: Arguments;
  readonly mayBeDynamic: boolean;
}

/** `list` and `map` must be written out, because rules read what is in them; of `any` the other rules know enough. */
export type Arguments = Readonly<Record<string, 'any' | 'list' | 'map' | Block>>;

const any = (...names: readonly string[]): Arguments => Object.fromEntries(names.map((name) => [name, 'any']));
const block = (inside: Arguments): Block => ({ inside, mayBeDynamic: false });
/** What a rule requires must never be such a block: its list may turn out to be empty. */
const dynamic = (inside: Arguments): Block => ({ inside, mayBeDynamic: true });

const condition = block(any('condition', 'error_message'));
const lifecycle = block({
  ...any('ignore_changes', 'create_before_destroy', 'prevent_destroy', 'replace_triggered_by'),
  precondition: condition,
  postcondition: condition,
});
const labels = dynamic(any('label', 'value'));
const metadata = block(any('annotations', 'labels', 'name', 'namespace'));
const timeouts = block(any('create', 'update', 'delete'));
const capabilities = block({ drop: 'list', add: 'list' });

const seccomp = { seccomp_profile: block(any('type')) };
const podContainer: Arguments = {
  ...any('name', 'image', 'image_pull_policy', 'working_dir'),
  command: 'list',
  args: 'list',
  env: block({ ...any('name', 'value'), value_from: block({ secret_key_ref: block(any('name', 'key')) }) }),
  port: block(any('container_port', 'name', 'protocol')),
  resources: block({ limits: 'map', requests: 'map' }),
  security_context: block({
    ...any('allow_privilege_escalation', 'privileged', 'read_only_root_filesystem'),
    ...any('run_as_group', 'run_as_non_root', 'run_as_user'),
    capabilities,
    ...seccomp,
  }),
  volume_mount: block(any('mount_path', 'name', 'read_only')),
};

const pod: Arguments = {
  ...any('automount_service_account_token', 'enable_service_links', 'host_ipc', 'host_network', 'host_pid'),
  ...any('hostname', 'node_selector', 'runtime_class_name', 'share_process_namespace'),
  ...any('termination_grace_period_seconds'),
  container: dynamic(podContainer),
  init_container: block(podContainer),
  image_pull_secrets: dynamic(any('name')),
  security_context: block({
    ...any('fs_group', 'fs_group_change_policy', 'run_as_group', 'run_as_non_root', 'run_as_user'),
    ...seccomp,
  }),
  toleration: dynamic(any('effect', 'key', 'operator', 'value', 'toleration_seconds')),
  volume: dynamic({
    ...any('name'),
    empty_dir: block(any('medium', 'size_limit')),
    ephemeral: block({
      volume_claim_template: block({
        metadata: block(any('labels')),
        spec: block({ ...any('access_modes', 'storage_class_name'), resources: block(any('requests')) }),
      }),
    }),
    persistent_volume_claim: block(any('claim_name')),
  }),
};

const egress = dynamic({
  ports: dynamic(any('port', 'protocol')),
  to: dynamic({
    ip_block: block(any('cidr', 'except')),
    namespace_selector: block({ match_labels: 'map' }),
  }),
});

const docker: Readonly<Record<string, Arguments>> = {
  docker_container: {
    ...any(
      'attach',
      'count',
      'cpus',
      'depends_on',
      'destroy_grace_seconds',
      'dns',
      'hostname',
      'image',
      'init',
      'logs',
    ),
    ...any('memory', 'memory_swap', 'must_run', 'name', 'network_mode', 'privileged', 'read_only', 'restart'),
    ...any('runtime', 'stop_timeout', 'user', 'working_dir'),
    capabilities,
    command: 'list',
    entrypoint: 'list',
    env: 'list',
    host: block(any('host', 'ip')),
    labels,
    lifecycle,
    mounts: block({
      ...any('read_only', 'source', 'target', 'type'),
      volume_options: block(any('no_copy')),
    }),
    networks_advanced: block({ ...any('name'), aliases: 'list' }),
    security_opts: 'list',
    tmpfs: 'map',
  },
  docker_network: { ...any('count', 'driver', 'internal', 'name', 'options'), labels },
  docker_volume: { ...any('driver', 'driver_opts', 'name'), labels, lifecycle },
};

const kubernetes: Readonly<Record<string, Arguments>> = {
  kubernetes_deployment_v1: {
    ...any('count', 'depends_on', 'wait_for_rollout'),
    metadata,
    timeouts,
    spec: block({
      ...any('replicas'),
      selector: block({ match_labels: 'map' }),
      strategy: block(any('type')),
      template: block({ metadata: block(any('annotations', 'labels')), spec: block(pod) }),
    }),
  },
  kubernetes_namespace_v1: { ...any('count'), lifecycle, metadata: block(any('labels', 'name')), timeouts },
  // Without a count: where there are pods there is their policy.
  kubernetes_network_policy_v1: {
    metadata,
    spec: block({ policy_types: 'list', pod_selector: block({ match_labels: 'map' }), egress }),
  },
  kubernetes_persistent_volume_claim_v1: {
    ...any('wait_until_bound'),
    lifecycle,
    metadata,
    spec: block({ ...any('access_modes', 'storage_class_name'), resources: block(any('requests')) }),
  },
  kubernetes_resource_quota_v1: { ...any('count'), metadata, spec: block(any('hard')) },
  kubernetes_secret_v1: { ...any('count'), data: 'map', metadata },
};

const coder: Readonly<Record<string, Arguments>> = {
  coder_agent: {
    ...any('api_key_scope', 'arch', 'connection_timeout', 'dir', 'order', 'os', 'troubleshooting_url'),
    ...any('shutdown_script', 'startup_script', 'startup_script_behavior'),
    display_apps: block(any('port_forwarding_helper', 'ssh_helper', 'vscode', 'vscode_insiders', 'web_terminal')),
    env: 'map',
    metadata: block(any('display_name', 'interval', 'key', 'order', 'script', 'timeout')),
  },
  coder_app: {
    ...any('agent_id', 'command', 'count', 'display_name', 'external', 'group', 'hidden', 'icon', 'open_in', 'order'),
    ...any('share', 'slug', 'subdomain', 'tooltip', 'url'),
    healthcheck: block(any('interval', 'threshold', 'url')),
  },
  coder_env: any('agent_id', 'count', 'for_each', 'name', 'value'),
  coder_metadata: {
    ...any('count', 'daily_cost', 'hide', 'icon', 'resource_id'),
    item: block(any('key', 'sensitive', 'value')),
  },
  coder_script: any(
    ...['agent_id', 'count', 'cron', 'display_name', 'icon', 'run_on_start', 'run_on_stop', 'script'],
    ...['start_blocks_login', 'timeout'],
  ),
};

/** By the type of a resource. */
export const resourceArguments: Readonly<Record<string, Arguments>> = { ...docker, ...kubernetes, ...coder };

/** By the name of a provider. Neither credentials nor certificates: they would stand in the template. */
export const providerArguments: Readonly<Record<string, Arguments>> = {
  coder: {},
  // Of a registry its address alone: the provisioner's own login, in a file, says the rest.
  docker: { ...any('host'), registry_auth: dynamic(any('address')) },
  kubernetes: any('config_path'),
};

/** What a template may read, and what the form may ask. Anything else could hand it secrets of others, or files. */
export const dataTypes: ReadonlySet<string> = new Set([
  'coder_external_auth',
  'coder_parameter',
  'coder_provisioner',
  'coder_workspace',
  'coder_workspace_owner',
  'coder_workspace_preset',
  'coder_workspace_tags',
]);
