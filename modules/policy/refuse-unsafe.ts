import { argumentRules } from './argument-rules.ts';
import { containerRules } from './container-rules.ts';
import { podRules } from './pod-rules.ts';
import { clusterRules } from './cluster-rules.ts';
import { scriptRules } from './script-rules.ts';
import { secretRules } from './secret-rules.ts';
import { workspaceRules } from './workspace-rules.ts';
import type { Exceptions, Rule, Whole } from './rule.ts';
import { declarations, type Body, type Declared } from './template.ts';
import { templateRules } from './template-rules.ts';

/** Every rule, by the id that a refusal names. */
export const policyRules: readonly Rule[] = [
  ...templateRules,
  ...argumentRules,
  ...secretRules,
  ...scriptRules,
  ...workspaceRules,
  ...containerRules,
  ...podRules,
  ...clusterRules,
];

/**
 * Refuses a template that breaks a rule, naming every offender by its construct path.
 *
 * It sees the synthesized JSON, so overrides and escape hatches are judged like everything else.
 *
 * Shape    `paths` are construct paths by Terraform address; an address without one is named itself.
 * Errors   one error with a line for each broken rule.
 */
export function refuseUnsafe(
  template: Readonly<Record<string, unknown>>,
  paths: ReadonlyMap<string, string>,
  exceptions: Exceptions = {},
): void {
  const all = declarations(template);
  const broken = all.flatMap((declared) => refusals(declared, paths, { all, ...exceptions }));
  broken.push(...wholeRefusals(template));
  if (broken.length > 0) {
    throw new Error(
      `This template is unsafe and was not synthesized:\n${broken.map((line) => `  ${line}`).join('\n')}`,
    );
  }
}

/** `//` is a comment of Terraform's JSON. */
const sections = ['//', 'data', 'locals', 'output', 'provider', 'resource', 'terraform', 'variable'];
const settings = ['required_providers', 'required_version'];
const sources = ['coder/coder', 'kreuzwerker/docker', 'hashicorp/kubernetes'];

/** What is wrong with a template beside its declarations: other sections can bring in what nobody has judged. */
function wholeRefusals(template: Readonly<Record<string, unknown>>): string[] {
  const terraform = (template.terraform ?? {}) as Body;
  const { backend, ...others } = terraform;
  const wanted = Object.values((terraform.required_providers ?? {}) as Record<string, Body>);
  const strange = [
    ...Object.keys(template).filter((name) => !sections.includes(name)),
    ...Object.keys(others).filter((name) => !settings.includes(name)),
    ...wanted.map(({ source }) => String(source)).filter((source) => !sources.includes(source)),
  ];
  return [
    ...(backend === undefined
      ? []
      : ['the template (backend) keeps its own state, but Coder owns the state of a workspace. Remove the backend.']),
    ...strange.map((name) => `the template (sections) brings in what nobody has judged: ${name}. Remove it.`),
  ];
}

function refusals(declared: Declared, paths: ReadonlyMap<string, string>, whole: Whole): string[] {
  const path = paths.get(declared.address) ?? declared.address;
  return policyRules.flatMap((rule) => {
    const refusal = rule.check(declared, whole);
    return refusal === undefined ? [] : [`${path} (${rule.id}) ${refusal}`];
  });
}
