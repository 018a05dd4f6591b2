import { z } from 'zod';
import type { TaskResult } from '../../modules/contract.ts';

/** What a task that did not fail came to. */
export const taskResult = z.object({
  output: z.string(),
  objects: z.array(
    z.object({
      kind: z.string(),
      namespace: z.string().nullable(),
      name: z.string(),
      result: z.enum(['created', 'changed', 'unchanged', 'deleted', 'read']),
    }),
  ),
}) satisfies z.ZodType<TaskResult>;
