import { describe, expect, it } from '@jest/globals';
import { names, paths } from '../../../modules/contract.ts';
import { at, containersOf } from '../../../modules/policy/containers.ts';
import { blocksOf, declarations, type Body, type Declared } from '../../../modules/policy/template.ts';
import { synthesizeTemplate } from '../../../scripts/template.ts';
import { templates } from '../../../stacks/templates.ts';
import { kubernetesForms, type KubernetesTemplateName } from '../../support/terraform/kubernetes-template.ts';

const { worker, sidecar, init } = names.containers;
const forms = { kubernetes: kubernetesForms('kubernetes'), kata: kubernetesForms('kata') };
const both = (['kubernetes', 'kata'] as const).map((name) => [name] as const);
const startCount = '${data.coder_workspace.me.start_count}';

const declared = (name: KubernetesTemplateName, address: string): Declared => {
  const found = declarations(forms[name].json).find((one) => one.address === address);
  if (found === undefined) throw new Error(`${name} has no ${address}.`);
  return found;
};
const body = (name: KubernetesTemplateName, address: string): Body => declared(name, address).body;
const deployment = (name: KubernetesTemplateName): Body => body(name, 'kubernetes_deployment_v1.workspace');
const pod = (name: KubernetesTemplateName): Body => at(deployment(name), 'spec', 'template', 'spec');
const containers = (name: KubernetesTemplateName) => containersOf(declared(name, 'kubernetes_deployment_v1.workspace'));
const container = (name: KubernetesTemplateName, which: string) => {
  const found = containers(name).find((one) => one.name === which);
  if (found === undefined) throw new Error(`${name} has no container ${which}.`);
  return found;
};
const secretsOf = (one: { readonly body: Body }): readonly string[] =>
  blocksOf(one.body, 'env').flatMap((entry) => {
    const { key } = at(entry, 'value_from', 'secret_key_ref');
    return typeof key === 'string' ? [key] : [];
  });

