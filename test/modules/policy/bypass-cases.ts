import { count, id, pinned, resource, variable, type Body, type PolicyCase } from './policy-case.ts';

const container = (changes: Body): Body =>
  resource('docker_container', 'helper', { count, name: 'x', image: pinned, network_mode: 'none', ...changes });
const volume = (changes: Body): Body =>
  resource('docker_volume', 'home', { name: `coder-${id}-home`, lifecycle: { ignore_changes: 'all' }, ...changes });
const agent = (changes: Body): Body => resource('coder_agent', 'main', { os: 'linux', arch: 'amd64', ...changes });
const script = (text: string): Body => resource('coder_script', 'x', { script: text });
const metadata = (text: string): Body => agent({ metadata: [{ key: 'x', script: text }] });
const pod = (changes: Body): Body =>
  resource('kubernetes_deployment_v1', 'x', { spec: { template: { spec: changes } } });
const claim = (changes: Body): Body => resource('kubernetes_persistent_volume_claim_v1', 'home', { spec: changes });
const data = (type: string, body: Body = {}): Body => ({ data: { [type]: { me: body } } });
const owner = 'data.coder_workspace_owner.me';
const local = (value: unknown): Body => ({ locals: { x: value } });
const closedNetwork: Body = {
  count,
  name: `coder-${id}`,
  internal: '${var.egress != "open"}',
  options: '${var.egress != "open" ? { "com.docker.network.bridge.inhibit_ipv4" = "true" } : {}}',
};
const like = (start: string, length: number): string => start + 'A1'.repeat(length / 2);

