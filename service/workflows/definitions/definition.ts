import { stringify } from 'yaml';
import { z } from 'zod';
import { limits } from '../../../modules/contract.ts';
import { ServiceError } from '../../platform/errors.ts';
import { parse } from '../../platform/http.ts';
import { workflowBody, type WorkflowBody } from '../submit-workflow.ts';

export const apiVersion = 'outrigger/v1';
export const kind = 'Workflow';

const name = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, such as nightly-update');

export const definitionName = (text: string): string => parse(z.object({ name }), { name: text }, 'The path').name;

const parameter = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_]{1,63}$/, 'must be 1 to 63 letters, digits and _'),
  description: z.string().max(1_000).optional(),
  /** Without one, whoever runs the definition must say it. */
  default: z.string().max(65_536).optional(),
});

/** What a definition adds to a workflow; the rest of its spec is a workflow as it is submitted. */
const own = {
  description: z.string().max(2_000).optional(),
  parameters: z
    .array(parameter)
    .max(50)
    .refine((all) => new Set(all.map((one) => one.name)).size === all.length, 'two have the same name')
    .optional(),
};

/** A definition as it is written. */
export const definitionManifest = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal(kind),
  metadata: z.strictObject({ name }),
  spec: z.looseObject(own),
});

/** A definition as it was written: what its spec leaves out is left out here too. */
export type DefinitionSpec = z.output<typeof definitionManifest>['spec'];
export type Parameters = Readonly<Record<string, string>>;

/**
 * Reads a manifest of kind Workflow; `expected` is the name that the path gives it.
 *
 * Errors  `invalid` for what is malformed, with its path; for a mark that no parameter declares.
 */
export function readManifest(value: unknown, expected?: string): { name: string; spec: DefinitionSpec } {
  const { metadata, spec } = parse(definitionManifest, value, 'The definition');
  if (expected !== undefined && metadata.name !== expected) throw nameDiffers(metadata.name, expected);
  if ('approved_cost_micro_usd' in spec) throw costIsNotTheAuthors('spec');
  const agreeing = stepsOf(spec).findIndex(({ params }) => isRecord(params) && 'approved_cost_micro_usd' in params);
  if (agreeing >= 0) throw costIsNotTheAuthors(`spec.steps.${agreeing}.params`);
  const declared = (spec.parameters ?? []).map((one) => one.name);
  for (const used of marksIn(spec['steps'])) if (!declared.includes(used)) throw undeclared(used, declared);
  bodyOf(metadata.name, spec, placeholders(spec));
  // As it was given: what was checked has its keys in another order.
  return { name: metadata.name, spec: (value as { spec: DefinitionSpec }).spec };
}

/**
 * The workflow that a definition makes of these parameters, as it would be submitted.
 *
 * Errors  `unprocessable` for a parameter that it does not have, or lacks; `invalid` for what is then no workflow.
 */
export function bodyOf(
  definition: string,
  spec: DefinitionSpec,
  given: Parameters,
  workspaceId?: string,
): WorkflowBody {
  const { description: _description, parameters = [], ...rest } = spec;
  const known = parameters.map((one) => one.name);
  for (const one of Object.keys(given)) if (!known.includes(one)) throw unknownParameter(definition, one, known);
  const values = new Map<string, string>();
  for (const one of parameters) {
    const value = Object.hasOwn(given, one.name) ? given[one.name] : one.default;
    if (value === undefined) throw missingParameter(definition, one.name, known);
    values.set(one.name, value);
  }
  const filling: Filling = { values, left: limits.jsonBodyBytes };
  const steps = Array.isArray(rest['steps']) ? rest['steps'].map((step) => fillStep(step, filling)) : rest['steps'];
  const place = workspaceId === undefined ? {} : { workspace_id: workspaceId };
  return parse(
    z.object({ spec: workflowBody }),
    { spec: { name: definition, ...rest, steps, ...place } },
    'The definition',
  ).spec;
}

/** Stand-ins for the parameters that somebody who runs the definition must give. */
export const placeholders = ({ parameters = [] }: DefinitionSpec): Parameters =>
  Object.fromEntries(parameters.filter((one) => one.default === undefined).map((one) => [one.name, one.name]));

const stepsOf = ({ steps }: DefinitionSpec): readonly Record<string, unknown>[] =>
  Array.isArray(steps) ? (steps as unknown[]).filter(isRecord) : [];

interface Filling {
  readonly values: ReadonlyMap<string, string>;
  /** Characters that may still be filled in: a mark of 16 stands for up to 64 Ki. */
  left: number;
}

/** Parameters stand in `params` only: what runs where, and after what, is not for them to say. */
const fillStep = (step: unknown, filling: Filling): unknown =>
  isRecord(step) && 'params' in step ? { ...step, params: fill(step['params'], filling) } : step;

const mark = /\{\{\s*parameters\.([A-Za-z0-9_]+)\s*\}\}/g;

function fill(value: unknown, filling: Filling): unknown {
  if (typeof value === 'string')
    return value.replace(mark, (whole, key: string) => {
      const given = filling.values.get(key) ?? whole;
      filling.left -= given.length;
      if (filling.left < 0) throw filledTooLarge();
      return given;
    });
  if (Array.isArray(value)) return value.map((one) => fill(one, filling));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fill(one, filling)]));
}

const marksIn = (value: unknown): readonly string[] =>
  [...(JSON.stringify(value) ?? '').matchAll(mark)].flatMap(([, used]) => (used === undefined ? [] : [used]));

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const manifestOf = (definition: string, spec: DefinitionSpec) => ({
  apiVersion,
  kind,
  metadata: { name: definition },
  spec,
});

/** The manifest as YAML; reading it again gives the same values in the same order. */
export const toYaml = (definition: string, spec: DefinitionSpec): string =>
  stringify(manifestOf(definition, spec), { lineWidth: 0 });

const nameDiffers = (inBody: string, inPath: string): ServiceError =>
  new ServiceError(
    'invalid',
    'definition_name_differs',
    `The body describes definition ${inBody}, the path names ${inPath}. Make them the same.`,
  );

/** Who pays agrees, not who wrote it. */
const costIsNotTheAuthors = (where: string): ServiceError =>
  new ServiceError(
    'invalid',
    'cost_not_for_definitions',
    `${where}.approved_cost_micro_usd is said by whoever runs a definition, with each run. Take it out.`,
  );

const filledTooLarge = (): ServiceError =>
  new ServiceError(
    'invalid',
    'definition_too_large',
    'With its parameters filled in this definition is larger than 1 MiB. Use them less often, or give shorter ones.',
  );

const listed = (known: readonly string[]): string =>
  known.length === 0 ? 'It has none' : `It has: ${known.join(', ')}`;

const undeclared = (used: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'invalid',
    'parameter_undeclared',
    `A step uses {{parameters.${used}}}, which the definition does not declare. ${listed(known)}. Add it to spec.parameters.`,
  );

const unknownParameter = (definition: string, given: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'parameter_unknown',
    `Definition '${definition}' has no parameter '${given}'. ${listed(known)}.`,
  );

const missingParameter = (definition: string, missing: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'parameter_missing',
    `Definition '${definition}' needs parameter '${missing}', which has no default. ${listed(known)}. Send it in parameters.`,
  );
