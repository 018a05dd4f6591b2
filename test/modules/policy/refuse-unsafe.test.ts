import { describe, expect, it } from '@jest/globals';
import { policyRules, refuseUnsafe } from '../../../modules/policy/refuse-unsafe.ts';
import { bypassCases } from './bypass-cases.ts';
import { kubernetesCases, podCases } from './kubernetes-cases.ts';
import { count, id, pinned, resource, variable, type Body, type PolicyCase } from './policy-case.ts';

/** A container that breaks no rule; each case changes one thing. */
const safeContainer = {
  count,
  name: 'x',
  image: pinned,
  user: '1000:0',
  capabilities: { drop: ['ALL'] },
  security_opts: ['no-new-privileges:true'],
  memory: 64,
  memory_swap: 64,
  cpus: '1',
  restart: 'no',
  network_mode: 'none',
};

const container = (changes: Body, name = 'helper') => ({
  resource: { docker_container: { [name]: { ...safeContainer, ...changes } } },
});
const without = (key: keyof typeof safeContainer) => {
  const { [key]: _left, ...rest } = safeContainer;
  return { resource: { docker_container: { helper: rest } } };
};
const volume = (body: Body) =>
  resource('docker_volume', 'home', { name: `coder-${id}-home`, lifecycle: { ignore_changes: 'all' }, ...body });

const ownNetwork = '${docker_network.workspace[0].name}';
const token = '${coder_agent.main.token}';
const secretHash = '${sha256("${var.outrigger_secret}:x")}';
const hasDigest = { validation: [{ condition: '${can(regex("@sha256:", var.x))}' }] };

const closed = ['PPROF', 'DEBUG', 'PROMETHEUS'].map((name) => `CODER_AGENT_${name}_ADDRESS=192.0.2.1:1`);
const inertGit = {
  GIT_CONFIG_COUNT: '3',
  GIT_CONFIG_KEY_0: 'core.fsmonitor',
  GIT_CONFIG_VALUE_0: 'false',
  GIT_CONFIG_KEY_1: 'core.hooksPath',
  GIT_CONFIG_VALUE_1: '/dev/null',
  GIT_CONFIG_KEY_2: 'protocol.ext.allow',
  GIT_CONFIG_VALUE_2: 'never',
};

const atPort = 'http://127.0.0.1:${var.ide_port}/a';

