import type { Construct } from 'constructs';
import { interpolation } from '../hcl/expressions.ts';
import {
  DataCoderParameter,
  type DataCoderParameterConfig,
} from '../providers/generated/coder/data-coder-parameter/index.ts';

/** A field of the form: its Terraform label is its name. It can be changed later unless it says otherwise. */
export function parameter(
  scope: Construct,
  config: DataCoderParameterConfig & { readonly when?: string },
): DataCoderParameter {
  const { when, ...rest } = config;
  const made = new DataCoderParameter(scope, `parameter:${config.name}`, { mutable: true, ...rest });
  if (when !== undefined) made.addOverride('count', interpolation(`${when} ? 1 : 0`));
  return made;
}

/** Offers one option for each element of a list that only Terraform knows. */
export function offerEach(made: DataCoderParameter, list: string, name: string): void {
  made.addOverride('dynamic.option', [
    {
      for_each: interpolation(list),
      iterator: 'one',
      content: { name: interpolation(name), value: interpolation('one.value') },
    },
  ]);
}

export interface Size {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly icon: string;
  readonly order: number;
  readonly formType: 'slider' | 'input';
  readonly least: number;
  /** Expression of the admin's bound. */
  readonly most: string;
  readonly byDefault: number;
  /** False where a later change could not be carried out. */
  readonly mutable?: false;
  /** Expression; without it the field is always there. */
  readonly when?: string;
}

/** A number from `least` to what the admin allows. The default never exceeds that. */
export function size(scope: Construct, { least, most, byDefault, ...rest }: Size): DataCoderParameter {
  const made = parameter(scope, {
    ...rest,
    type: 'number',
    default: interpolation(bounded(byDefault, most)),
    validation: { min: least, error: `Give a whole number from {min} to {max}, such as ${String(byDefault)}.` },
  });
  made.addOverride('validation.max', interpolation(most));
  return made;
}

/** Text of a number that the admin's bound caps. */
export function bounded(value: number, most: string): string {
  return `tostring(min(${String(value)}, ${most}))`;
}
