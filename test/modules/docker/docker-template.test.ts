import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { bridgeEnvironment, names, paths } from '../../../modules/contract.ts';
import { volumes } from '../../../modules/workspace/container.ts';
import { dockerHcl, dockerJson } from '../../support/terraform/docker-template.ts';

type Body = Readonly<Record<string, unknown>>;
type ByName = Readonly<Record<string, Body>>;

const resources = dockerJson.resource as unknown as Readonly<Record<string, ByName>>;
const data = dockerJson.data as unknown as Readonly<Record<string, ByName>>;
const containers = resources.docker_container as ByName;
const container = (name: string): Body => containers[name] as Body;
const everyContainer = Object.keys(containers).map((name) => [name] as const);
const environmentOf = (name: string): readonly string[] => (container(name).env ?? []) as string[];
const mountsOf = (name: string): readonly Body[] => (container(name).mounts ?? []) as Body[];
const shared = dockerJson.locals as unknown as { readonly labels: Readonly<Record<string, string>> };
/** The labels of a resource: the shared ones, and its own as they stand in the expression. */
const labelsOf = (body: Body): Readonly<Record<string, string>> => {
  const [made] = (body.dynamic as { labels: { for_each: string }[] }).labels;
  const own = [...(made?.for_each ?? '').matchAll(/"([^"]+)" = "?([^",}]+?)"?(?=[,\s])/g)];
  return { ...shared.labels, ...Object.fromEntries(own.map(([, label, value]) => [label, value])) };
};

const startCount = '${data.coder_workspace.me.start_count}';
const { worker, sidecar, init, network } = names.containers;

describe('the containers of the docker template', () => {
  it('O-04 are opencode-init, worker, opencode, net and egress, by these names', () => {
    expect(Object.keys(containers).sort()).toEqual(['egress', 'net', 'opencode', 'opencode-init', 'worker']);
    for (const name of Object.keys(containers)) {
      expect(labelsOf(container(name))['outrigger/container']).toBe(name);
    }
  });

  it('get OpenCode from the init container through a volume, in whatever executor image', () => {
    expect(container(init)).toMatchObject({ image: '${var.opencode_image}', must_run: false, attach: true });
    expect(container(worker).image).toBe('${local.executor_image}');
    expect(container(sidecar).image).toBe(container(worker).image);
    for (const name of [worker, sidecar]) {
      expect(container(name).depends_on).toEqual([`docker_container.${init}`, 'docker_container.egress']);
    }
  });

  it('may not write /tools once the init container has filled it', () => {
    const tools = (name: string) => mountsOf(name).find(({ target }) => target === paths.tools);

    expect(tools(init)?.read_only).toBeUndefined();
    for (const name of [worker, sidecar]) expect(tools(name)).toMatchObject({ read_only: true });
  });

  it('fail the build when the init container fails', () => {
    expect(container(init).lifecycle).toMatchObject({ postcondition: [{ condition: '${self.exit_code == 0}' }] });
  });

  it.each(everyContainer)('O-53 O-69 %s runs as 1000:0, without capabilities or a way to gain any', (name) => {
    expect(container(name)).toMatchObject({
      user: '1000:0',
      privileged: false,
      capabilities: { drop: ['ALL'] },
      security_opts: ['no-new-privileges:true'],
    });
  });

  it.each(everyContainer)('P-86 %s does not restart by itself and goes when the workspace stops', (name) => {
    const when: Readonly<Record<string, string>> = {
      [sidecar]: 'local.agent_mode == "sidecar"',
      egress: 'var.egress != "open"',
    };
    const mode = when[name] === undefined ? startCount : `\${${when[name]} ? data.coder_workspace.me.start_count : 0}`;

    expect(container(name)).toMatchObject({ restart: 'no', count: mode });
  });

  it.each(everyContainer)('%s always has limits of CPU and memory, and no swap beyond', (name) => {
    expect(container(name).cpus).toBeTruthy();
    expect(container(name).memory).toBeTruthy();
    expect(container(name).memory_swap).toEqual(container(name).memory);
  });

  it('leave the sidecar a root filesystem that it cannot write, and a /tmp that it can (part of O-69)', () => {
    expect(container(sidecar)).toMatchObject({ read_only: true, tmpfs: { '/tmp': expect.stringContaining('size=') } });
  });

  it('P-75 publish no port', () => {
    for (const name of Object.keys(containers)) {
      expect(container(name)).not.toHaveProperty('ports');
      expect(container(name)).not.toHaveProperty('publish_all_ports');
    }
  });

  it('share the network namespace of net, and with it the hostname', () => {
    expect(container(network).hostname).toBe('${data.coder_workspace.me.name}');
    for (const name of [worker, sidecar]) {
      expect(container(name).network_mode).toBe('container:${docker_container.net[0].id}');
    }
  });

  it('meet no other workspace: each has a network and volumes named by its id', () => {
    expect(container(network).networks_advanced).toEqual([{ name: '${docker_network.workspace[0].name}' }]);
    expect(resources.docker_network?.workspace).toMatchObject({ name: 'coder-${data.coder_workspace.me.id}' });
    for (const [part, volume] of Object.entries(resources.docker_volume as ByName)) {
      expect(volume.name).toBe(`coder-\${data.coder_workspace.me.id}-${part}`);
    }
  });

  it('P-103 are named coder-{owner}-{workspace} and labelled with the workspace id', () => {
    const base = 'coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}';

    expect(container(worker).name).toBe(base);
    expect(container(sidecar).name).toBe(`${base}.opencode`);
    for (const name of Object.keys(containers)) {
      expect(labelsOf(container(name))).toMatchObject({
        'outrigger/workspace-id': '${data.coder_workspace.me.id}',
        'coder.workspace_id': '${data.coder_workspace.me.id}',
        'coder.owner_id': '${data.coder_workspace_owner.me.id}',
      });
    }
  });

  it.each(everyContainer)('O-25 %s knows where the workspace is', (name) => {
    expect(environmentOf(name)).toContain('WORKSPACE_DIR=/workspace');
  });

  it.each([[worker], [sidecar]])('%s knows where the tools are', (name) => {
    expect(environmentOf(name)).toEqual(expect.arrayContaining(['TOOLS_DIR=/tools', 'OPENCODE_BIN=opencode']));
  });

  it('begin PATH with /tools in worker and sidecar', () => {
    expect((resources.coder_agent?.main?.env as Body).PATH).toBe('/tools:$PATH');
    expect(container(sidecar).entrypoint).toEqual(['/tools/enter', '/tools/opencode', '/tools/bridge.js']);
    expect((container(worker).entrypoint as string[])[0]).toBe('/tools/enter');
    expect(environmentOf(sidecar)).toContain('BUN_BE_BUN=1');
  });
});

