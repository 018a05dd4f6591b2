import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import {
  chosen,
  coderFake,
  dockerFake,
  dockerHcl,
  dockerJson,
  inTemplateFolder,
  planOf,
  variables,
  workspace,
  type Plan,
} from '../support/terraform/docker-template.ts';
import { goPath, realCoderProvider, run, terraform, terraformPath } from '../support/terraform/terraform.ts';

const committed = readFileSync(new URL('../../templates/docker/main.tf', import.meta.url), 'utf8');
const allFakes = { 'coder/coder': coderFake, 'kreuzwerker/docker': dockerFake };
const withTerraform = terraformPath === null ? describe.skip : describe;
const withRealCoder = terraformPath === null || goPath === null ? describe.skip : describe;

/** Of a test that plans several times; a busy machine takes half a minute for one. */
const severalPlansMs = 300_000;
const planned = (plan: Plan, address: string) =>
  plan.planned_values.root_module.resources?.find((resource) => resource.address === address)?.values;

/** What must be equal. The provider invents an id for each parameter whenever it reads one. */
const comparable = ({
  variables: given,
  planned_values,
  resource_changes,
  output_changes,
  prior_state,
}: Plan): unknown =>
  JSON.parse(
    JSON.stringify({ given, planned_values, resource_changes, output_changes, prior_state }, function (key, value) {
      const invented = key === 'id' && (this as { form_type?: unknown }).form_type !== undefined;
      return invented ? undefined : (value as unknown);
    }),
  );

