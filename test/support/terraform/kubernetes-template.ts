import { printHcl } from '../../../modules/hcl/print.ts';
import { kubernetesSchema, templateSchemas } from '../../../modules/hcl/schemas/index.ts';
import type { JsonObject } from '../../../modules/hcl/values.ts';
import { synthesizeTemplate } from '../../../scripts/template.ts';
import { templates } from '../../../stacks/templates.ts';
import { coderFake, variables, type Plan } from './docker-template.ts';
import type { FakeSchema } from './schema-messages.ts';

export type KubernetesTemplateName = 'kubernetes' | 'kata';

export const kubernetesFake = kubernetesSchema.provider_schemas['hashicorp/kubernetes'] as FakeSchema;
export const kubernetesFakes = { 'coder/coder': coderFake, 'hashicorp/kubernetes': kubernetesFake };

/** What an admin would give each template. */
export const kubernetesVariables: Readonly<Record<KubernetesTemplateName, Readonly<Record<string, unknown>>>> = {
  kubernetes: variables,
  kata: { ...variables, node_kernels: ['6.1.0-30-amd64', '6.1.0-31-amd64'] },
};

/** The two forms of a template. */
export function kubernetesForms(name: KubernetesTemplateName): { readonly json: JsonObject; readonly hcl: string } {
  const entry = templates.find((one) => one.name === name);
  if (entry === undefined) throw new Error(`There is no template "${name}".`);
  const json = synthesizeTemplate(entry);
  return { json, hcl: printHcl(json, templateSchemas) };
}

type Values = Readonly<Record<string, unknown>>;

/** Values of one planned resource. */
export function planned(plan: Plan, address: string): Values | undefined {
  return plan.planned_values.root_module.resources?.find((resource) => resource.address === address)?.values;
}

/** The first block along a path of names, as a plan writes them: every block is a list. */
export function firstOf(values: unknown, ...names: readonly string[]): Values {
  return names.reduce<Values>((inner, name) => (inner[name] as Values[] | undefined)?.[0] ?? {}, values as Values);
}

/** The planned pod of a workspace that runs. */
export function plannedPod(plan: Plan): Values {
  return firstOf(planned(plan, 'kubernetes_deployment_v1.workspace[0]'), 'spec', 'template', 'spec');
}