/** Each rule with what it allows and what it refuses. */
const dockerCases: readonly PolicyCase[] = [
  {
    rule: 'privileged',
    allows: [container({ privileged: false })],
    refuses: [container({ privileged: true }), container({ privileged: '${var.p}' })],
  },
  {
    rule: 'capabilities',
    allows: [container({ capabilities: [{ drop: ['ALL'], add: [] }] })],
    refuses: [
      without('capabilities'),
      container({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }),
      container({ capabilities: { drop: ['CHOWN'] } }),
      container({
        capabilities: undefined,
        dynamic: { capabilities: { for_each: '${[]}', content: { drop: ['ALL'] } } },
      }),
    ],
  },
  {
    rule: 'no-new-privileges',
    allows: [container({})],
    refuses: [
      without('security_opts'),
      container({ security_opts: ['no-new-privileges:true', 'seccomp=unconfined'] }),
      container({ security_opts: ['no-new-privileges:true', 'label=type:x'] }),
      container({ security_opts: '${var.x}' }),
    ],
  },
  {
    rule: 'non-root',
    allows: [container({ user: '1000:0' }), container({ user: '1000' })],
    refuses: [
      without('user'),
      container({ user: 'root' }),
      container({ user: '0:0' }),
      container({ user: '' }),
      container({ user: '00' }),
      container({ user: '+0' }),
      container({ user: 'coder' }),
      container({ user: '${local.u}' }),
    ],
  },
  {
    rule: 'limits',
    allows: [container({ memory: '${var.m}' })],
    refuses: [without('memory'), without('cpus'), container({ memory: 0 })],
  },
  {
    rule: 'swap',
    allows: [container({ memory: '${local.m}', memory_swap: '${local.m}' })],
    refuses: [without('memory_swap'), container({ memory_swap: 128 }), container({ memory_swap: -1 })],
  },
  { rule: 'restart', allows: [container({})], refuses: [without('restart'), container({ restart: 'unless-stopped' })] },
  {
    rule: 'ports',
    allows: [container({ publish_all_ports: false })],
    refuses: [
      container({ ports: [{ internal: 80 }] }),
      container({ publish_all_ports: true }),
      container({ dynamic: { ports: [{ for_each: '${[1]}', content: { internal: 80 } }] } }),
    ],
  },
  {
    rule: 'namespaces',
    allows: [container({ network_mode: 'container:${docker_container.net[0].id}' })],
    refuses: [
      container({ network_mode: 'host' }),
      container({ network_mode: 'bridge' }),
      container({ network_mode: 'container:somebody' }),
      container({ network_mode: '${var.n}' }),
      container({ pid_mode: 'host' }),
      container({ ipc_mode: 'host' }),
      container({ userns_mode: 'host' }),
    ],
  },
  {
    rule: 'network',
    allows: [container({ network_mode: undefined, networks_advanced: [{ name: ownNetwork }] })],
    refuses: [
      without('network_mode'),
      ...['host', 'bridge', '${docker_network.other[0].name}'].map((name) =>
        container({ networks_advanced: { name } }),
      ),
      container({
        network_mode: undefined,
        dynamic: { networks_advanced: { for_each: '${[]}', content: { name: ownNetwork } } },
      }),
    ],
  },
  {
    rule: 'network-names',
    allows: [container({ dns: '${var.egress != "open" ? ["192.0.2.1"] : null}' }, 'net'), container({})],
    refuses: [container({}, 'net'), container({ dns: ['8.8.8.8'] }, 'net')],
  },
  {
    rule: 'host-paths',
    allows: [
      container({
        mounts: [{ type: 'volume', source: '${docker_volume.home.name}', target: '/x' }],
      }),
    ],
    refuses: [
      container({ mounts: [{ type: 'bind', source: '/etc', target: '/x' }] }),
      container({ mounts: [{ type: 'volume', source: 'coder-of-somebody-home', target: '/x' }] }),
      container({ volumes: [{ host_path: '/etc', container_path: '/x' }] }),
      container({ devices: [{ host_path: '/dev/kvm' }] }),
      container({ env: ['DOCKER_HOST=unix:///var/run/docker.sock'] }),
      container({ dynamic: { volumes: { for_each: '${[1]}', content: { host_path: '/' } } } }),
    ],
  },
  {
    rule: 'sidecar-root',
    allows: [container({ read_only: true }, 'opencode'), container({}, 'worker')],
    refuses: [container({}, 'opencode'), container({}, 'net'), container({ read_only: false }, 'opencode-init')],
  },
  {
    rule: 'tmpfs',
    allows: [container({ tmpfs: { '/tmp': 'rw,exec,nosuid,nodev,size=1g' } }), container({})],
    refuses: [container({ tmpfs: { '/tmp': 'rw' } }), container({ tmpfs: { '/tmp': 'nosuid,nodev' } })],
  },
  {
    rule: 'tmpfs-volume',
    allows: [
      volume({ driver_opts: { type: 'tmpfs', o: 'size=4m,nosuid,nodev' } }),
      volume({ driver_opts: '${var.x}' }),
    ],
    refuses: [volume({ driver_opts: { type: 'tmpfs', o: 'size=4m' } }), volume({ driver_opts: { type: 'tmpfs' } })],
  },
  {
    rule: 'ephemeral',
    allows: [
      container({}),
      container({ count: '${local.agent_mode == "sidecar" ? data.coder_workspace.me.start_count : 0}' }),
      resource('coder_metadata', 'x', { count }),
    ],
    refuses: [
      without('count'),
      container({ count: 1 }),
      container({ count: '${var.x ? data.coder_workspace.me.start_count : 0}' }),
      resource('docker_network', 'x', { name: 'n' }),
    ],
  },
  {
    rule: 'volume-kept',
    allows: [volume({})],
    refuses: [
      volume({ lifecycle: undefined }),
      volume({ lifecycle: { ignore_changes: ['labels'] } }),
      volume({
        lifecycle: undefined,
        dynamic: { lifecycle: { for_each: '${[]}', content: { ignore_changes: 'all' } } },
      }),
    ],
  },
  {
    rule: 'volume-name',
    allows: [volume({})],
    refuses: [volume({ name: 'coder-home' }), volume({ name: '${data.coder_workspace.me.name}' })],
  },
  {
    rule: 'judged-type',
    allows: [volume({})],
    refuses: [resource('docker_service', 'x', {}), resource('null_resource', 'x', {})],
  },
  {
    rule: 'label',
    allows: [resource('coder_script', 'clone', {})],
    refuses: [resource('coder_script', 'workspace_clone_1A2B3C4D', {})],
  },
  { rule: 'agent-name', allows: [resource('coder_agent', 'main', {})], refuses: [resource('coder_agent', 'dev', {})] },
  {
    rule: 'pinned-image',
    allows: [
      container({}),
      container({ image: '${var.opencode_image}' }),
      container({ image: '${local.executor_image}' }),
    ],
    refuses: [
      container({ image: 'debian:latest' }),
      container({ image: 'debian:12' }),
      container({ image: '${var.anything}' }),
    ],
  },
  {
    rule: 'image-variable',
    allows: [variable('opencode_image', hasDigest), variable('imagery', {})],
    refuses: [variable('opencode_image', {}), variable('executor_images', { ...hasDigest, default: [pinned] })],
  },
  {
    rule: 'tools-read-only',
    allows: [
      container({ mounts: { type: 'volume', target: '/tools', read_only: true } }),
      container({ must_run: false, mounts: { type: 'volume', target: '/tools' } }),
    ],
    refuses: [
      container({ mounts: { type: 'volume', target: '/tools' } }),
      container({ mounts: { type: 'volume', target: '${local.x ? "/nix" : "/y"}' } }, 'opencode'),
      container({ mounts: { type: 'volume', target: '/etc/ssl/certs/custom-ca', read_only: false } }),
    ],
  },
  {
    rule: 'home-of-worker',
    allows: [container({ mounts: { type: 'volume', target: '/home/coder' } }, 'worker')],
    refuses: [container({ mounts: { type: 'volume', target: '/home/coder' } }, 'opencode')],
  },
  {
    rule: 'closed-listeners',
    allows: [container({ env: closed }, 'worker'), container({})],
    refuses: [container({}, 'worker'), container({ env: [...closed, 'CODER_AGENT_DEBUG_ADDRESS=:80'] }, 'worker')],
  },
  {
    rule: 'inert-git',
    allows: [resource('coder_agent', 'main', { env: inertGit })],
    refuses: [
      resource('coder_agent', 'main', {}),
      resource('coder_agent', 'main', { env: { ...inertGit, GIT_CONFIG_COUNT: '2' } }),
      resource('coder_agent', 'main', { env: { ...inertGit, GIT_CONFIG_VALUE_1: undefined } }),
    ],
  },
  {
    rule: 'api-key-scope',
    allows: [
      resource('coder_agent', 'main', { api_key_scope: 'no_user_data' }),
      resource('coder_agent', 'main', { api_key_scope: '${local.agent_mode == "process" ? "no_user_data" : "all"}' }),
    ],
    refuses: [resource('coder_agent', 'main', { api_key_scope: 'all' }), resource('coder_agent', 'main', {})],
  },
  {
    rule: 'ide-command',
    allows: [
      resource('coder_script', 'x', { script: 'code-server --socket /run/ide.sock --auth none --disable-telemetry' }),
      resource('coder_script', 'x', { script: 'code-server --bind-addr 127.0.0.1:8080 --disable-telemetry' }),
    ],
    refuses: [
      resource('coder_script', 'x', { script: 'code-server --auth none --disable-telemetry' }),
      resource('coder_script', 'x', { script: 'code-server --bind-addr 10.0.0.1:8080 --disable-telemetry' }),
      resource('coder_script', 'x', { script: 'code-server --socket /run/ide.sock' }),
      container({ entrypoint: ['code-server', '--bind-addr', '192.168.1.1:8080', '--disable-telemetry'] }),
    ],
  },
  {
    rule: 'permission',
    allows: [
      container({ env: ['OPENCODE_PERMISSION={"edit":"ask"}'] }),
      container({
        env: [
          'OPENCODE_PERMISSION=${data.coder_parameter.permission_profile.value == "trusted" ? "{\\"*\\":\\"allow\\"}" : "{}"}',
        ],
      }),
    ],
    refuses: [
      container({ env: ['OPENCODE_PERMISSION={"*":"allow"}'] }),
      resource('coder_env', 'x', { name: 'OPENCODE_PERMISSION', value: '{"*": "allow"}' }),
    ],
  },
  {
    rule: 'max-profile',
    allows: [variable('max_profile', { default: 'ask' })],
    refuses: [variable('max_profile', { default: 'trusted' })],
  },
  {
    rule: 'image-choice',
    allows: [{ locals: { executor_image: '${data.coder_parameter.executor_image.value}' } }],
    refuses: [{ locals: { executor_image: 'debian:12' } }, { locals: { executor_image: '${var.anything}' } }],
  },
  {
    rule: 'secret-variable',
    allows: [variable('outrigger_secret', { sensitive: true }), variable('secretary', {})],
    refuses: [
      variable('outrigger_secret', {}),
      variable('db_password', {}),
      variable('x', { sensitive: true, default: 'y' }),
    ],
  },
  {
    rule: 'secret-text',
    allows: [resource('coder_script', 'x', { script: 'echo ors_short' })],
    refuses: [
      resource('coder_script', 'x', { script: `echo ors_k1_${'A'.repeat(43)}` }),
      { locals: { x: `orb_${'A'.repeat(43)}` } },
    ],
  },
  {
    rule: 'agent-token',
    allows: [
      container({ env: [`CODER_AGENT_TOKEN=${token}`] }, 'worker'),
      container({ read_only: true, env: ['KEY=${sha256("harness:${coder_agent.main.token}")}'] }, 'opencode'),
    ],
    refuses: [
      container({ read_only: true, env: [`T=${token}`] }, 'opencode'),
      container({ read_only: true, env: ['T=${sha256("x")}${coder_agent.main.token}'] }, 'opencode'),
      resource('coder_metadata', 'x', { count, item: [{ key: 't', value: token }] }),
      { locals: { t: token } },
      { output: { t: { value: token } } },
    ],
  },
  {
    rule: 'template-secret',
    allows: [
      container({ read_only: true, env: [`P=\${split("_", var.outrigger_secret)[1]}.${secretHash}`] }, 'opencode'),
    ],
    refuses: [
      container({ env: [`P=${secretHash}`] }, 'worker'),
      container({ read_only: true, env: ['P=${var.outrigger_secret}'] }, 'opencode'),
      container({ read_only: true, labels: [{ label: 'p', value: secretHash }] }, 'opencode'),
      resource('coder_script', 'x', { script: secretHash }),
      { locals: { p: secretHash } },
    ],
  },
  {
    rule: 'loopback',
    allows: [
      container({
        entrypoint: ['sh', '-c', 'opencode serve --hostname 127.0.0.1'],
        env: ['OPENCODE_SERVER_PASSWORD=x'],
      }),
      resource('coder_app', 'x', { url: 'http://10.0.0.0.example' }),
    ],
    refuses: [
      container({ entrypoint: ['sh', '-c', 'opencode serve --hostname 127.0.0.1'] }),
      container({ command: ['opencode', 'serve', '--port', '4096'] }),
      container({ entrypoint: ['sh', '-c', 'opencode serve --hostname 0.0.0.0'], env: ['OPENCODE_SERVER_PASSWORD=x'] }),
      container({ entrypoint: ['sh', '-c', 'code-server --host 192.168.0.1'] }),
      resource('coder_script', 'x', { script: 'code-server --bind-addr 0.0.0.0:8080' }),
      resource('coder_script', 'x', { script: 'code-server --bind-addr [::]:8080' }),
    ],
  },
  {
    rule: 'app-share',
    allows: [resource('coder_app', 'x', { share: 'owner' }), resource('coder_app', 'x', {})],
    refuses: [resource('coder_app', 'x', { share: 'public' })],
  },
  {
    rule: 'app-url',
    allows: [
      resource('coder_app', 'x', { url: 'http://127.0.0.1:13337/a' }),
      { ...resource('coder_app', 'x', { url: atPort }), ...variable('ide_port', { type: 'number' }) },
      resource('coder_app', 'x', { url: 'https://example.com', external: true }),
    ],
    refuses: [
      resource('coder_app', 'x', { url: 'https://example.com' }),
      resource('coder_app', 'x', { url: 'http://127.0.0.1.example.com' }),
      // Text could be "1@example.com", and what is not declared is nobody's word.
      { ...resource('coder_app', 'x', { url: atPort }), ...variable('ide_port', { type: 'string' }) },
      resource('coder_app', 'x', { url: atPort }),
      resource('coder_app', 'x', { url: 'http://127.0.0.1:${local.port}/a' }),
    ],
  },
  {
    rule: 'app-link',
    allows: [
      resource('coder_app', 'x', { url: '${var.outrigger_page_url}/workspace/1', external: true }),
      resource('coder_app', 'x', { url: 'https://example.com', external: true }),
    ],
    refuses: [
      resource('coder_app', 'x', { url: 'http://example.com', external: true }),
      resource('coder_app', 'x', { url: '${var.outrigger_url}/workspace/1', external: true }),
      resource('coder_app', 'x', { url: 'vscode://x?token=$SESSION_TOKEN', external: true }),
      resource('coder_app', 'x', { url: 'https://example.com/?t=$SESSION_TOKEN', external: true }),
    ],
  },
];

