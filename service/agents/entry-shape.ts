import { z } from 'zod';

const change = z.enum(['created', 'changed', 'unchanged']);
const dryRun = z.strictObject({ change, dry_run: z.literal(true) });
const manifestFields = {
  apiVersion: z.literal('kubeopencode.io/v1alpha1'),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.record(z.string(), z.unknown()),
};

const entryFields = {
  ...manifestFields,
  kind: z.literal('Agent'),
  status: z.strictObject({
    organization_id: z.string(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    updated_by: z.string(),
    credentials: z.array(
      z.strictObject({
        name: z.string(),
        env: z.string(),
        destination: z.enum(['gateway', 'broker']),
        host: z.string().nullable(),
        scope: z.array(z.string()).nullable(),
        expires_at: z.string().nullable(),
        stored: z.boolean(),
        fits_upstream: z.boolean().nullable(),
        expired: z.boolean(),
      }),
    ),
  }),
};

/** What an agent of an organization uses, never a value. */
export const entryAnswer = z.strictObject(entryFields).meta({ id: 'AgentEntry' });

/** An entry in a list: without its status. */
export const entrySummary = z.strictObject({ ...manifestFields, kind: z.literal('Agent') });

/** What writing an entry came to; with `dry_run`, what it would. */
export const writtenEntry = z.union([z.strictObject({ ...entryFields, change }), dryRun]);

/** What an agent used at some time. */
export const entryVersion = z.strictObject({
  version: z.number().int(),
  spec: z.record(z.string(), z.unknown()),
  created_at: z.iso.datetime(),
  created_by: z.string(),
  restored_from: z.number().int().nullable(),
});

/** Defaults that entries are made from. */
export const templateAnswer = z
  .strictObject({ ...manifestFields, kind: z.literal('AgentTemplate') })
  .meta({ id: 'AgentTemplate' });

/** What writing a template came to; with `dry_run`, what it would. */
export const writtenTemplate = z.union([templateAnswer.extend({ change }), dryRun]);
