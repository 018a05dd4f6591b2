import { z } from 'zod';
import type { ServiceRequests } from '../../modules/contract.ts';

const count = z.number().int().min(0);
const commit = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/);

/** What a bridge may answer about the work in its workspace. */
export const workAnswers = {
  checkpoints: z.object({
    checkpoints: z
      .array(z.object({ number: count, commit, parent: commit.or(z.literal('')), at: z.iso.datetime() }))
      .max(1_000),
  }),
  restoreCheckpoint: z.object({
    applied: z.boolean(),
    commit,
    saved: z.object({ number: count, commit }).nullable(),
  }),
  unpushedWork: z.object({
    repositories: z
      .array(
        z.object({
          path: z.string().max(4_096),
          files: count,
          commits: count,
          branches: z.array(z.string().max(300)).max(20),
          stashes: count,
          checkpoints: count,
        }),
      )
      .max(50),
  }),
} satisfies {
  [Type in 'checkpoints' | 'restoreCheckpoint' | 'unpushedWork']: z.ZodType<ServiceRequests[Type]['data']>;
};
