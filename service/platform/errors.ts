/** What went wrong, from a closed list; the HTTP status follows from it. */
export type ErrorKind =
  | 'invalid'
  | 'unprocessable'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'upgrade_required'
  | 'rate_limited'
  | 'unavailable'
  | 'internal';

export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/**
 * The one error class that reaches a caller.
 *
 * Message  what happened, why it cannot be, what to do. It is shown to the caller: no secrets, no prompts.
 * Code     snake_case, leads to exactly one factory.
 */
export class ServiceError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly errors: readonly FieldError[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    kind: ErrorKind,
    code: string,
    message: string,
    options: { cause?: unknown; errors?: readonly FieldError[]; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ServiceError';
    this.kind = kind;
    this.code = code;
    this.errors = options.errors ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export const httpStatus: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unprocessable: 422,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  upgrade_required: 426,
  rate_limited: 429,
  unavailable: 503,
  internal: 500,
};

export const notFound = (what: string): ServiceError =>
  new ServiceError('not_found', 'not_found', `${what} does not exist, or you may not see it.`);