describe.each(both)('the template %s', (name) => {
  it('is one pod of a Deployment that is replaced and never doubled (part of O-03 and P-22)', () => {
    expect(at(deployment(name), 'spec')).toMatchObject({ replicas: '1', strategy: { type: 'Recreate' } });
    expect(JSON.stringify(forms[name].json)).not.toMatch(/kubernetes_(cron_)?job/);
  });

  it('has the containers opencode-init, worker and opencode (part of O-04 and C-32)', () => {
    expect(containers(name).map((one) => [one.name, one.isInit])).toEqual([
      [init, true],
      [worker, false],
      [sidecar, false],
    ]);
  });

  it('fills /tools from the image of its own, and lets nobody else write there (part of O-01 and O-05)', () => {
    expect(container(name, init).image).toBe('${var.opencode_image}');
    expect(container(name, worker).image).toBe('${local.executor_image}');
    expect(container(name, sidecar).image).toBe('${local.executor_image}');
    expect(container(name, init).mounts.get(paths.tools)).toBe(false);
    expect(container(name, worker).mounts.get(paths.tools)).toBe(true);
    expect(container(name, sidecar).mounts.get(paths.tools)).toBe(true);
    expect(blocksOf(pod(name), 'volume')).toContainEqual({ name: 'tools', empty_dir: { size_limit: '256Mi' } });
    for (const which of [worker, sidecar]) {
      expect(container(name, which).environment).toMatchObject({ TOOLS_DIR: '/tools', OPENCODE_BIN: 'opencode' });
    }
  });

  it('keeps the home folder and the agent token from the agent, and its proof from the person (part of K-43)', () => {
    expect(container(name, worker).argv).toEqual(['/tools/enter', 'sh', '-c', '${coder_agent.main.init_script}']);
    expect(secretsOf(container(name, worker))).toEqual(['CODER_AGENT_TOKEN', 'OUTRIGGER_HARNESS_KEY']);
    expect(secretsOf(container(name, sidecar))).toEqual(['OUTRIGGER_PROOF', 'OUTRIGGER_HARNESS_KEY']);
    expect(secretsOf(container(name, init))).toEqual([]);
    expect(container(name, sidecar).mounts.has(paths.home)).toBe(false);
    expect(container(name, worker).mounts.has(paths.agent)).toBe(false);
  });

  it('O-69 gives every container a restricted security context, and the sidecar a root that it cannot write', () => {
    for (const one of containers(name)) {
      expect([one.name, at(one.body, 'security_context')]).toEqual([
        one.name,
        {
          allow_privilege_escalation: false,
          privileged: false,
          read_only_root_filesystem: one.name !== worker,
          run_as_non_root: true,
          run_as_user: '1000',
          run_as_group: '0',
          capabilities: { drop: ['ALL'] },
          seccomp_profile: { type: 'RuntimeDefault' },
        },
      ]);
    }
  });

  it('O-71 gives the sidecar a request of 512Mi and a limit of 4Gi', () => {
    expect(at(container(name, sidecar).body, 'resources')).toMatchObject({
      limits: { memory: '${local.agent_memory_mb}Mi' },
      requests: { memory: '512Mi' },
    });
    expect(body(name, 'local.agent_memory_mb').value).toBe(
      '${try(tonumber(data.coder_parameter.agent_memory[0].value), min(4096, var.max_memory_mb))}',
    );
  });

  it('limits CPU, memory and disk of every container (part of P-78 and S-55)', () => {
    for (const one of containers(name)) {
      const { limits } = at(one.body, 'resources') as { limits: Body };
      expect(Object.keys(limits).sort()).toEqual(['cpu', 'ephemeral-storage', 'memory']);
    }
  });

  it('shares nothing with its node and gets no token of the cluster (part of P-78)', () => {
    expect(pod(name)).toMatchObject({
      host_network: false,
      host_pid: false,
      host_ipc: false,
      share_process_namespace: false,
      automount_service_account_token: false,
      enable_service_links: false,
    });
    expect(JSON.stringify(forms[name].json)).not.toContain('host_path');
  });

  it('P-82 names every volume by the workspace id, and lets nobody in', () => {
    const claims = declarations(forms[name].json).filter(
      ({ type }) => type === 'kubernetes_persistent_volume_claim_v1',
    );
    expect(claims.map((claim) => [claim.name, at(claim.body, 'metadata').name]).sort()).toEqual(
      ['agent', 'home', 'workspace'].map((part) => [part, `coder-\${data.coder_workspace.me.id}-${part}`]),
    );
    const policy = at(body(name, 'kubernetes_network_policy_v1.workspace'), 'spec');
    expect(policy.policy_types).toEqual(['Ingress', 'Egress']);
    expect(blocksOf(policy, 'ingress')).toEqual([]);
  });

  it('keeps claims and the policy when the workspace stops, and nothing else', () => {
    const kept = declarations(forms[name].json)
      .filter(
        ({ kind, type, body: one }) => kind === 'resource' && type.startsWith('kubernetes') && one.count !== startCount,
      )
      .map(({ address }) => address)
      .sort();

    expect(kept).toEqual([
      'kubernetes_namespace_v1.workspace',
      'kubernetes_network_policy_v1.workspace',
      'kubernetes_persistent_volume_claim_v1.agent',
      'kubernetes_persistent_volume_claim_v1.home',
      'kubernetes_persistent_volume_claim_v1.workspace',
      'kubernetes_resource_quota_v1.workspace',
    ]);
  });

  it('is labelled as Coder and Kubernetes expect, and selects by id (part of C-32)', () => {
    expect(body(name, 'local.labels').value).toMatchObject({
      'app.kubernetes.io/name': 'coder-workspace',
      'app.kubernetes.io/part-of': 'coder',
      'com.coder.resource': 'true',
      'com.coder.workspace.name': '${data.coder_workspace.me.name}',
      'com.coder.user.username': '${data.coder_workspace_owner.me.name}',
      'outrigger/workspace-id': '${data.coder_workspace.me.id}',
    });
    expect(at(deployment(name), 'spec', 'selector').match_labels).toEqual({
      'app.kubernetes.io/name': 'coder-workspace',
      'com.coder.workspace.id': '${data.coder_workspace.me.id}',
    });
  });

  it('makes a new pod with each build, whose id it carries', () => {
    expect(at(deployment(name), 'spec', 'template', 'metadata').annotations).toMatchObject({
      'outrigger/build': '${coder_agent.main.id}',
      'kubectl.kubernetes.io/default-container': 'worker',
    });
  });

  it('puts secrets last, where no $(NAME) of a value before them is expanded', () => {
    for (const one of containers(name)) {
      const hidden = blocksOf(one.body, 'env').map((entry) => entry.value === undefined);
      expect(hidden).toEqual([...hidden].sort((a, b) => Number(a) - Number(b)));
    }
  });

  it('names the port of the editor "ide", and opens it nowhere', () => {
    expect(blocksOf(container(name, worker).body, 'port')).toEqual([
      { name: 'ide', container_port: '${var.ide_port}', protocol: 'TCP' },
    ]);
    expect(containers(name).flatMap((one) => blocksOf(one.body, 'port'))).toHaveLength(1);
  });

  it('begins with 1 CPU, 2048 MB and 10 GB (part of C-36)', () => {
    const byDefault = (parameter: string) => body(name, `data.coder_parameter.${parameter}`).default;

    expect(byDefault('cpu')).toBe('${tostring(min(1, var.max_cpu))}');
    expect(byDefault('memory')).toBe('${tostring(min(2048, var.max_memory_mb))}');
    expect(byDefault('disk')).toBe('${tostring(min(10, var.max_disk_gb))}');
  });
});

