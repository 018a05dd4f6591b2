import type { SweepResult } from './process-tree.ts';

/** Lines of JSON on the runner's stdin. Secrets travel here and never in argv or in the runner's environment. */
export interface RunnerCommands {
  /** Starts the harness; there is one per runner. */
  serve: { readonly argv: readonly string[]; readonly environment: Environment; readonly directory: string };
  exec: ExecCommand;
  /** Ends everything below the runner, the harness included. */
  sweep: { readonly term_ms: number };
}
export type Environment = Readonly<Record<string, string>>;

export interface ExecCommand {
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly directory: string;
  readonly timeout_ms: number;
  readonly input?: string;
  /** Bytes kept of stdout; the first ones, or with `tail` the last ones of both streams together. */
  readonly max_bytes: number;
  readonly tail?: boolean;
}

export interface ExecResult {
  /** Null when a signal ended it or it could not be started. */
  readonly exit: number | null;
  readonly timed_out: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunnerResults {
  serve: { readonly pid: number };
  exec: ExecResult;
  sweep: SweepResult;
}

export type RunnerCommandType = keyof RunnerCommands;
export type RunnerLine =
  | { readonly id: number; readonly ok: true; readonly data: unknown }
  | { readonly id: number; readonly ok: false; readonly error: string }
  | { readonly notice: 'ready'; readonly subreaper: boolean; readonly undumpable: boolean }
  | { readonly notice: 'serve_exit'; readonly code: number | null; readonly tail: string };