withTerraform('K-04 templates/docker/main.tf under real Terraform', () => {
  it('is what terraform fmt would write', async () => {
    await inTemplateFolder({ 'main.tf': committed }, async (cwd) => {
      expect(await terraform(['fmt', '-check', '-diff'], { cwd })).toBe('');
    });
  });

  it(
    'plans the same from the JSON and from the HCL',
    async () => {
      const [fromJson, fromHcl] = await withFakeProviders(
        allFakes,
        async (environment) => [
          await planOf('main.tf.json', JSON.stringify(dockerJson), environment),
          await planOf('main.tf', dockerHcl, environment),
        ],
        chosen({ git_repository: 'https://git.example.com/team/project.git', memory: '6144', cpu: '3' }),
      );

      expect(comparable(fromHcl)).toEqual(comparable(fromJson));
      expect(planned(fromHcl, 'docker_container.worker[0]')).toMatchObject({ memory: 6144, cpus: '3' });
      expect(planned(fromHcl, 'docker_container.worker[0]')?.['labels']).toEqual(
        expect.arrayContaining([
          { label: 'coder.workspace_id', value: workspace.id },
          { label: 'outrigger/workspace-id', value: workspace.id },
          { label: 'outrigger/container', value: 'worker' },
        ]),
      );
    },
    severalPlansMs,
  );

  it('starts nothing and keeps every volume while the workspace is stopped', async () => {
    const plan = await withFakeProviders(
      allFakes,
      async (environment) => await planOf('main.tf', committed, environment),
      chosen({}, 0),
    );

    const types = (plan.planned_values.root_module.resources ?? []).map(({ type }) => type);
    expect(types).not.toContain('docker_container');
    expect(types).not.toContain('docker_network');
    expect(types.filter((type) => type === 'docker_volume')).toHaveLength(7);
  });

  it('bounds every size by the variables of the admin', async () => {
    const small = { ...variables, max_cpu: 1, max_memory_mb: 2048 };
    const plan = await withFakeProviders(
      allFakes,
      async (environment) => await planOf('main.tf', committed, environment, small),
      chosen(),
    );

    expect(planned(plan, 'docker_container.worker[0]')).toMatchObject({ memory: 2048, cpus: '1' });
  });

  it('bounds the memory of the agent by what the admin allows, and offers no more in the form', async () => {
    const plan = await withFakeProviders(
      allFakes,
      async (environment) => await planOf('main.tf', committed, environment, { ...variables, max_memory_mb: 1024 }),
      chosen({ advanced: 'true' }),
    );

    expect(planned(plan, 'docker_container.opencode[0]')).toMatchObject({ memory: 1024, memory_swap: 1024 });
    expect(priorParameter(plan, 'agent_memory')).toMatchObject({
      default: '1024',
      validation: [{ min: 1024, max: 1024 }],
    });
  });

  it(
    'C-10 clones as the form says: how much, submodules too, and each further repository with its branch, name and whether work is pushed',
    async () => {
      const repository = 'https://git.example.com/team/project.git';
      const planWith = async (own: Readonly<Record<string, string>>) =>
        await withFakeProviders(
          allFakes,
          async (environment) => await planOf('main.tf', committed, environment),
          chosen({ git_repository: repository, ...own }),
        );
      const [usual, wanted] = [
        await planWith({}),
        await planWith({
          ...{ advanced: 'true', git_depth: '50', git_submodules: 'true' },
          more_repositories: JSON.stringify([
            `${repository}#release/2`,
            'https://git.example.com/team/docs.git name=pages autoPush=false',
            'https://git.example.com/team/x.git autopush=false',
          ]),
        }),
      ];
      const environment = (plan: Plan) => planned(plan, 'coder_agent.main')?.['env'];

      expect(environment(usual)).toMatchObject({ GIT_DEPTH: '1', GIT_RECURSE_SUBMODULES: 'false' });
      expect(environment(wanted)).toMatchObject({ GIT_DEPTH: '50', GIT_RECURSE_SUBMODULES: 'true' });
      const [, list = ''] =
        /REPOS_JSON_BASE64='([^']*)'/.exec(String(planned(wanted, 'coder_script.clone')?.['script'])) ?? [];
      const json = Buffer.from(list, 'base64').toString();
      expect(JSON.parse(json)).toEqual([
        { url: repository, branch: 'release/2', name: null, autoPush: true },
        { url: 'https://git.example.com/team/docs.git', branch: null, name: 'pages', autoPush: false },
        // Whole, so that the clone refuses it, rather than with a word that was overlooked.
        { url: 'https://git.example.com/team/x.git autopush=false', branch: null, name: null, autoPush: true },
      ]);
      // The bridge reads there what is not to be pushed.
      for (const container of ['worker', 'opencode'])
        expect(planned(wanted, `docker_container.${container}[0]`)?.['env']).toContain(`REPOS_JSON=${json}`);
    },
    severalPlansMs,
  );

  it('takes the provisioner’s own login for the registries that the admin names, and no password', async () => {
    const registries = ['registry.example.com', 'registry.example.com:5000'];
    const plan = await withFakeProviders(
      allFakes,
      async (environment) => await planOf('main.tf', committed, environment, { ...variables, registries }),
      chosen(),
    );

    expect(plan.variables).toMatchObject({ registries: { value: registries } });
    expect(/provider "docker" \{[^]*?\n\}/.exec(committed)?.[0]).toMatch(
      /dynamic "registry_auth" \{\n {4}for_each = var\.registries\n\n {4}content \{\n {6}address = registry_auth\.value\n {4}\}/,
    );
    expect(Object.keys(dockerJson.variable ?? {}).filter((name) => /password|username|login/.test(name))).toEqual([]);
  });

  it.each([
    ['a registry with a path', { registries: ['https://registry.example.com/v2'] }, 'Name each by its host alone'],
    ['an image without a digest', { executor_images: ['debian:12'] }, 'Pin every image by digest'],
    ['no image at all', { executor_images: [] }, 'Offer at least one image'],
    ['two images people cannot tell apart', { executor_images: twice(variables.executor_images[0]) }, 'of its own'],
    ['an unpinned OpenCode image', { opencode_image: 'opencode:latest' }, 'Pin the image by digest'],
    ['something that is no template secret', { outrigger_secret: 'hunter2' }, 'This is no template secret'],
    ['an unknown profile', { max_profile: 'root' }, 'Choose one of read-only, ask, trusted'],
    ['five attempts at once', { agent_slots: 5 }, 'Give a whole number from 1 to 4'],
    ['an address with a password in it', { outrigger_url: 'https://a:b@example.com' }, 'Give a scheme and a host'],
  ])('refuses %s', async (_what, wrong, message) => {
    const failure = await withFakeProviders(
      allFakes,
      async (environment) => await planOf('main.tf', committed, environment, { ...variables, ...wrong }).catch(String),
      chosen(),
    );

    expect(String(failure).replace(/\s*\n[│\s]*/g, ' ')).toContain(message);
  });

  it(
    'has no default for the secret or an image',
    async () => {
      for (const name of ['outrigger_secret', 'opencode_image', 'executor_images', 'outrigger_url'] as const) {
        const { [name]: _left, ...rest } = variables;
        const failure = await withFakeProviders(
          allFakes,
          async (environment) => await planOf('main.tf', committed, environment, rest).catch(String),
          chosen(),
        );
        expect(String(failure)).toMatch(new RegExp(`No value for required variable[\\s\\S]*"${name}"`));
      }
    },
    severalPlansMs,
  );

  it('derives the proof as the service does', async () => {
    const expression = /OUTRIGGER_PROOF=([^\n]+)",\n/.exec(committed)?.[1] ?? '';
    const agentId = '5a9e9ad0-1b0f-4c1c-8d4a-4f7fb1d9f001';
    const asLocals = expression
      .replaceAll('data.coder_workspace.me.id', 'local.workspace')
      .replaceAll('data.coder_workspace_owner.me.id', 'local.owner')
      .replaceAll('coder_agent.main.id', 'local.agent');
    const secret = `ors_0123456789ab_${'Az_-9'.repeat(9).slice(0, 43)}`;
    const module = `variable "outrigger_secret" {}
locals {
  workspace = "${workspace.id}"
  owner     = "${workspace.ownerId}"
  agent     = "${agentId}"
}
output "proof" { value = "${asLocals}" }
`;

    const proof = await inTemplateFolder({ 'main.tf': module }, async (cwd) => {
      await terraform(['apply', '-auto-approve', '-input=false', `-var=outrigger_secret=${secret}`], { cwd });
      return await terraform(['output', '-raw', 'proof'], { cwd });
    });

    expect(proof).toBe(deriveProof(secret, workspace.id, workspace.ownerId, agentId));
  });
});

