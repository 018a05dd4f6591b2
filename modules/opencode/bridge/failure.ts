import type { Reason } from '../../contract.ts';

/** The bridge could not do its part; becomes `failure` of the evidence. */
export class AttemptFailure extends Error {
  readonly reason: Reason;
  readonly retryable: boolean;
  constructor(reason: Reason, message: string, retryable: boolean, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
    this.retryable = retryable;
  }
}
