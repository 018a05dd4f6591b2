import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { withFakeProviders, type DataValues } from '../support/terraform/fake-providers.ts';
import {
  chosen,
  inTemplateFolder,
  planOf,
  variables,
  workspace,
  type Plan,
} from '../support/terraform/docker-template.ts';
import {
  firstOf,
  kubernetesFake,
  kubernetesFakes,
  kubernetesForms,
  kubernetesVariables,
  planned,
  plannedPod,
  type KubernetesTemplateName,
} from '../support/terraform/kubernetes-template.ts';
import { goPath, realCoderProvider, terraform, terraformPath } from '../support/terraform/terraform.ts';

const templateNames = (['kubernetes', 'kata'] as const).map((name) => [name] as const);
const committed = (name: string) => readFileSync(new URL(`../../templates/${name}/main.tf`, import.meta.url), 'utf8');
const withTerraform = terraformPath === null ? describe.skip : describe;
const withRealCoder = terraformPath === null || goPath === null ? describe.skip : describe;
/** Of a test that plans several times; a busy machine takes half a minute for one. */
const severalPlansMs = 300_000;
const oneLine = (text: unknown): string => String(text).replace(/\s*\n[│\s]*/g, ' ');

const plan = async (
  name: KubernetesTemplateName,
  given: Readonly<Record<string, unknown>> = {},
  answers: DataValues = chosen(),
): Promise<Plan> =>
  await withFakeProviders(
    kubernetesFakes,
    async (environment) =>
      await planOf('main.tf', committed(name), environment, { ...kubernetesVariables[name], ...given }),
    answers,
  );

/** What must be equal. The provider invents an id for each parameter whenever it reads one. */
const comparable = ({ variables: given, planned_values, resource_changes, prior_state }: Plan): unknown =>
  JSON.parse(
    JSON.stringify({ given, planned_values, resource_changes, prior_state }, function (key, value) {
      const invented = key === 'id' && (this as { form_type?: unknown }).form_type !== undefined;
      return invented ? undefined : (value as unknown);
    }),
  );

