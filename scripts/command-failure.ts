export type ExitCode = 1 | 2 | 124 | 130 | 143;

/** Ends a command with one sentence for people and its exit code; never shown with a stack. */
export class CommandFailure extends Error {
  /** 1 failed · 2 a prerequisite is missing or the input is wrong · 124 timed out · 130, 143 stopped by a signal. */
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
  }
}
