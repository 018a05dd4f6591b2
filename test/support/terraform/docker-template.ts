import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FakeSchema } from './schema-messages.ts';
import type { DataValues } from './fake-providers.ts';
import { coderSchema, dockerSchema } from '../../../modules/hcl/schemas/index.ts';
import { printHcl } from '../../../modules/hcl/print.ts';
import { templateSchemas } from '../../../modules/hcl/schemas/index.ts';
import { synthesizeTemplate } from '../../../scripts/template.ts';
import { templates } from '../../../stacks/templates.ts';
import { terraform } from './terraform.ts';

const digest = (character: string): string => `@sha256:${character.repeat(64)}`;

/** What an admin would give the docker template. */
export const variables = {
  outrigger_url: 'https://outrigger.example.com',
  outrigger_secret: `ors_0123456789ab_${'s'.repeat(43)}`,
  executor_images: [`registry.example.com/base:1${digest('a')}`, `registry.example.com/devbox:2${digest('b')}`],
  opencode_image: `registry.example.com/opencode:1.18.33${digest('c')}`,
};

/** The workspace that the fakes and the real coder provider are told about. */
export const workspace = {
  id: '2c1d7f3e-8d50-4a4b-9f53-0e7f5a6b1c22',
  name: 'Blue-Whale',
  ownerId: '7b8e',
  owner: 'ada',
};

export const coderFake = coderSchema.provider_schemas['coder/coder'] as FakeSchema;
export const dockerFake = dockerSchema.provider_schemas['kreuzwerker/docker'] as FakeSchema;

/** Answers of Coder's data sources: a started workspace whose owner chose every default. */
export const chosen =
  (own: Readonly<Record<string, string>> = {}, startCount = 1): DataValues =>
  (type, configuration) => {
    if (type === 'coder_parameter') return { value: own[String(configuration.name)] ?? configuration.default };
    if (type === 'coder_workspace') return { id: workspace.id, name: workspace.name, start_count: startCount };
    if (type === 'coder_workspace_owner') return { id: workspace.ownerId, name: workspace.owner, full_name: 'Ada L.' };
    return {};
  };

const entry = templates.find(({ name }) => name === 'docker');
if (entry === undefined) throw new Error('There is no template "docker".');

/** The two forms of the template. */
export const dockerJson = synthesizeTemplate(entry);
export const dockerHcl = printHcl(dockerJson, templateSchemas);

/** Runs `use` in a folder that holds one form of the template and the variables. */
export async function inTemplateFolder<Result>(
  files: Readonly<Record<string, string>>,
  use: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-template-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface Plan {
  readonly variables: unknown;
  readonly planned_values: { readonly root_module: { readonly resources?: readonly PlannedResource[] } };
  readonly resource_changes: unknown;
  readonly output_changes?: unknown;
  readonly prior_state: unknown;
}

export interface PlannedResource {
  readonly address: string;
  readonly type: string;
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Terraform's own init, validate and plan of one form. */
export async function planOf(
  file: string,
  text: string,
  environment: Readonly<Record<string, string>>,
  values: Readonly<Record<string, unknown>> = variables,
): Promise<Plan> {
  const files = { [file]: text, 'given.auto.tfvars.json': JSON.stringify(values) };
  return await inTemplateFolder(files, async (cwd) => {
    await terraform(['init', '-backend=false', '-input=false', '-no-color'], { cwd, environment });
    await terraform(['validate', '-no-color'], { cwd, environment });
    await terraform(['plan', '-input=false', '-no-color', '-lock=false', '-out=plan.bin'], { cwd, environment });
    return JSON.parse(await terraform(['show', '-json', 'plan.bin'], { cwd, environment })) as Plan;
  });
}