const cases: readonly PolicyCase[] = [...dockerCases, ...kubernetesCases, ...bypassCases];

const refusal = (template: Body): string => {
  try {
    refuseUnsafe(template, new Map([['docker_container.helper', 'docker/container:helper']]));
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe.each([...cases, ...podCases])('the policy rule $rule', ({ rule, allows, refuses }) => {
  it('allows what is safe', () => {
    for (const template of allows)
      expect([template, refusal(template)]).not.toEqual([template, expect.stringContaining(`(${rule})`)]);
  });

  it('refuses what is not', () => {
    for (const template of refuses)
      expect([template, refusal(template)]).toEqual([template, expect.stringContaining(`(${rule})`)]);
  });
});

describe('the policy', () => {
  it('has an allowing and a refusing case for every rule', () => {
    expect(cases.map(({ rule }) => rule).sort()).toEqual(policyRules.map(({ id: rule }) => rule).sort());
    expect(cases.every(({ allows, refuses }) => allows.length > 0 && refuses.length > 0)).toBe(true);
  });

  it('fails the synthesis of an OpenCode beyond loopback or without a password, and says which (part of D3)', () => {
    const serving = (words: string, env: readonly string[]): string =>
      refusal(container({ entrypoint: ['sh', '-c', `exec opencode serve ${words}`], env }));
    const password = ['OPENCODE_SERVER_PASSWORD=x'];

    expect(serving('--hostname 127.0.0.1', password)).not.toContain('(loopback)');
    expect(serving('--hostname 127.0.0.1', [])).toMatch(
      /not synthesized:[^]*\(loopback\) .* Set OPENCODE_SERVER_PASSWORD\./,
    );
    for (const beyond of ['--hostname 0.0.0.0', '--hostname ::', '--hostname=10.0.0.7'])
      expect([beyond, serving(beyond, password)]).toEqual([
        beyond,
        expect.stringMatching(/\(loopback\) .* Bind to 127\.0\.0\.1\./),
      ]);
  });

  it('O-70 fails the synthesis of an agent that does everything unasked: only as profile trusted, and that only under Kata or by opt-in', () => {
    const all = '{"*":"allow"}';
    const chosen = `data.coder_parameter.permission_profile.value == "trusted" ? ${JSON.stringify(all)} : "{}"`;
    const permission = (value: string): string => refusal(container({ env: [`OPENCODE_PERMISSION=${value}`] }));
    const most = (profile: string, env: readonly string[] = []): string =>
      refusal({ ...variable('max_profile', { default: profile }), ...container({ env }) });

    expect(permission(all)).toMatch(/not synthesized:[^]*\(permission\) lets the agent do everything unasked/);
    expect(permission(`\${${chosen}}`)).not.toContain('(permission)');
    expect(most('trusted')).toMatch(/\(max-profile\) .* Set its default to "ask", or run the pods under Kata/);
    expect(most('trusted', ['OUTRIGGER_RUNTIME=kata'])).not.toContain('(max-profile)');
    // An admin opts in by giving the variable another value than its default.
    expect(most('ask')).not.toContain('(max-profile)');
  });

  it('names every offender by its construct path, with what to do', () => {
    const message = refusal(container({ privileged: true, restart: 'always' }));

    expect(message).toContain(
      '  docker/container:helper (privileged) is privileged, so it owns the host. Remove `privileged`.',
    );
    expect(message).toContain('  docker/container:helper (restart) restarts by itself');
  });

  it('lets a default name the one image that a copy was asked for with, and no other', () => {
    const named = variable('executor_images', { ...hasDigest, default: ['ubuntu:24.04'] });

    expect(() => {
      refuseUnsafe(named, new Map(), { givenImage: 'ubuntu:24.04' });
    }).not.toThrow();
    expect(() => {
      refuseUnsafe(named, new Map(), { givenImage: 'ubuntu:22.04' });
    }).toThrow('(image-variable)');
  });

  it('refuses a backend, because Coder owns the state', () => {
    expect(refusal({ terraform: { backend: { local: {} } } })).toContain('Remove the backend');
  });

  it.each([
    ['a module', { module: { x: { source: 'registry.example.com/x' } } }],
    ['an import', { import: [{ to: 'docker_volume.home', id: 'somebody' }] }],
    ['an ephemeral value', { ephemeral: { x: { y: {} } } }],
    ["Terraform's cloud", { terraform: { cloud: { organization: 'x' } } }],
    ['a provider from elsewhere', { terraform: { required_providers: { docker: { source: 'example/docker' } } } }],
  ])('refuses %s, which brings in what nobody has judged', (_what, template) => {
    expect(refusal(template)).toContain('(sections)');
    expect(refusal({ terraform: { required_providers: { coder: { source: 'coder/coder' } } } })).toBe('');
  });
});