withTerraform.each(templateNames)('K-04 templates/%s/main.tf under real Terraform', (name) => {
  it('is what terraform fmt would write', async () => {
    await inTemplateFolder({ 'main.tf': committed(name) }, async (cwd) => {
      expect(await terraform(['fmt', '-check', '-diff'], { cwd })).toBe('');
    });
  });

  it(
    'plans the same from the JSON and from the HCL',
    async () => {
      const { json, hcl } = kubernetesForms(name);
      const given = {
        ...kubernetesVariables[name],
        image_pull_secrets: ['registry'],
        tolerations: [{ key: 'dedicated', operator: 'Exists' }],
        node_selector: { pool: 'workspaces' },
        egress_cidrs: ['0.0.0.0/0', '10.0.0.0/8'],
        egress_ports: [22, 443],
        dns_cidrs: ['169.254.20.10/32'],
        create_namespace: true,
        quota: { 'limits.memory': '32Gi' },
      };
      const [fromJson, fromHcl] = await withFakeProviders(
        kubernetesFakes,
        async (environment) => [
          await planOf('main.tf.json', JSON.stringify(json), environment, given),
          await planOf('main.tf', hcl, environment, given),
        ],
        chosen({ memory: '6144', cpu: '3', disk: '30' }),
      );

      expect(comparable(fromHcl)).toEqual(comparable(fromJson));
      const [worker, agent] = plannedPod(fromHcl).container as Record<string, unknown>[];
      expect(firstOf(worker, 'resources')).toMatchObject({ limits: { cpu: '3', memory: '6144Mi' } });
      expect([worker?.name, agent?.name]).toEqual(['worker', 'opencode']);
      expect(plannedPod(fromHcl)).toMatchObject({
        image_pull_secrets: [{ name: 'registry' }],
        toleration: [{ key: 'dedicated', operator: 'Exists' }],
        node_selector: { 'kubernetes.io/arch': 'amd64', pool: 'workspaces' },
      });
      const claim = planned(fromHcl, 'kubernetes_persistent_volume_claim_v1.workspace');
      expect(firstOf(claim, 'spec', 'resources')).toMatchObject({ requests: { storage: '30Gi' } });
      const namespace = `coder-workspaces-${workspace.id.replaceAll('-', '').slice(0, 12)}`;
      expect(firstOf(planned(fromHcl, 'kubernetes_namespace_v1.workspace[0]'), 'metadata')).toMatchObject({
        name: namespace,
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      });
      expect(firstOf(claim, 'metadata')).toMatchObject({ namespace });
      expect(firstOf(planned(fromHcl, 'kubernetes_resource_quota_v1.workspace[0]'), 'spec')).toMatchObject({
        hard: { 'limits.memory': '32Gi' },
      });
    },
    severalPlansMs,
  );

  it('S-56 puts everything into the namespace that the admin names, for each owner where they say so', async () => {
    const made = await plan(name, { namespace: 'coder-{owner}' });
    const resources = (made.planned_values.root_module.resources ?? []).filter(({ type }) =>
      type.startsWith('kubernetes_'),
    );

    expect(resources.map(({ type }) => type)).not.toContain('kubernetes_namespace_v1');
    expect(new Set(resources.map(({ values }) => firstOf(values, 'metadata').namespace))).toEqual(
      new Set(['coder-ada']),
    );
  });

  it(
    'gives each workspace a namespace whose name begins with its owner, where the admin wants both',
    async () => {
      const made = await plan(name, { namespace: 'team-of-{owner}', create_namespace: true });
      const [shown] = [firstOf(planned(made, 'kubernetes_namespace_v1.workspace[0]'), 'metadata').name];

      expect(shown).toBe(`team-of-ada-${workspace.id.replaceAll('-', '').slice(0, 12)}`);
      const tooLong = { namespace: `${'x'.repeat(19)}{owner}`, create_namespace: true };
      expect(oneLine(await plan(name, tooLong).catch(String))).toContain('or 50 with create_namespace');
    },
    severalPlansMs,
  );

  it(
    'gives the agent no more memory than the admin allows a person',
    async () => {
      const memory = async (max: number, owner: Readonly<Record<string, string>> = {}) => {
        const [, agent] = plannedPod(await plan(name, { max_memory_mb: max }, chosen(owner))).container as Record<
          string,
          unknown
        >[];
        return firstOf(agent, 'resources').limits;
      };

      expect(await memory(16_384)).toMatchObject({ memory: '4096Mi' });
      expect(await memory(2048)).toMatchObject({ memory: '2048Mi' });
      expect(await memory(16_384, { advanced: 'true', agent_memory: '6144' })).toMatchObject({ memory: '6144Mi' });
    },
    severalPlansMs,
  );

  it('runs nothing and keeps the claims and their policy while the workspace is stopped', async () => {
    const made = await plan(name, {}, chosen({}, 0));
    const kept = (made.planned_values.root_module.resources ?? [])
      .map(({ address }) => address)
      .filter((address) => address.startsWith('kubernetes_'));

    expect(kept.sort()).toEqual([
      'kubernetes_network_policy_v1.workspace',
      'kubernetes_persistent_volume_claim_v1.agent',
      'kubernetes_persistent_volume_claim_v1.home',
      'kubernetes_persistent_volume_claim_v1.workspace',
    ]);
  });

  it(
    'gives the store of Nix a disk of the pod, and an image without Nix none',
    async () => {
      const nixImage = `registry.example.com/outrigger-agent-nix:1@sha256:${'c'.repeat(64)}`;
      const store = async (executor_images: readonly string[]) => {
        const { volume } = plannedPod(await plan(name, { executor_images })) as { volume: { name: string }[] };
        const found = volume.filter((one) => one.name === 'nix');
        expect(found).toHaveLength(1);
        return found[0];
      };
      const disk = firstOf(await store([nixImage]), 'ephemeral', 'volume_claim_template', 'spec');

      expect(firstOf(disk, 'resources').requests).toEqual({ storage: '20Gi' });
      expect(await store(variables.executor_images)).toMatchObject({ empty_dir: [{ size_limit: '1Mi' }] });
    },
    severalPlansMs,
  );

  it('has one container where the bridge runs in the worker', async () => {
    const made = await plan(name, { agent_modes: ['process'] });

    expect((plannedPod(made).container as { name: string }[]).map((one) => one.name)).toEqual(['worker']);
  });

  it(
    'spares the metadata address wherever every address is allowed, and allows none where the list is empty',
    async () => {
      const egress = async (egress_cidrs: readonly string[]) => {
        const policy = planned(await plan(name, { egress_cidrs }), 'kubernetes_network_policy_v1.workspace');
        return (
          firstOf(policy, 'spec').egress as { to: { ip_block: unknown[]; namespace_selector: unknown[] }[] }[]
        ).map(({ to }) => to.flatMap(({ ip_block: block }) => block));
      };

      expect(await egress(['0.0.0.0/0', '::/0', '10.0.0.0/8'])).toContainEqual([
        { cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] },
        { cidr: '::/0', except: ['fd00:ec2::254/128'] },
        { cidr: '10.0.0.0/8', except: [] },
      ]);
      expect(await egress([])).toEqual([[]]);
    },
    severalPlansMs,
  );
});

