/** What went wrong with a call to Coder, from a closed list. */
export type CoderErrorKind =
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'gone'
  | 'conflict'
  | 'invalid'
  | 'too_early'
  | 'rate_limited'
  | 'failed'
  | 'unavailable'
  | 'unreachable'
  | 'timeout'
  | 'unexpected_answer';

export interface CoderValidation {
  readonly field: string;
  readonly detail: string;
}

/**
 * The one error a call to Coder ends with.
 *
 * Status   Coder's HTTP status; 0 when no answer came.
 * Message  names method, route template and, where no usable answer came, the deployment's URL. It may
 *          repeat Coder's own `message`, never a token, a query or the body of an unexpected answer.
 */
export class CoderError extends Error {
  readonly kind: CoderErrorKind;
  readonly status: number;
  readonly detail: string | null;
  readonly validations: readonly CoderValidation[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    kind: CoderErrorKind,
    status: number,
    message: string,
    options: {
      detail?: string | null;
      validations?: readonly CoderValidation[];
      retryAfterSeconds?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CoderError';
    this.kind = kind;
    this.status = status;
    this.detail = options.detail ?? null;
    this.validations = options.validations ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

const kindOfStatus: Readonly<Record<number, CoderErrorKind>> = {
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  410: 'gone',
  425: 'too_early',
  429: 'rate_limited',
  500: 'failed',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

/**
 * The kind behind a status of 400 or more.
 *
 * Trap  Coder answers some missing rights with 500 and a detail that ends in `rbac: forbidden`
 *       (recorded for template patch, activate and create).
 */
export function kindOf(status: number, detail: string | null): CoderErrorKind {
  if (status === 500 && detail?.endsWith('rbac: forbidden')) return 'forbidden';
  return kindOfStatus[status] ?? (status >= 500 ? 'failed' : 'invalid');
}
