import { z } from 'zod';
import type { Action } from '../agents/action.ts';
import { ServiceError } from '../platform/errors.ts';

/** What a step may say beside its prompt to an agent that takes a prompt: the same as a task's payload. */
const promptParams = z.strictObject({
  language: z.string().max(100).optional(),
  file_path: z.string().max(4_096).optional(),
});

/**
 * What is added to the prompt of a step, from its params. An action with params of its own gets none: those are
 * checked where its work is.
 *
 * Errors  `unprocessable` naming each parameter that an agent with a prompt would not understand.
 */
export function hintsOf(agent: string, action: Action, params: unknown): z.output<typeof promptParams> {
  if (action.params) return {};
  const result = promptParams.safeParse(params);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(({ code, path, message, ...issue }) =>
    code === 'unrecognized_keys' && 'keys' in issue
      ? issue.keys.map((key) => ({ path: ['params', ...path, key].join('.'), message: 'is not known' }))
      : [{ path: ['params', ...path].join('.'), message }],
  );
  throw new ServiceError(
    'unprocessable',
    'params_invalid',
    `Action '${action.name}' of agent '${agent}' takes prompt, ${Object.keys(promptParams.shape).join(' and ')}, not these params: ` +
      `${errors[0]?.path}: ${errors[0]?.message}. See errors[].`,
    { errors },
  );
}