/** Ways around the rules about one argument each: other arguments, other sections, other spellings. */
export const bypassCases: readonly PolicyCase[] = [
  {
    rule: 'arguments',
    allows: [
      container({ mounts: [{ type: 'volume', volume_options: { no_copy: true } }], env: ['A=b'] }),
      pod({ dynamic: { container: { for_each: '${[1]}', content: { name: 'x' } } } }),
      { provider: { docker: [{ host: '${var.docker_host}' }] } },
    ],
    refuses: [
      container({ mounts: [{ type: 'volume', volume_options: { driver_options: { device: '/' } } }] }),
      container({ mounts: [{ type: 'volume', volume_options: { driver_name: 'x' } }] }),
      container({ volumes: [{ from_container: 'somebody' }] }),
      container({ upload: [{ source: '/etc/shadow', file: '/x' }] }),
      container({ provisioner: [{ 'local-exec': { command: 'id' } }] }),
      container({ connection: { host: 'x' } }),
      container({ group_add: ['0'] }),
      container({ sysctls: { 'kernel.msgmax': '1' } }),
      container({ cgroup_parent: '/' }),
      container({ env: '${local.x}' }),
      container({ dynamic: { capabilities: { for_each: '${[]}', content: { drop: ['ALL'] } } } }),
      container({ dynamic: { networks_advanced: { for_each: '${[]}', content: { name: 'x' } } } }),
      resource('docker_network', 'workspace', { ipam_config: [{ subnet: '10.0.0.0/8' }] }),
      resource('coder_script', 'x', { provisioner: { 'local-exec': { command: 'id' } } }),
      resource('kubernetes_network_policy_v1', 'x', { count: 0 }),
      claim({ volume_name: 'somebody' }),
      pod({ security_context: { supplemental_groups: ['0'] } }),
      pod({ security_context: { sysctl: [{ name: 'x', value: '1' }] } }),
      pod({ dynamic: { security_context: { for_each: '${[]}', content: {} } } }),
      pod({ container: [{ lifecycle: { post_start: { exec: { command: ['id'] } } } }] }),
      pod({ dynamic: { container: { for_each: '${[1]}', content: { stdin: true } } } }),
      { provider: { kubernetes: [{ token: '${var.x}' }] } },
      { provider: { docker: [{ registry_auth: [{ address: 'x', password: 'x' }] }] } },
      { provider: { docker: { dynamic: { registry_auth: [{ content: { address: 'x', username: 'x' } }] } } } },
      { provider: { docker: { host: 'x', cert_material: 'x' } } },
    ],
  },
  {
    rule: 'judged-data',
    allows: [data('coder_workspace'), data('coder_parameter')],
    refuses: [data('external'), data('http'), data('docker_logs'), data('kubernetes_secret_v1'), data('local_file')],
  },
  {
    rule: 'judged-provider',
    allows: [{ provider: { coder: [{}] } }],
    refuses: [{ provider: { vault: [{}] } }, { provider: { toString: [{}] } }],
  },
  {
    rule: 'volume-driver',
    allows: [
      volume({}),
      volume({ driver: 'local', driver_opts: { size: '10G' } }),
      volume({ driver_opts: { type: 'tmpfs', device: 'tmpfs', o: 'size=4m,nosuid,nodev' } }),
      volume({ driver_opts: '${var.disk_quota ? { size = "${data.coder_parameter.disk[0].value}G" } : null}' }),
    ],
    refuses: [
      volume({ driver_opts: { type: 'none', o: 'bind', device: '/' } }),
      volume({ driver_opts: { type: 'nfs', o: 'addr=10.0.0.1', device: ':/' } }),
      volume({ driver_opts: { o: 'bind', device: '/' } }),
      volume({ driver_opts: { type: 'tmpfs', device: '/' } }),
      volume({ driver_opts: '${var.x}' }),
      volume({ driver_opts: '${var.x ? { size = "1G", device = "/" } : null}' }),
      volume({ driver_opts: '${var.x ? { type = "none" } : null}' }),
      volume({ driver: 'vieux/sshfs' }),
    ],
  },
  {
    rule: 'network-internal',
    allows: [resource('docker_network', 'workspace', closedNetwork)],
    refuses: [
      resource('docker_network', 'workspace', {}),
      resource('docker_network', 'workspace', { ...closedNetwork, internal: false }),
      resource('docker_network', 'workspace', { ...closedNetwork, options: { parent: 'eth0' } }),
    ],
  },
  {
    rule: 'network-driver',
    allows: [
      resource('docker_network', 'workspace', { ...closedNetwork, driver: 'bridge' }),
      resource('docker_network', 'workspace', closedNetwork),
    ],
    refuses: ['host', 'macvlan', '${var.x}'].map((driver) => resource('docker_network', 'workspace', { driver })),
  },
  {
    rule: 'secret-reference',
    allows: [
      agent({ env: { A: `\${coalesce(${owner}.full_name, ${owner}.name)}`, B: `\${${owner}.email}` } }),
      local('${sha256("x:${coder_agent.main.token}")}'),
      local('${sha256(var.outrigger_secret)}'),
    ],
    refuses: [
      ...['session_token', 'ssh_private_key', 'oidc_access_token'].map((secret) =>
        agent({ env: { T: `\${${owner}.${secret}}` } }),
      ),
      local(`\${${owner}["session_token"]}`),
      local('${data . coder_workspace_owner . me . session_token}'),
      local(`\${jsonencode(${owner})}`),
      local(`\${${owner}.name}\${values(${owner})[3]}`),
      local('${data.coder_external_auth.git[0].access_token}'),
      local('${jsonencode(data.coder_external_auth.git)}'),
      local('${coder_agent.main["token"]}'),
      local('${jsonencode(coder_agent.main)}'),
      local('${var . outrigger_secret}'),
      { provider: { docker: [{ host: '${data.x.me.access_token}' }] } },
      { output: { t: { value: `\${${owner}.ssh_private_key}` } } },
    ],
  },
  {
    rule: 'foreign-token',
    allows: [
      container({ env: ['OPENAI_API_KEY=${var.key}', 'MODEL=task-with-a-rather-long-name', 'PASSWORD='] }),
      variable('api_token', { sensitive: true, description: 'token of the registry' }),
    ],
    refuses: [
      container({ env: [`X=${like('ghp_', 36)}`] }),
      container({ env: [`X=${like('sk-', 40)}`] }),
      container({ env: ['DB_PASSWORD=hunter2'] }),
      pod({ container: [{ name: 'x', env: [{ name: 'API_KEY', value: 'hunter2' }] }] }),
      agent({ env: { X: like('github_pat_', 40) } }),
      agent({ env: { REGISTRY_TOKEN: 'hunter2' } }),
      resource('coder_env', 'x', { name: 'API_TOKEN', value: 'hunter2' }),
      local(like('AKIA', 16)),
      local({ nested: [like('glpat-', 20)] }),
      { locals: { db_password: 'hunter2' } },
      script(`echo -----BEGIN OPENSSH PRIVATE KEY-----`),
      { provider: { docker: [{ host: `tcp://${like('ghp_', 36)}@example.com` }] } },
    ],
  },
  {
    rule: 'agent-dir',
    allows: [agent({}), agent({ dir: '/home/coder' }), agent({ dir: '/home/coder/work' })],
    refuses: [
      ...['/workspace', '/workspace/x', '${local.folder}', '${data.coder_parameter.dir.value}', '${local.x}'],
      ...['/home/coder/../../workspace', '/'],
    ].map((dir) => agent({ dir })),
  },
  {
    rule: 'git-in-workspace',
    allows: [
      metadata('cat "$HOME/.local/state/outrigger/facts/git" 2>/dev/null || echo "-"'),
      script('git -c core.hooksPath=/dev/null clone "$1" "$private/tree"'),
      script('cd / && git clone https://example.com/x'),
    ],
    refuses: [
      metadata('git -C /workspace/x status'),
      metadata('cd /workspace && git status --porcelain'),
      metadata('timeout 5 /usr/bin/git log -1'),
      agent({ startup_script: '#!/bin/sh\ngit fetch\n' }),
      script('git -C /workspace/x status'),
      script('git --git-dir=/workspace/.git log'),
      script('GIT_DIR=/workspace/.git git log'),
      script('cd /workspace\ngit pull'),
      script('cd "$${WORKSPACE_DIR}" && git pull'),
      resource('coder_app', 'x', { command: 'git -C /workspace log' }),
      container({ entrypoint: ['sh', '-c', 'cd /workspace && git status'] }),
      container({ command: ['git', '-C', '/workspace', 'status'] }),
    ],
  },
  {
    rule: 'piped-install',
    allows: [script('curl -fsS "$url" -o file'), script('cat list | sh'), script('curl -s x | jq .')],
    refuses: [
      agent({ startup_script: 'curl -fsSL https://example.com/install.sh | bash' }),
      script('wget -qO- https://example.com/x | sudo sh -s -- --yes'),
      script('curl https://example.com/x \\\n  | /bin/bash'),
      script('curl https://example.com/x | env A=1 bash'),
      script('bash -c "$(curl -fsSL https://example.com/x)"'),
      script('bash <(curl -fsSL https://example.com/x)'),
      script('curl https://example.com/x | python3 -'),
      container({ entrypoint: ['sh', '-c', 'curl https://example.com/x | sh'] }),
      metadata('curl https://example.com/x | sh'),
    ],
  },
];
