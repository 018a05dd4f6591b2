import { TerraformVariable, type TerraformVariableConfig } from 'cdktf';
import type { Construct } from 'constructs';
import { interpolation } from '../hcl/expressions.ts';

/** A variable that is never null. Its construct id is its name. */
export function variable(scope: Construct, name: string, config: TerraformVariableConfig): TerraformVariable {
  return new TerraformVariable(scope, `variable:${name}`, { nullable: false, ...config });
}

/** One validation: an HCL condition over the variable, and what to tell who broke it. */
export function rule(condition: string, errorMessage: string) {
  return { condition: interpolation(condition), errorMessage };
}

/** A variable that takes one of a few words. */
export function oneOf(
  scope: Construct,
  name: string,
  description: string,
  values: readonly string[],
  byDefault: string,
  more: ReturnType<typeof rule>[] = [],
): TerraformVariable {
  const choices = values.join(', ');
  return variable(scope, name, {
    description: `${description}: ${choices}.`,
    type: 'string',
    default: byDefault,
    validation: [rule(`contains(${listOf(values)}, var.${name})`, `Choose one of ${choices}.`), ...more],
  });
}

/** A variable that takes a list of a few words, at least one; the first is the default of the form. */
export function someOf(
  scope: Construct,
  name: string,
  description: string,
  values: readonly string[],
  byDefault: readonly string[],
): TerraformVariable {
  const choices = values.join(', ');
  return variable(scope, name, {
    description: `${description}: ${choices}.`,
    type: 'list(string)',
    default: [...byDefault],
    validation: [
      rule(
        `length(var.${name}) > 0 && length(distinct(var.${name})) == length(var.${name}) && alltrue([for one in var.${name} : contains(${listOf(values)}, one)])`,
        `List at least one of ${choices}, each once.`,
      ),
    ],
  });
}

/** A variable that takes a whole number within bounds, both inclusive. */
export function wholeNumber(
  scope: Construct,
  name: string,
  description: string,
  byDefault: number,
  [least, most]: readonly [least: number, most: number],
): TerraformVariable {
  const value = `var.${name}`;
  return variable(scope, name, {
    description,
    type: 'number',
    default: byDefault,
    validation: [
      rule(
        `floor(${value}) == ${value} && ${value} >= ${String(least)} && ${value} <= ${String(most)}`,
        `Give a whole number from ${String(least)} to ${String(most)}.`,
      ),
    ],
  });
}

/** A variable that is true or false, and false unless the admin says otherwise. */
export function flag(scope: Construct, name: string, description: string): TerraformVariable {
  return variable(scope, name, { description, type: 'bool', default: false });
}

/** Optional text: empty when the admin has nothing to say. */
export function optionalText(
  scope: Construct,
  name: string,
  description: string,
  validation: ReturnType<typeof rule>[] = [],
): TerraformVariable {
  const checks = validation.length === 0 ? {} : { validation };
  return variable(scope, name, { description, type: 'string', default: '', ...checks });
}

/** A list of words in HCL. */
export function listOf(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(', ')}]`;
}
