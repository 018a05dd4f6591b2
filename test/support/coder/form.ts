/**
 * The parameter form of a version, as far as it can be told without Terraform: a test says which parameters there
 * are, and values are checked against them as Coder 2.36.0 checked the recorded ones.
 */
export interface SimulatedParameter {
  readonly name: string;
  readonly type?: string;
  readonly formType?: string;
  readonly default: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly icon?: string;
  readonly order?: number;
  readonly mutable?: boolean;
  readonly ephemeral?: boolean;
  readonly styling?: Readonly<Record<string, unknown>>;
  readonly options?: readonly { readonly name: string; readonly value: string }[];
  readonly validation?: {
    readonly error: string;
    readonly regex?: string;
    readonly min?: number;
    readonly max?: number;
  };
  /** Whether it is there with these inputs. @default always */
  readonly when?: (inputs: Readonly<Record<string, string>>) => boolean;
}

export interface SimulatedPreset {
  readonly id: string;
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly isDefault?: boolean;
}

export interface SimulatedForm {
  readonly parameters: readonly SimulatedParameter[];
  readonly presets: readonly SimulatedPreset[];
}

export const emptyForm: SimulatedForm = { parameters: [], presets: [] };

const diagnostic = (severity: string, summary: string, detail: string, code = '') => ({
  severity,
  summary,
  detail,
  extra: { code },
});

export const ownerNotFound = {
  id: 0,
  diagnostics: [
    diagnostic(
      'error',
      'Failed to fetch workspace owner',
      'Please check your permissions or the user may not exist.',
      'owner_not_found',
    ),
  ],
  parameters: null,
};

export const notImported = {
  id: 0,
  diagnostics: [
    diagnostic(
      'warning',
      'This template version is missing required metadata to support dynamic parameters.',
      'To restore full functionality, please re-import the terraform as a new template version.',
    ),
  ],
  parameters: [],
};

export const formBody = (form: SimulatedForm, inputs: Readonly<Record<string, string>>) => ({
  id: 0,
  diagnostics: [],
  parameters: form.parameters
    .filter(({ when }) => when?.(inputs) ?? true)
    .map((parameter) => parameterBody(parameter, inputs[parameter.name] ?? parameter.default)),
});

const valid = (value: string) => ({ value, valid: true });

function parameterBody(parameter: SimulatedParameter, value: string) {
  const { validation, options = [] } = parameter;
  return {
    name: parameter.name,
    display_name: parameter.displayName ?? '',
    description: parameter.description ?? '',
    type: parameter.type ?? 'string',
    form_type: parameter.formType ?? 'input',
    styling: parameter.styling ?? {},
    mutable: parameter.mutable ?? true,
    default_value: valid(parameter.default),
    icon: parameter.icon ?? '',
    options: options.map((one) => ({ name: one.name, description: '', value: valid(one.value), icon: '' })),
    validations:
      validation === undefined
        ? []
        : [
            {
              validation_error: validation.error,
              validation_regex: validation.regex ?? null,
              validation_min: validation.min ?? null,
              validation_max: validation.max ?? null,
              validation_monotonic: null,
            },
          ],
    required: false,
    order: parameter.order ?? 0,
    ephemeral: parameter.ephemeral ?? false,
    value: valid(value),
    diagnostics: faultsOf(parameter, value),
  };
}

function faultsOf({ options = [], validation, type }: SimulatedParameter, value: string) {
  if (options.length > 0 && type !== 'list(string)' && !options.some((one) => one.value === value))
    return [
      diagnostic('error', 'Value must be a valid option', `the value "${value}" must be defined as one of options`),
    ];
  const detail = validation && outOfBounds(validation, value);
  return detail ? [diagnostic('error', "Invalid parameter value according to 'validation' block", detail)] : [];
}

function outOfBounds(
  { error, regex, min, max }: NonNullable<SimulatedParameter['validation']>,
  value: string,
): string | undefined {
  if (regex !== undefined)
    return new RegExp(regex).test(value) ? undefined : `${error} (value "${value}" does not match "${regex}")`;
  const number = Number(value);
  const fits = (min === undefined || number >= min) && (max === undefined || number <= max);
  const filled = { '{min}': min, '{max}': max, '{value}': value };
  return fits
    ? undefined
    : Object.entries(filled).reduce((text, [mark, one]) => text.replace(mark, String(one)), error);
}

/** With capitalised keys, as Coder sends them; null where there are none. */
export const presetBodies = ({ presets }: SimulatedForm) =>
  presets.length === 0
    ? null
    : presets.map((preset) => ({
        ID: preset.id,
        Name: preset.name,
        Parameters: Object.entries(preset.parameters).map(([Name, Value]) => ({ Name, Value })),
        Default: preset.isDefault ?? false,
        DesiredPrebuildInstances: 0,
        Description: '',
        Icon: '',
      }));