describe('the template kubernetes', () => {
  it('has nothing of Kata, as docker has not (part of K-05)', () => {
    const docker = templates.find((one) => one.name === 'docker');

    expect(forms.kubernetes.hcl).not.toMatch(/kata/i);
    expect(JSON.stringify(synthesizeTemplate(docker as NonNullable<typeof docker>))).not.toMatch(/kata/i);
  });

  it('O-73 leaves an empty RuntimeClass out', () => {
    expect(pod('kubernetes').runtime_class_name).toBe('${var.runtime_class == "" ? null : var.runtime_class}');
    expect(body('kata', 'var.runtime_class').default).toBe('kata-qemu');
    expect(pod('kata').runtime_class_name).toBe('${var.runtime_class}');
  });

  it('claims nothing that it would have to prove', () => {
    expect(container('kubernetes', sidecar).argv).toEqual(['/tools/enter', '/tools/opencode', '/tools/bridge.js']);
    expect(container('kubernetes', worker).environment).not.toHaveProperty('OUTRIGGER_RUNTIME');
  });
});

describe('the template kata', () => {
  it('starts the agent only once its isolation is proven, wherever the agent runs (part of K-25 and D15)', () => {
    expect(container('kata', sidecar).argv).toEqual([
      '/tools/enter',
      'sh',
      '-c',
      '/tools/runtime-proof check && exec "$0" "$@"',
      '/tools/opencode',
      '/tools/bridge.js',
    ]);
    expect(body('kata', 'coder_script.bridge').script).toContain(
      `/tools/enter sh -c '/tools/runtime-proof check && exec "$0" "$@"' /tools/opencode /tools/bridge.js`,
    );
    for (const which of [worker, sidecar]) {
      expect(container('kata', which).environment).toMatchObject({
        OUTRIGGER_RUNTIME: 'kata',
        OUTRIGGER_NODE_KERNELS: '${join(",", var.node_kernels)}',
        OUTRIGGER_RUNTIME_UNPROVEN: '${var.allow_unproven_runtime ? "allow" : ""}',
      });
    }
  });

  it('shows kernel, hypervisor and time of the proof, and calls itself only what was asked for', () => {
    const metadata = blocksOf(body('kata', 'coder_agent.main'), 'metadata');
    const shown = Object.fromEntries(metadata.map(({ key, script }) => [key, script]));
    const items = blocksOf(body('kata', 'coder_metadata.worker'), 'item').map(({ key, value }) => [key, value]);

    expect(shown).toMatchObject({
      kernel: '/tools/runtime-proof kernel',
      hypervisor: '/tools/runtime-proof hypervisor',
      verified_at: '/tools/runtime-proof verified_at',
    });
    expect(items.map(([key]) => key)).toEqual(expect.arrayContaining(['image', 'cpu', 'memory', 'disk', 'isolation']));
    expect(String(Object.fromEntries(items).isolation)).toContain('runtime class ${var.runtime_class}');
    expect(String(Object.fromEntries(items).isolation)).not.toMatch(/kata/i);
  });

  it('starts with no less than 2048 MB, and allows trusted', () => {
    expect(blocksOf(body('kata', 'data.coder_parameter.memory'), 'validation')[0]).toMatchObject({ min: 2048 });
    expect(body('kata', 'var.max_profile').default).toBe('trusted');
    expect(body('kubernetes', 'var.max_profile').default).toBe('ask');
  });

  it('can be copied with an image and sizes of somebody who asked for it', () => {
    const entry = templates.find((one) => one.name === 'kata') as (typeof templates)[number];
    const copy = (image: string, memoryMb = 4096) =>
      declarations(
        synthesizeTemplate({
          ...entry,
          stack: (scope, id) => entry.stack(scope, id, { image, defaults: { cpu: 16, memoryMb, diskGb: 200 } }),
        }),
      );
    const find = (all: readonly Declared[], address: string) => all.find((one) => one.address === address)?.body;

    const made = copy('ubuntu:24.04');
    expect(find(made, 'var.executor_images')?.default).toEqual(['ubuntu:24.04']);
    expect(find(made, 'data.coder_parameter.cpu')?.default).toBe('${tostring(min(16, var.max_cpu))}');
    expect(find(made, 'var.max_cpu')?.default).toBe(16);
    expect(find(made, 'var.max_disk_gb')?.default).toBe(200);
    expect(() => copy('x"} ${file("/etc/passwd")}')).toThrow('is no image');
    expect(() => copy('ubuntu:24.04', 1024)).toThrow('1024 MB of memory is below 2048 MB');
  });
});

describe('the Kubernetes provider', () => {
  it('is the only one beside that of Coder, in versions that are bounded (part of K-45)', () => {
    for (const { json } of Object.values(forms)) {
      expect((json.terraform as Body).required_providers).toEqual({
        coder: { source: 'coder/coder', version: '~> 2.16' },
        kubernetes: { source: 'hashicorp/kubernetes', version: '~> 2.38' },
      });
    }
  });
});
