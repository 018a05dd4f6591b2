import { z } from 'zod';

const time = z.iso.datetime();

/** All that a secret shows of itself; never a value. */
export const secretAnswer = z
  .strictObject({
    name: z.string(),
    path: z.string(),
    scope: z.enum(['organization', 'owner', 'workspace']),
    keys: z.array(z.string()),
    created_at: time,
    updated_at: time,
    updated_by: z.string(),
    rotate_after: time.nullable(),
    overdue: z.boolean(),
  })
  .meta({ id: 'SecretMetadata' });

/** What a rotation did. */
export const rotationAnswer = z.strictObject({
  data_keys: z.number().int(),
  values: z.number().int(),
  resealed: z.number().int(),
  not_opened: z.number().int(),
  keys_in_use: z.array(z.string()),
});