withTerraform('templates/kubernetes/main.tf', () => {
  it.each([
    ['an image without a digest', { executor_images: ['debian:12'] }, 'Pin every image by digest'],
    ['something that is no template secret', { outrigger_secret: 'hunter2' }, 'This is no template secret'],
    ['a range that holds the metadata address', { egress_cidrs: ['169.254.0.0/16'] }, 'hand out credentials'],
    ['a wide range that holds it', { egress_cidrs: ['160.0.0.0/3'] }, 'hand out credentials'],
    ['the same in IPv6', { egress_cidrs: ['fd00::/8'] }, 'hand out credentials'],
    ['every address by another name', { egress_cidrs: ['1.2.3.4/0'] }, 'hand out credentials'],
    ['what is no range', { egress_cidrs: ['example.com'] }, 'Give ranges such as'],
    ['a name server at the metadata address', { dns_cidrs: ['169.254.169.254/32'] }, 'none that holds'],
    ['a port that does not exist', { egress_ports: [70000] }, 'Give ports from 1 to 65535'],
    ['a namespace that Kubernetes refuses', { namespace: 'Team_A' }, 'Use lower-case letters'],
    ['a quota of a shared namespace', { quota: { pods: '1' } }, 'needs create_namespace = true'],
    ['a RuntimeClass that Kubernetes refuses', { runtime_class: 'Kata/Qemu' }, 'Give the name of a RuntimeClass'],
  ])('refuses %s', async (_what, wrong, message) => {
    expect(oneLine(await plan('kubernetes', wrong).catch(String))).toContain(message);
  });

  it('names a RuntimeClass only where the admin does', async () => {
    expect(plannedPod(await plan('kubernetes')).runtime_class_name).toBeNull();
    expect(plannedPod(await plan('kubernetes', { runtime_class: 'gvisor' })).runtime_class_name).toBe('gvisor');
  });
});

withTerraform('templates/kata/main.tf', () => {
  it('asks for kata-qemu and tells the workspace the kernels of the nodes', async () => {
    const pod = plannedPod(await plan('kata'));
    const [worker] = pod.container as { env: { name: string; value: string }[] }[];
    const environment = Object.fromEntries((worker?.env ?? []).map(({ name, value }) => [name, value]));

    expect(pod.runtime_class_name).toBe('kata-qemu');
    expect(environment).toMatchObject({
      OUTRIGGER_RUNTIME: 'kata',
      OUTRIGGER_NODE_KERNELS: '6.1.0-30-amd64,6.1.0-31-amd64',
    });
  });

  it('wants to know the kernels, unless the admin does without a proof', async () => {
    const accepted = { node_kernels: [], allow_unproven_runtime: true };
    const [worker] = plannedPod(await plan('kata', accepted)).container as { env: unknown[] }[];

    expect(worker?.env).toContainEqual(expect.objectContaining({ name: 'OUTRIGGER_RUNTIME_UNPROVEN', value: 'allow' }));
    expect(oneLine(await plan('kata', { node_kernels: [] }).catch(String))).toContain('Name the kernel of every node');
  });

  it('bounds memory from below', async () => {
    expect(oneLine(await plan('kata', { max_memory_mb: 1024 }).catch(String))).toContain('whole number from 2048');
  });
});