describe('what worker and sidecar may see of each other', () => {
  const targets = (name: string) => mountsOf(name).map(({ target }) => target);

  it('is the workspace, the tools and /run/outrigger, but not the home folder or the sessions', () => {
    const shared = [paths.customCa, paths.run, paths.tools, paths.workspace, volumes.nix.path];

    expect(targets(worker).sort()).toEqual([...shared, paths.home].sort());
    expect(targets(sidecar).sort()).toEqual([...shared, paths.agent].sort());
  });

  it("is Nix's store for reading only, and where the image has none, nothing at /nix", () => {
    const store = (name: string) => mountsOf(name).find(({ target }) => target === volumes.nix.path);

    expect(store(worker)).toMatchObject({ volume_options: { no_copy: true } });
    expect(store(worker)?.['read_only']).toBeUndefined();
    expect(store(sidecar)).toMatchObject({ read_only: true });
    expect(volumes.nix.path).toBe('${local.has_nix ? "/nix" : "/var/lib/outrigger-nix"}');
  });

  it('is bounded in memory for /run/outrigger', () => {
    expect(resources.docker_volume?.run).toMatchObject({
      driver_opts: { type: 'tmpfs', o: expect.stringMatching(/^size=4m,uid=1000,gid=0,mode=0770/) },
    });
  });

  it("is never Coder's token: the agent starts in the worker with it, and only there (part of K-43)", () => {
    expect(resources.coder_agent?.main).toMatchObject({ os: 'linux', arch: '${var.arch}' });
    expect(JSON.stringify(dockerJson.variable)).toContain('contains([\\"amd64\\", \\"arm64\\"], var.arch)');
    expect(JSON.stringify(container(worker).entrypoint)).toContain('coder_agent.main.init_script');
    expect(environmentOf(worker)).toContain('CODER_AGENT_TOKEN=${coder_agent.main.token}');
    for (const name of [sidecar, init, network]) {
      const text = JSON.stringify(container(name));
      expect(text).not.toContain('CODER_AGENT_TOKEN');
      expect(text).not.toContain('init_script');
      expect(text.replaceAll('sha256(\\"harness:${coder_agent.main.token}\\")', '')).not.toContain('.token');
    }
  });

  it("is not what Coder's agent tells on its debug listeners, which cannot be bound", () => {
    for (const name of ['PPROF', 'DEBUG', 'PROMETHEUS']) {
      expect(environmentOf(worker)).toContain(`CODER_AGENT_${name}_ADDRESS=192.0.2.1:1`);
    }
  });

  it('does not let git in the worker run what a repository names as hook, monitor or transport', () => {
    const directory = mkdtempSync(join(tmpdir(), 'outrigger-git-'));
    const inert = Object.entries(resources.coder_agent?.main?.env as Record<string, string>).filter(([name]) =>
      name.startsWith('GIT_CONFIG_'),
    );
    const marker = join(directory, 'ran');
    const runsMonitor = (environment: Record<string, string>): boolean => {
      rmSync(marker, { force: true });
      execFileSync('git', ['status'], { cwd: directory, stdio: 'ignore', env: { ...process.env, ...environment } });
      return existsSync(marker);
    };
    try {
      execFileSync('git', ['init', '--quiet', directory]);
      writeFileSync(join(directory, 'monitor'), `#!/bin/sh\ntouch '${marker}'\n`, { mode: 0o755 });
      execFileSync('git', ['-C', directory, 'config', 'core.fsmonitor', join(directory, 'monitor')]);

      expect(runsMonitor({})).toBe(true);
      expect(runsMonitor(Object.fromEntries(inert))).toBe(false);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('is one key from which the harness passwords derive', () => {
    const key = `${bridgeEnvironment.harnessKey}=\${sha256("harness:\${coder_agent.main.token}")}`;

    for (const name of [worker, sidecar]) expect(environmentOf(name)).toContain(key);
  });

  it('is not the registration proof, which only the bridge has', () => {
    const proof = environmentOf(sidecar).filter((line) => line.startsWith(`${bridgeEnvironment.proof}=`));

    expect(proof).toHaveLength(1);
    expect(resources.coder_env?.['bridge-proof']).toMatchObject({
      name: bridgeEnvironment.proof,
      value: proof[0]?.slice(bridgeEnvironment.proof.length + 1),
      count: '${local.agent_mode == "process" ? data.coder_workspace.me.start_count : 0}',
    });
    for (const name of [worker, init, network])
      expect(JSON.stringify(container(name))).not.toContain('outrigger_secret');
  });
});

describe('what a person sees of a workspace', () => {
  it('is the image, cpu, memory and disk that were chosen', () => {
    const items = resources.coder_metadata?.worker?.item as { key: string; value: string }[];

    expect(resources.coder_metadata?.worker?.resource_id).toBe('${docker_container.worker[0].id}');
    expect(Object.fromEntries(items.map(({ key, value }) => [key, value]))).toMatchObject({
      image: '${local.executor_image}',
      cpu: '${local.worker_cpu} cores',
      memory: '${local.worker_memory_mb} MB',
      disk: '${var.disk_quota ? "${data.coder_parameter.disk[0].value} GB" : "not limited"}',
    });
  });

  it('is an app that joins the session, and an editor where the image holds one', () => {
    expect(resources.coder_app).toMatchObject({
      opencode: { slug: 'opencode', command: '/tools/enter /tools/attach' },
    });
    expect(Object.keys(resources.coder_app ?? {})).toEqual(['ide', 'opencode', 'outrigger']);
  });

  it('K-41 is an editor named code-server unless the image holds another, for its owner only, checked, on port 13337', () => {
    const gate = 'http://127.0.0.1:${var.ide_port}/${sha256("ide:${coder_agent.main.token}")}';

    expect(resources.coder_app?.ide).toMatchObject({
      slug: 'ide',
      display_name: '${local.ide}',
      icon: '/icon/code.svg',
      share: 'owner',
      subdomain: '${var.wildcard_host}',
      url: `${gate}/?folder=\${local.folder}&follow=task`,
      healthcheck: { url: `${gate}/healthz`, interval: 5, threshold: 6 },
    });
  });

  it('describes and orders every parameter, and lets each but the size of the disk be changed later', () => {
    const parameters = Object.entries(data.coder_parameter as ByName);

    const orders = parameters.map(([, { order }]) => Number(order)).sort((one, other) => one - other);
    expect(orders).toEqual(orders.map((_order, index) => index + 1));
    for (const [label, parameter] of parameters) {
      expect(parameter).toMatchObject({
        name: label,
        mutable: label !== 'disk',
        description: expect.any(String),
        icon: expect.any(String),
      });
    }
  });
});

describe('the docker template', () => {
  it('pins coder/coder to 2.x and names no provider for Kata', () => {
    expect(dockerJson.terraform).toMatchObject({
      required_providers: { coder: { source: 'coder/coder', version: '~> 2.16' } },
    });
    expect(dockerHcl).not.toMatch(/kata/i);
  });

  it('names no image, no backend and no hashed label', () => {
    expect(dockerHcl).not.toMatch(/^\s*image\s*= "/m);
    expect(dockerJson.terraform).not.toHaveProperty('backend');
    expect(dockerHcl).not.toMatch(/_[0-9A-F]{8}"/);
    expect(dockerHcl).not.toContain('TfToken');
  });

  it('keeps every volume through stops and template changes', () => {
    for (const volume of Object.values(resources.docker_volume as ByName)) {
      expect(volume).not.toHaveProperty('count');
      expect(volume.lifecycle).toEqual({ ignore_changes: 'all' });
    }
  });
});
