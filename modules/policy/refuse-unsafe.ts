import { containerRules, type Rule } from './container-rules.ts';
import { declarations, type Declared } from './template.ts';
import { templateRules } from './template-rules.ts';

/** Every rule, by the id that a refusal names. */
export const policyRules: readonly Rule[] = [...templateRules, ...containerRules];

/**
 * Refuses a template that breaks a rule, naming every offender by its construct path.
 *
 * It sees the synthesized JSON, so overrides and escape hatches are judged like everything else.
 *
 * Shape    `paths` are construct paths by Terraform address; an address without one is named itself.
 * Errors   one error with a line for each broken rule.
 */
export function refuseUnsafe(template: Readonly<Record<string, unknown>>, paths: ReadonlyMap<string, string>): void {
  const broken = declarations(template).flatMap((declared) => refusals(declared, paths));
  const terraform = template.terraform as { backend?: unknown } | undefined;
  if (terraform?.backend !== undefined) {
    broken.push(
      'the template (backend) keeps its own state, but Coder owns the state of a workspace. Remove the backend.',
    );
  }
  if (broken.length > 0) {
    throw new Error(
      `This template is unsafe and was not synthesized:\n${broken.map((line) => `  ${line}`).join('\n')}`,
    );
  }
}

function refusals(declared: Declared, paths: ReadonlyMap<string, string>): string[] {
  const path = paths.get(declared.address) ?? declared.address;
  return policyRules.flatMap((rule) => {
    const refusal = rule.check(declared);
    return refusal === undefined ? [] : [`${path} (${rule.id}) ${refusal}`];
  });
}