withRealCoder('K-04 templates/docker/main.tf under the real coder provider', () => {
  beforeAll(async () => {
    await realCoderProvider();
  }, 600_000);

  it(
    'passes the checks that only the provider makes, and plans the same from JSON and HCL',
    async () => {
      const configuration = await realCoderProvider();
      const coder = {
        TF_CLI_CONFIG_FILE: configuration,
        CODER_WORKSPACE_ID: workspace.id,
        CODER_WORKSPACE_NAME: workspace.name,
        CODER_WORKSPACE_OWNER_ID: workspace.ownerId,
        CODER_WORKSPACE_OWNER: workspace.owner,
      };

      const [fromJson, fromHcl] = await withFakeProviders({ 'kreuzwerker/docker': dockerFake }, async (environment) => [
        await planOf('main.tf.json', JSON.stringify(dockerJson), { ...environment, ...coder }),
        await planOf('main.tf', committed, { ...environment, ...coder }),
      ]);

      expect(planned(fromHcl, 'docker_container.worker[0]')).toMatchObject({
        name: 'coder-ada-blue-whale',
        image: variables.executor_images[0],
        memory: 2048,
      });
      expect(planned(fromHcl, 'docker_volume.home')).toMatchObject({ name: `coder-${workspace.id}-home` });
      expect(comparable(fromHcl)).toEqual(comparable(fromJson));
    },
    severalPlansMs,
  );

  it.each([
    ['git_repository', 'https://token@git.example.com/team/project.git', 'without a user name, password or token'],
    ['git_repository', '--upload-pack=/bin/sh', 'without a user name, password or token'],
    ['git_ref', '--orphan', 'Give a branch, tag or commit'],
    ['git_ref', '$(id)', 'Give a branch, tag or commit'],
    ['permission_profile', 'trusted', 'Value must be a valid option'],
    ['executor_image', 'debian:12', 'Value must be a valid option'],
    ['memory', '65536', 'from 512 to 16384'],
    ['cpu', '0', 'from 1 to 8'],
  ])('refuses %s = %s', async (name, value, message) => {
    const typed = (one: string): string => `CODER_PARAMETER_${createHash('sha256').update(one).digest('hex')}`;
    // A branch is asked for only where there is a repository.
    const repository = { [typed('git_repository')]: 'https://git.example.com/team/project.git' };
    const coder = { TF_CLI_CONFIG_FILE: await realCoderProvider(), ...repository, [typed(name)]: value };

    const failure = await withFakeProviders(
      { 'kreuzwerker/docker': dockerFake },
      async (environment) => await planOf('main.tf', committed, { ...environment, ...coder }).catch(String),
    );

    expect(String(failure).replace(/\s*\n[│\s]*/g, ' ')).toContain(message);
  });

  it('offers trusted once the admin allows it', async () => {
    const parameter = `CODER_PARAMETER_${createHash('sha256').update('permission_profile').digest('hex')}`;
    const coder = { TF_CLI_CONFIG_FILE: await realCoderProvider(), [parameter]: 'trusted' };
    const allowing = { ...variables, max_profile: 'trusted' };

    const plan = await withFakeProviders(
      { 'kreuzwerker/docker': dockerFake },
      async (environment) => await planOf('main.tf', committed, { ...environment, ...coder }, allowing),
    );

    expect(JSON.stringify(planned(plan, 'coder_metadata.worker[0]'))).toContain('"trusted"');
  });

  it('is built once and then taken from the cache', async () => {
    const finished = await run(new URL('../../scripts/terraform-providers.sh', import.meta.url).pathname, []);

    expect(finished.code).toBe(0);
    expect(finished.stderr).toBe('');
  });
});

/** What the form offered, as the provider was told it. */
function priorParameter(plan: Plan, name: string): unknown {
  const state = (plan.prior_state as { values: { root_module: { resources: Record<string, unknown>[] } } }).values;
  const found = state.root_module.resources.find((one) => one.type === 'coder_parameter' && one.name === name);
  return found?.values;
}

function twice(image: string | undefined): readonly string[] {
  return [image ?? '', image ?? ''];
}
