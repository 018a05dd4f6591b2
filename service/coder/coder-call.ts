/**
 * One call to Coder, for the audit: never a token, a query or a body.
 *
 * Phase  `intent` is told before a call that changes something is sent, `outcome` after it; a call that
 *        only asks is told once, as `read`. An intent that cannot be recorded keeps the call from being sent.
 */
export interface CoderCall {
  readonly phase: 'intent' | 'outcome' | 'read';
  readonly at: Date;
  readonly method: string;
  /** Template such as `/api/v2/workspaces/{workspace}/builds`. */
  readonly route: string;
  /** What the template's names stand for: ids and names, nothing else travels in a path. */
  readonly pathParameters: Readonly<Record<string, string>>;
  /** Coder's HTTP status; null before the call and when no answer came. */
  readonly status: number | null;
  readonly durationMs: number | null;
  /** Kind of the error, such as `not_found` or `timeout`. */
  readonly error: string | null;
  readonly actor: string;
  readonly requestId: string | null;
}

export interface CallContext {
  /** On whose behalf: `user:<id>` or `service`. */
  readonly actor: string;
  readonly requestId: string | null;
}
