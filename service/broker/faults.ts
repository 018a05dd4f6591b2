import { ServiceError, type ErrorKind } from '../platform/errors.ts';
import { nameOf, type Repository } from './repository.ts';

const fault = (kind: ErrorKind, code: string, message: string, cause?: unknown): ServiceError =>
  new ServiceError(kind, code, message, cause === undefined ? {} : { cause });

export const notListed = (repository: Repository): ServiceError =>
  fault(
    'forbidden',
    'git_repository_not_listed',
    `This workspace was not built for ${nameOf(repository)}. Its owner chooses the repositories in the workspace's parameters.`,
  );

export const noCredential = (repository: Repository): ServiceError =>
  fault(
    'forbidden',
    'git_credential_missing',
    `No credential for ${nameOf(repository)} is stored, so the work stays on its local branch. Push it from the workspace's own terminal, or ask an organization admin to store one.`,
  );

export const credentialExpired = (name: string, at: string): ServiceError =>
  fault(
    'forbidden',
    'git_credential_expired',
    `The stored credential ${name} expired at ${at}, so the work stays on its local branch. Ask an organization admin to store a new one.`,
  );

export const scopeTooSmall = (name: string, scope: readonly string[]): ServiceError =>
  fault(
    'forbidden',
    'git_scope_too_small',
    `The stored credential ${name} may not push: its scope is ${scope.join(', ')}. The work stays on its local branch.`,
  );

export const tooManyRequests = (): ServiceError =>
  new ServiceError(
    'rate_limited',
    'git_too_many_requests',
    'This task asks git for too much at once. Try again soon.',
    {
      retryAfterSeconds: 5,
    },
  );

export const tooManyPushes = (): ServiceError =>
  new ServiceError(
    'rate_limited',
    'git_too_many_pushes',
    'Too many tasks push to branches that exist just now. Try again soon, or push to a new branch.',
    {
      retryAfterSeconds: 5,
    },
  );

export const tooLarge = (bytes: number): ServiceError =>
  fault(
    'too_large',
    'git_push_too_large',
    `The push is larger than ${Math.floor(bytes / 1024 / 1024)} MB. Push fewer commits at once, or from the workspace's own terminal.`,
  );

export const taskStopped = (): ServiceError =>
  fault('conflict', 'task_stopped', 'The task has ended, and its access to git with it.');

export const forgeSilent = (host: string): ServiceError =>
  fault('unavailable', 'git_host_silent', `${host} stopped answering. Try again.`);

export const forgeUnreachable = (host: string, cause: unknown): ServiceError =>
  fault(
    'unavailable',
    'git_host_unreachable',
    `${host} cannot be reached (${codeOf(cause)}). Try again, or look at the network of the service.`,
    cause,
  );

export const forgeMisunderstood = (host: string): ServiceError =>
  fault(
    'unavailable',
    'git_answer_not_understood',
    `${host} answered with something that is not git's protocol. Check that the address is that of a repository.`,
  );

/** What an HTTP status of a forge means. Its body is never shown: nobody knows what it repeats. */
export function forgeRefused(repository: Repository, credential: string, status: number): ServiceError {
  if (status === 401 || status === 403)
    return fault(
      'forbidden',
      'git_credential_refused',
      `${repository.host} does not accept the stored credential ${credential} for ${repository.path}. Ask an organization admin to check its value and scope.`,
    );
  if (status === 404)
    return fault(
      'not_found',
      'git_repository_not_found',
      `${nameOf(repository)} does not exist, or the stored credential ${credential} may not see it.`,
    );
  if (status >= 300 && status < 400)
    return fault(
      'conflict',
      'git_repository_moved',
      `${nameOf(repository)} has moved. Give the workspace its new address; a redirect is never followed with a credential.`,
    );
  if (status === 429)
    return fault(
      'rate_limited',
      'git_host_busy',
      `${repository.host} takes no more requests for now. Try again later.`,
    );
  return fault('unavailable', 'git_host_failed', `${repository.host} answered with status ${status}. Try again later.`);
}

/** The code of what broke, never its text: that may hold an address with a secret in it. */
function codeOf(cause: unknown): string {
  for (let error = cause; error instanceof Error; error = error.cause)
    if ('code' in error && typeof error.code === 'string') return error.code;
  return 'no answer';
}
