import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { sentFiles } from '../../scripts/template-package.ts';
import { readTree } from '../../scripts/tree.ts';
import { chosen, coderFake, dockerFake, inTemplateFolder, workspace } from '../support/terraform/docker-template.ts';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import { kubernetesFake } from '../support/terraform/kubernetes-template.ts';
import {
  goPath,
  realCoderProvider,
  run,
  terraform,
  terraformPath,
  type Finished,
} from '../support/terraform/terraform.ts';

/**
 * `terraform test` of each template: the files of test/templates/terraform/NAME beside the committed main.tf.
 *
 * By hand, where Terraform finds the real providers: copy those, given.auto.tfvars.json and main.tf into an empty folder,
 * `terraform init`, `terraform test`. They are kept out of templates/, because everything there is sent to Coder.
 */
const names = ['docker', 'kubernetes', 'kata'] as const;
type Name = (typeof names)[number];

const folder = (name: Name): string => fileURLToPath(new URL(`../../templates/${name}`, import.meta.url));
const template = (name: Name): string => readFileSync(join(folder(name), 'main.tf'), 'utf8');
const beside = fileURLToPath(new URL('terraform', import.meta.url));
const given = readFileSync(join(beside, 'given.auto.tfvars.json'), 'utf8');
const tests = (name: Name): Readonly<Record<string, string>> => Object.fromEntries(readTree(join(beside, name)));
const platformFake = (name: Name) =>
  name === 'docker' ? { 'kreuzwerker/docker': dockerFake } : { 'hashicorp/kubernetes': kubernetesFake };

const withTerraform = terraformPath === null ? describe.skip : describe;

/** `terraform test` of one template's text. `coder` is the environment in which Terraform finds the real provider. */
async function tested(name: Name, text: string, coder?: Readonly<Record<string, string>>): Promise<Finished> {
  const fakes = { ...platformFake(name), ...(coder === undefined ? { 'coder/coder': coderFake } : {}) };
  const files = { 'main.tf': text, 'given.auto.tfvars.json': given, ...tests(name) };
  return await withFakeProviders(
    fakes,
    async (environment) =>
      await inTemplateFolder(files, async (cwd) => {
        const options = { cwd, environment: { ...environment, ...coder } };
        await terraform(['init', '-backend=false', '-input=false', '-no-color'], options);
        return await run('terraform', ['test', '-no-color'], options);
      }),
    chosen(),
  );
}

/** Where the real coder provider can be built it is asked, because only it has Coder's rules for a form. */
const realCoder = async (): Promise<Readonly<Record<string, string>> | undefined> =>
  goPath === null
    ? undefined
    : {
        TF_CLI_CONFIG_FILE: await realCoderProvider(),
        CODER_WORKSPACE_ID: workspace.id,
        CODER_WORKSPACE_NAME: workspace.name,
        CODER_WORKSPACE_OWNER_ID: workspace.ownerId,
        CODER_WORKSPACE_OWNER: workspace.owner,
      };

const runsOf = (name: Name): number =>
  Object.values(tests(name))
    .join('')
    .match(/^run "/gm)?.length ?? 0;

/** Where a text is spoiled, with what, and the run that must see it. */
type Fault = readonly [what: string | RegExp, by: string, run: string];
const faults: Readonly<Record<Name, readonly Fault[]>> = {
  docker: [
    [/privileged( +)= false/g, 'privileged$1= true', 'starts_two_containers_that_can_do_nothing_to_their_host'],
    ['regex = "^(${join("|"', 'regex = "(${join("|"', 'refuses_an_image_from_elsewhere'],
    ['tostring(min(2, var.max_cpu))', '"2"', 'bounds_every_size_by_the_admin'],
    ['@sha256:[0-9a-f]{64}$", image', '", image', 'refuses_images_without_a_digest'],
    ['"no_user_data"', '"all"', 'puts_the_agent_beside_the_person_only_where_the_admin_allows_it'],
  ],
  kubernetes: [
    [/service_account_token( +)= false/g, 'service_account_token$1= true', 'passes_pod_security_restricted'],
    ['tostring(min(4096, var.max_memory_mb))', '"4096"', 'bounds_every_size_by_the_admin'],
    ['169.254.169.254/', '192.0.2.1/', 'refuses_what_would_open_the_cluster'],
  ],
  kata: [
    ['/tools/runtime-proof check && ', '', 'starts_in_process_only_after_the_proof'],
    [
      /runtime_class_name( +)= var.runtime_class/g,
      'runtime_class_name$1= null',
      'runs_in_a_virtual_machine_and_proves_it_before_the_agent_starts',
    ],
    ['|| var.allow_unproven_runtime', '|| true', 'refuses_to_start_without_the_kernels_of_the_nodes'],
    ['min   = 2048', 'min   = 512', 'has_the_memory_that_a_virtual_machine_needs'],
  ],
};

withTerraform('terraform test of the templates (part of K-04)', () => {
  beforeAll(async () => {
    await realCoder();
  }, 600_000);

  it('are written as terraform fmt writes', async () => {
    expect(await terraform(['fmt', '-check', '-diff', '-recursive'], { cwd: beside })).toBe('');
  });

  it.each(names)(
    '%s passes its own',
    async (name) => {
      const { stdout, stderr } = await tested(name, template(name), await realCoder());

      expect(stderr).toBe('');
      expect(stdout).toContain(`Success! ${runsOf(name)} passed, 0 failed.`);
    },
    180_000,
  );

  it.each(names)(
    '%s fails where it was made worse',
    async (name) => {
      const spoiled = faults[name].reduce((text, [what, by]) => {
        const worse = text.replaceAll(what, by);
        expect(worse).not.toBe(text);
        return worse;
      }, template(name));

      const { stdout } = await tested(name, spoiled);
      const failed = [...stdout.matchAll(/run "(\w+)"\.\.\. fail/g)].map(([, one]) => one);

      expect(failed.sort()).toEqual([...new Set(faults[name].map(([, , one]) => one))].sort());
    },
    180_000,
  );

  it.each(names)('%s sends none of them to Coder', (name) => {
    expect([...sentFiles(readTree(folder(name))).keys()].filter((path) => path.includes('.tftest.'))).toEqual([]);
  });
});