withRealCoder.each(templateNames)('templates/%s/main.tf under the real coder provider', (name) => {
  const coder = async (parameters: Readonly<Record<string, string>> = {}) => ({
    TF_CLI_CONFIG_FILE: await realCoderProvider(),
    CODER_WORKSPACE_ID: workspace.id,
    CODER_WORKSPACE_NAME: workspace.name,
    CODER_WORKSPACE_OWNER_ID: workspace.ownerId,
    CODER_WORKSPACE_OWNER: workspace.owner,
    ...Object.fromEntries(
      Object.entries(parameters).map(([parameter, value]) => [
        `CODER_PARAMETER_${createHash('sha256').update(parameter).digest('hex')}`,
        value,
      ]),
    ),
  });
  const planWith = async (parameters: Readonly<Record<string, string>>): Promise<Plan> => {
    const environment = await coder(parameters);
    return await withFakeProviders(
      { 'hashicorp/kubernetes': kubernetesFake },
      async (fakes) =>
        await planOf('main.tf', committed(name), { ...fakes, ...environment }, kubernetesVariables[name]),
    );
  };

  beforeAll(async () => {
    await realCoderProvider();
  }, 600_000);

  it('passes the checks that only the provider makes', async () => {
    const made = await planWith({});

    expect(firstOf(planned(made, 'kubernetes_deployment_v1.workspace[0]'), 'metadata').name).toBe(
      `coder-${workspace.id}`,
    );
    expect(plannedPod(made).hostname).toBe('blue-whale');
    expect((plannedPod(made).container as { image: string }[]).map(({ image }) => image)).toEqual([
      variables.executor_images[0],
      variables.executor_images[0],
    ]);
  });

  it(
    'P-32 offers the presets node, python, rust and full-stack, each of which evaluates',
    async () => {
      const made = await planWith({});
      const state = (made.prior_state as { values: { root_module: { resources: Record<string, unknown>[] } } }).values;
      const presets = state.root_module.resources
        .filter(({ type }) => type === 'coder_workspace_preset')
        .map(({ values }) => values as { name: string; default: boolean; parameters: Record<string, string> });

      expect(presets.map((preset) => preset.name).sort()).toEqual(['full-stack', 'nix', 'node', 'python', 'rust']);
      expect(presets.filter((preset) => preset.default).map((preset) => preset.name)).toEqual(['node']);
      for (const preset of presets) {
        const chosenBy = await planWith(preset.parameters);
        const [worker] = plannedPod(chosenBy).container as Record<string, unknown>[];
        expect([preset.name, worker?.image, firstOf(worker, 'resources').limits]).toEqual([
          preset.name,
          expect.stringMatching(new RegExp(`^${preset.parameters.executor_image ?? '-'}[:@]`)),
          expect.objectContaining({ cpu: preset.parameters.cpu, memory: `${preset.parameters.memory ?? ''}Mi` }),
        ]);
      }
    },
    severalPlansMs,
  );

  it.each([
    ['git_repository', 'https://token@git.example.com/team/project.git', 'without a user name, password or token'],
    ['executor_image', 'debian:12', 'Value must be a valid option'],
    ['memory', '64', 'less than the minimum'],
    ['disk', '500', 'more than the maximum 100'],
  ])('refuses %s = %s', async (parameter, value, message) => {
    expect(oneLine(await planWith({ [parameter]: value }).catch(String))).toMatch(
      new RegExp(`${message}|Give a whole number`),
    );
  });
});
