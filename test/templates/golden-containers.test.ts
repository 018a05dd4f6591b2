import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { names, paths } from '../../modules/contract.ts';
import { kubernetesSchema } from '../../modules/hcl/schemas/index.ts';
import { at } from '../../modules/policy/containers.ts';
import { blocksOf, type Body } from '../../modules/policy/template.ts';
import { parseProbe } from '../../scripts/executor/probe.ts';
import { contentRules } from '../../scripts/executor/rules.ts';
import { everyTemplate, podIn, views } from './view.ts';

const { worker, sidecar, init, network } = names.containers;
const both = [worker, sidecar];
const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string): string => readFileSync(file(path), 'utf8');
const executors = read('modules/executors/Dockerfile').replace(/^\s*#.*\n/gm, '');

/** What the doctor finds wrong with the content of an image when root's look at it says this line too. */
const doctorFinds = (line: string): readonly string[] => {
  const [usual, root] = [parseProbe(''), parseProbe(`tool.find=/usr/bin/find\n${line}`)];
  const config = { user: '', workingDir: '', command: [], environment: {} };
  return contentRules
    .map((rule) => rule({ config, usual, arbitrary: usual, root }))
    .flatMap(({ ok, found }) => (ok ? [] : [found]));
};

describe.each(everyTemplate)('the containers of the template %s', (_name, view) => {
  it('C-01 have /tools, filled by the init container alone, first in PATH, with OpenCode and its settings in it', () => {
    const [folder, kept] = ['outrigger-golden-', 'outrigger-golden-image-'].map((name) =>
      mkdtempSync(join(tmpdir(), name)),
    );
    if (folder === undefined || kept === undefined) throw new Error('There is no temporary folder.');
    try {
      // The image of the init container as its Dockerfile makes it, with stand-ins for what is not text.
      const image =
        /COPY dist\/bridge.js dist\/helper.js dist\/egress.js modules\/opencode\/opencode.json modules\/opencode\/tui.json/;
      expect(read('modules/opencode/Dockerfile')).toMatch(image);
      for (const name of ['opencode.json', 'tui.json', 'init.sh'])
        copyFileSync(file(`modules/opencode/${name}`), join(kept, name));
      for (const name of ['attach', 'enter', 'runtime-proof'])
        copyFileSync(file(`modules/opencode/${name}.sh`), join(kept, name));
      for (const name of ['opencode', 'rg', 'bridge.js', 'helper.js', 'egress.js', 'version'])
        writeFileSync(join(kept, name), '');
      const inside = {
        PATH: '/usr/bin:/bin',
        CUSTOM_CA_DIR: '/nowhere',
        WORKSPACE_DIR: '/nowhere',
        OUTRIGGER_NIX_DIR: '/nowhere',
        WORKER_HOME: '/nowhere',
      };
      const filled = spawnSync('sh', [join(kept, 'init.sh')], {
        encoding: 'utf8',
        env: { ...inside, TOOLS_DIR: folder },
      });
      expect(filled).toMatchObject({ status: 0, stderr: '' });
      expect(read('modules/opencode/init.sh')).toContain('tools=${TOOLS_DIR:-/tools}');
      expect(readdirSync(folder)).toEqual(expect.arrayContaining(['opencode', 'opencode.json', 'tui.json']));
      expect(statSync(join(folder, 'opencode')).mode & 0o111).toBe(0o111);
      for (const name of ['opencode.json', 'tui.json'])
        expect(JSON.parse(readFileSync(join(folder, name), 'utf8'))).toHaveProperty('$schema');

      expect(view.container(init).environment['TOOLS_DIR'] ?? '/tools').toBe('/tools');
      expect(view.container(init).mounts.get('/tools')).toBe(false);
      for (const name of both) {
        const { mounts, environment, argv } = view.container(name);
        expect([mounts.get('/tools'), argv[0]]).toEqual([true, '/tools/enter']);
        expect(environment).toMatchObject({ TOOLS_DIR: '/tools', OPENCODE_BIN: 'opencode' });
        const given = { ...environment, TOOLS_DIR: folder, PATH: '/usr/bin:/bin' };
        const script = 'echo "$PATH"; command -v "$OPENCODE_BIN"';
        const { stdout } = spawnSync('sh', [join(folder, 'enter'), 'sh', '-c', script], {
          encoding: 'utf8',
          env: given,
        });
        expect(stdout).toBe(`${folder}:/usr/bin:/bin\n${folder}/opencode\n`);
      }
      // Coder's agent sets the PATH of terminals.
      const { env } = view.body('coder_agent.main') as { env: Record<string, string> };
      expect(env['PATH']).toMatch(/^\/tools:/);
    } finally {
      for (const one of [folder, kept]) rmSync(one, { recursive: true, force: true });
    }
  });

  it('C-02 are told /workspace by both of its names, and mount it there', () => {
    for (const name of both) {
      expect(view.container(name).environment).toMatchObject({
        WORKSPACE_DIR: '/workspace',
        WORKSPACE_PATH: '/workspace',
      });
      expect(view.container(name).mounts.get('/workspace')).toBe(false);
      expect(view.container(name).argv[0]).toBe(paths.enter);
    }
    // What a person sets is one value under both names.
    const { stdout } = spawnSync('sh', [file('modules/opencode/enter.sh'), 'env'], {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin', WORKSPACE_DIR: '/elsewhere', WORKSPACE_PATH: '/workspace' },
    });
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining(['WORKSPACE_DIR=/elsewhere', 'WORKSPACE_PATH=/elsewhere']),
    );
  });

  it('C-12 trust the admin’s certificates and use the admin’s proxy, in every spelling', () => {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-golden-'));
    try {
      const [certificate, ca] = [
        '-----BEGIN CERTIFICATE-----\nbWluZQ==\n-----END CERTIFICATE-----\n',
        join(folder, 'tls.crt'),
      ];
      writeFileSync(ca, certificate);
      const admin: Readonly<Record<string, string>> = {
        '/etc/ssl/certs/custom-ca/tls.crt': ca,
        '${var.http_proxy}': 'http://proxy.example.com:1',
        '${var.https_proxy}': 'http://proxy.example.com:2',
        '${var.no_proxy}': 'git.example.com',
        // Of the admin where the way out is open; else of the workspace's own proxy, which has a test of its own.
        '${local.http_proxy}': 'http://proxy.example.com:1',
        '${local.https_proxy}': 'http://proxy.example.com:2',
        '${local.no_proxy}': 'git.example.com',
      };
      expect(view.container(init).environment['OUTRIGGER_CUSTOM_CA_BASE64']).toBe('${base64encode(var.custom_ca)}');
      expect(view.container(init).mounts.get(paths.customCa)).toBe(false);
      for (const name of both) {
        expect(view.container(name).mounts.get(paths.customCa)).toBe(true);
        const given = ['CUSTOM_CA_CERT_PATH', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].map((key) => {
          const value = view.container(name).environment[key] ?? '';
          expect(Object.keys(admin)).toContain(value);
          return [key, admin[value] ?? ''] as const;
        });
        const { stdout } = spawnSync('sh', [file('modules/opencode/enter.sh'), 'env'], {
          encoding: 'utf8',
          env: { PATH: '/usr/bin:/bin', TMPDIR: folder, ...Object.fromEntries(given) },
        });
        const found = Object.fromEntries(stdout.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
        const noProxy = 'git.example.com,localhost,127.0.0.1,::1,.svc,.cluster.local';
        expect(found).toMatchObject({
          ...{ HTTP_PROXY: 'http://proxy.example.com:1', http_proxy: 'http://proxy.example.com:1' },
          ...{ HTTPS_PROXY: 'http://proxy.example.com:2', https_proxy: 'http://proxy.example.com:2' },
          ...{ NO_PROXY: noProxy, no_proxy: noProxy },
          NODE_EXTRA_CA_CERTS: found['SSL_CERT_FILE'],
          CUSTOM_CA_CERT_PATH: ca,
        });
        expect(readFileSync(String(found['NODE_EXTRA_CA_CERTS']), 'utf8')).toContain(certificate);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('O-01 take OpenCode from an image of its own through a volume that one container fills before the others start', () => {
    expect(view.container(init)).toMatchObject({ isInit: true, image: '${var.opencode_image}' });
    expect(view.container(init).mounts.get(paths.tools)).toBe(false);
    for (const name of both) {
      expect(view.container(name)).toMatchObject({ isInit: false, image: '${local.executor_image}' });
      expect(view.container(name).mounts.get(paths.tools)).toBe(true);
    }
    if (view.isDocker) {
      expect(view.container(init).body).toMatchObject({ must_run: false, attach: true });
      expect(view.body('docker_volume.tools').name).toBe('coder-${data.coder_workspace.me.id}-tools');
      for (const name of both)
        expect(view.container(name).body['depends_on']).toEqual([
          `docker_container.${init}`,
          'docker_container.egress',
        ]);
    } else {
      expect(blocksOf(podIn(view), 'init_container')).toHaveLength(1);
      expect(blocksOf(podIn(view), 'volume')).toContainEqual({ name: 'tools', empty_dir: { size_limit: '256Mi' } });
    }
    // No executor image is built from anything of OpenCode, and the doctor refuses one that holds it where we look for it.
    expect(executors).not.toMatch(/opencode/i);
    expect(doctorFinds('tools_holds=/tools/opencode')).toEqual(
      expect.arrayContaining([expect.stringContaining('/tools/opencode')]),
    );
  });

  it('O-05 name OpenCode and the folder it is in, which has a size and only the init container writes to', () => {
    for (const name of both) {
      expect(view.container(name).environment).toMatchObject({ TOOLS_DIR: '/tools', OPENCODE_BIN: 'opencode' });
    }
    const writers = view.containers.filter(({ mounts }) => mounts.get(paths.tools) === false);
    expect(writers.map(({ name }) => name)).toEqual([init]);
    if (view.isDocker) {
      // Docker's own volumes take a size only where the filesystem knows quotas, which the admin says.
      expect(view.body('docker_volume.tools')['driver_opts']).toBe('${var.disk_quota ? { size = "512M" } : null}');
    } else {
      expect(blocksOf(podIn(view), 'volume')).toContainEqual({ name: 'tools', empty_dir: { size_limit: '256Mi' } });
    }
  });

  it('O-40 accept a mount at /tools in worker and sidecar, which the doctor wants to be empty in an image', () => {
    for (const name of both) expect(view.container(name).mounts.get('/tools')).toBe(true);
    expect(doctorFinds('')).not.toEqual(expect.arrayContaining([expect.stringContaining('holds /tools')]));
    expect(doctorFinds('tools_holds=/tools/own')).toContainEqual(expect.stringContaining('holds /tools/own'));
  });

  it('O-37 share files by group 0 and fsGroup, never by rights for everybody', () => {
    expect(executors).toMatch(/chmod -R g=u \/home\/coder "\$\{WORKSPACE_DIR\}"/);
    for (const one of view.containers) {
      const { user } = one.body;
      expect(view.isDocker ? user : at(one.body, 'security_context').run_as_group).toBe(view.isDocker ? '1000:0' : '0');
    }
    if (!view.isDocker) expect(at(podIn(view), 'security_context').fs_group).toBe('1000');
    expect(view.text).not.toMatch(/chmod [^;&|]*(777|[ao]\+\w*w)/);
    expect(doctorFinds('world_writable=/workspace')).toContainEqual('everybody can write /workspace');
    expect(doctorFinds('')).not.toEqual(expect.arrayContaining([expect.stringContaining('everybody can write')]));
  });

  it('K-43 run Linux for the chosen architecture; start script and token of the agent reach the worker and nobody else', () => {
    expect(view.body('coder_agent.main')).toMatchObject({ os: 'linux', arch: '${var.arch}' });
    expect(view.body('var.arch')).toMatchObject({
      default: 'amd64',
      validation: [{ condition: '${contains(["amd64", "arm64"], var.arch)}' }],
    });
    for (const { name, argv } of view.containers) {
      const isWorker = name === worker;
      expect([name, argv.join(' ').includes('coder_agent.main.init_script')]).toEqual([name, isWorker]);
      expect([name, view.given(name).includes('CODER_AGENT_TOKEN')]).toEqual([name, isWorker]);
    }
    const holder: Body = view.isDocker
      ? view.container(worker).environment
      : (view.body('kubernetes_secret_v1.workspace')['data'] as Body);
    expect(holder['CODER_AGENT_TOKEN']).toBe('${coder_agent.main.token}');
  });

  it('P-78 have limits of CPU, memory and disk, no privilege and no host users', () => {
    for (const { name, body } of view.containers) {
      const limits = view.isDocker ? body : (at(body, 'resources')['limits'] as Body);
      const wanted = view.isDocker ? ['cpus', 'memory', 'memory_swap'] : ['cpu', 'memory', 'ephemeral-storage'];
      for (const limit of wanted) expect([name, limit, Boolean(limits[limit])]).toEqual([name, limit, true]);
      expect([name, view.isDocker ? body['privileged'] : at(body, 'security_context')['privileged']]).toEqual([
        name,
        false,
      ]);
    }
    if (view.isDocker) {
      expect(view.body('docker_volume.workspace')['driver_opts']).toContain('var.disk_quota ? { size =');
      expect(read('templates/docker/README.md')).toMatch(/limit of disk space, unless .*xfs mounted with `pquota`/);
    } else {
      expect(at(view.body('kubernetes_network_policy_v1.workspace'), 'spec')).toMatchObject({
        policy_types: ['Ingress', 'Egress'],
      });
      const isSupported = JSON.stringify(kubernetesSchema).includes('"host_users"');
      expect(podIn(view)['host_users']).toBe(isSupported ? false : undefined);
      for (const shared of ['host_network', 'host_pid', 'host_ipc']) expect(podIn(view)[shared]).toBe(false);
    }
  });

  it('S-17 S-76 include the sidecar: OpenCode works in the workspace, and the service tells it what to do', () => {
    expect(view.container(sidecar).argv.slice(-2)).toEqual([paths.opencode, paths.bridge]);
    expect(view.container(sidecar).environment).toMatchObject({ OUTRIGGER_URL: '${var.outrigger_url}' });
    expect(view.body('var.agent_modes')['default']).toEqual(['sidecar']);
    expect(view.containers.map(({ name }) => name).sort()).toEqual(
      [init, worker, sidecar, ...(view.isDocker ? [network, 'egress'] : [])].sort(),
    );
    expect(view.text).not.toMatch(/postgres|DATABASE_URL/i);
  });
});

describe('the templates', () => {
  it('are docker, kubernetes and kata', () => {
    expect(views.map(({ name }) => name)).toEqual(['docker', 'kubernetes', 'kata']);
  });

  it('O-03 P-22 make one Deployment of one pod, replaced and never doubled, and no Job: tasks come and go inside', () => {
    for (const view of views.filter(({ isDocker }) => !isDocker)) {
      const workloads = view.all.filter(
        ({ kind, type }) =>
          kind === 'resource' && /_(deployment|pod|job|cron_job|stateful_set|daemon_set|replica_set)(_v1)?$/.test(type),
      );
      expect(workloads.map(({ address }) => address)).toEqual(['kubernetes_deployment_v1.workspace']);
      expect(at(view.body('kubernetes_deployment_v1.workspace'), 'spec')).toMatchObject({
        replicas: '1',
        strategy: { type: 'Recreate' },
      });
      expect(blocksOf(podIn(view), 'container').map(({ name }) => name)).toEqual([worker, sidecar]);
    }
  });
});
