import { CoderError, type CoderErrorKind, type CoderClient, type Template } from 'coder-sdk-ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';

/** One sentence for people about anything that was thrown. */
export function asFailure(error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  if (!(error instanceof CoderError))
    return new CommandFailure(1, error instanceof Error ? error.message : 'It failed.');
  const details = [error.detail, ...error.validations.map(({ field, detail }) => `${field}: ${detail}`)];
  const isOutside = error.kind === 'unreachable' || error.kind === 'unauthenticated';
  const exitCode: ExitCode = isOutside ? 2 : error.kind === 'timeout' ? 124 : 1;
  return new CommandFailure(exitCode, [error.message, ...details.filter(Boolean)].join(' '));
}

/** For `catch`: the same as a sentence. */
export const fail = (error: unknown): never => {
  throw asFailure(error);
};

/** Undefined where Coder refuses with one of these kinds; anything else is thrown. */
export async function unless<Answer>(
  kinds: readonly CoderErrorKind[],
  answer: Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CoderError && kinds.includes(error.kind)) return undefined;
    throw error;
  }
}

/** Null where the organization has none of that name, or none that this person may see. */
export const findTemplate = async (
  coder: CoderClient,
  organizationId: string,
  name: string,
): Promise<Template | null> => (await unless(['not_found'], coder.getTemplateByName(organizationId, name))) ?? null;
