import { z } from 'zod';

const time = z.iso.datetime();

const versionFields = {
  version: z.number().int(),
  created_at: time,
  created_by: z.string(),
  restored_from: z.number().int().nullable(),
};

/** One version in a list: without what it says. */
export const versionAnswer = z.strictObject(versionFields).meta({ id: 'DefinitionVersion' });

/** A definition in a list: without its steps. */
export const definitionSummary = z
  .strictObject({
    name: z.string(),
    version: z.number().int(),
    description: z.string().nullable(),
    parameters: z.array(z.looseObject({ name: z.string() })),
    author_id: z.string(),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'DefinitionSummary' });

const definitionFields = {
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.record(z.string(), z.unknown()),
  status: z.strictObject({
    organization_id: z.string(),
    author_id: z.string(),
    ...versionFields,
    current_version: z.number().int(),
  }),
};

/** A definition as it was written, with what the service knows of it. */
export const definitionAnswer = z.strictObject(definitionFields).meta({ id: 'Definition' });

const change = z.enum(['created', 'changed', 'unchanged']);

/** What writing a definition came to; with `dry_run`, what it would. */
export const writtenDefinition = z.union([
  z.strictObject({ ...definitionFields, change }),
  z.strictObject({ change, dry_run: z.literal(true) }),
]);
