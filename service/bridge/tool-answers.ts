import { z } from 'zod';
import { toolLimits, type ServiceRequests, type ToolType } from '../../modules/contract.ts';

const text = z.string();
const output = z.string().max(2 * toolLimits.outputBytes);
const commit = z.string().regex(/^[0-9a-f]{40,64}$/);
const branch = z.string().max(300);

/** What a bridge may answer to a tool; a frame bounds what has no bound here. */
export const toolAnswers = {
  readFile: z.union([text, z.object({ content: z.base64(), encoding: z.literal('base64') })]),
  // Whatever it says beside `success` is dropped.
  writeFile: z.unknown().transform(() => undefined),
  listFiles: z.array(z.object({ name: text.max(1_000), isDirectory: z.boolean() })).max(toolLimits.listEntries),
  runCommand: z.object({
    stdout: output,
    stderr: output,
    exitCode: z.number().int().nullable(),
    truncated: z.boolean(),
  }),
  searchCode: output,
  gitCommit: z.object({ commit, branch, files: z.number().int().min(0) }),
  gitPush: z.object({ repository: text.max(500), branch, commit }),
} satisfies { [Type in ToolType]: z.ZodType<ServiceRequests[Type]['data']> };
