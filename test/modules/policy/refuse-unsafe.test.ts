import { describe, expect, it } from '@jest/globals';
import { policyRules, refuseUnsafe } from '../../../modules/policy/refuse-unsafe.ts';

const id = '${data.coder_workspace.me.id}';
const count = '${data.coder_workspace.me.start_count}';
const pinned = `registry.example.com/base@sha256:${'a'.repeat(64)}`;

/** A container that breaks no rule; each case changes one thing. */
const safeContainer = {
  count,
  name: 'x',
  image: pinned,
  user: '1000:0',
  capabilities: { drop: ['ALL'] },
  security_opts: ['no-new-privileges:true'],
  memory: 64,
  cpus: '1',
  restart: 'no',
  network_mode: 'none',
};

type Body = Record<string, unknown>;
const container = (changes: Body, name = 'helper') => ({
  resource: { docker_container: { [name]: { ...safeContainer, ...changes } } },
});
const without = (key: keyof typeof safeContainer) => {
  const { [key]: _left, ...rest } = safeContainer;
  return { resource: { docker_container: { helper: rest } } };
};
const resource = (type: string, name: string, body: Body) => ({ resource: { [type]: { [name]: body } } });
const variable = (name: string, body: Body) => ({ variable: { [name]: body } });
const volume = (body: Body) =>
  resource('docker_volume', 'home', { name: `coder-${id}-home`, lifecycle: { ignore_changes: 'all' }, ...body });

const token = '${coder_agent.main.token}';
const secretHash = '${sha256("${var.outrigger_secret}:x")}';
const hasDigest = { validation: [{ condition: '${can(regex("@sha256:", var.x))}' }] };

/** Each rule with what it allows and what it refuses. */
const cases: readonly { rule: string; allows: readonly Body[]; refuses: readonly Body[] }[] = [
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
    ],
  },
  {
    rule: 'no-new-privileges',
    allows: [container({ security_opts: ['no-new-privileges:true', 'label=type:x'] })],
    refuses: [without('security_opts'), container({ security_opts: ['no-new-privileges:true', 'seccomp=unconfined'] })],
  },
  {
    rule: 'non-root',
    allows: [container({ user: '1000:0' }), container({ user: 'coder' })],
    refuses: [
      without('user'),
      container({ user: 'root' }),
      container({ user: '0:0' }),
      container({ user: '' }),
      container({ user: '00' }),
    ],
  },
  {
    rule: 'limits',
    allows: [container({ memory: '${var.m}' })],
    refuses: [without('memory'), without('cpus'), container({ memory: 0 })],
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
      container({ pid_mode: 'host' }),
      container({ ipc_mode: 'host' }),
      container({ userns_mode: 'host' }),
    ],
  },
  {
    rule: 'network',
    allows: [container({ network_mode: undefined, networks_advanced: [{ name: 'n' }] })],
    refuses: [without('network_mode')],
  },
  {
    rule: 'host-paths',
    allows: [
      container({
        mounts: [{ type: 'volume', source: 'v', target: '/x' }],
        volumes: [{ volume_name: 'v', container_path: '/x' }],
      }),
    ],
    refuses: [
      container({ mounts: [{ type: 'bind', source: '/etc', target: '/x' }] }),
      container({ volumes: [{ host_path: '/etc', container_path: '/x' }] }),
      container({ devices: [{ host_path: '/dev/kvm' }] }),
      container({ env: ['DOCKER_HOST=unix:///var/run/docker.sock'] }),
      container({ dynamic: { volumes: { for_each: '${[1]}', content: { host_path: '/' } } } }),
    ],
  },
  {
    rule: 'sidecar-root',
    allows: [container({ read_only: true }, 'opencode'), container({})],
    refuses: [container({}, 'opencode')],
  },
  {
    rule: 'ephemeral',
    allows: [container({}), resource('coder_metadata', 'x', { count })],
    refuses: [without('count'), container({ count: 1 }), resource('docker_network', 'x', { name: 'n' })],
  },
  {
    rule: 'volume-kept',
    allows: [volume({})],
    refuses: [volume({ lifecycle: undefined }), volume({ lifecycle: { ignore_changes: ['labels'] } })],
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
      container({ image: '${data.coder_parameter.executor_image.value}' }),
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
      resource('coder_app', 'x', { url: 'https://example.com', external: true }),
    ],
    refuses: [
      resource('coder_app', 'x', { url: 'https://example.com' }),
      resource('coder_app', 'x', { url: 'http://127.0.0.1.example.com' }),
    ],
  },
];

const refusal = (template: Body): string => {
  try {
    refuseUnsafe(template, new Map([['docker_container.helper', 'docker/container:helper']]));
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe.each(cases)('the policy rule $rule', ({ rule, allows, refuses }) => {
  it.each(allows.map((template) => [JSON.stringify(template), template] as const))('allows %s', (_text, template) => {
    expect(refusal(template)).not.toContain(`(${rule})`);
  });

  it.each(refuses.map((template) => [JSON.stringify(template), template] as const))('refuses %s', (_text, template) => {
    expect(refusal(template)).toContain(`(${rule})`);
  });
});

describe('the policy', () => {
  it('has an allowing and a refusing case for every rule', () => {
    expect(cases.map(({ rule }) => rule).sort()).toEqual(policyRules.map(({ id: rule }) => rule).sort());
    expect(cases.every(({ allows, refuses }) => allows.length > 0 && refuses.length > 0)).toBe(true);
  });

  it('names every offender by its construct path, with what to do', () => {
    const message = refusal(container({ privileged: true, restart: 'always' }));

    expect(message).toContain(
      '  docker/container:helper (privileged) is privileged, so it owns the host. Remove `privileged`.',
    );
    expect(message).toContain('  docker/container:helper (restart) restarts by itself');
  });

  it('refuses a backend, because Coder owns the state', () => {
    expect(refusal({ terraform: { backend: { local: {} } } })).toContain('Remove the backend');
  });
});
