import type { Evidence, StopReceipt } from '../../contract.ts';
import { nothingDone, type WorkDone } from './commit.ts';
import type { Ending } from './ending.ts';
import { AttemptFailure } from './failure.ts';
import type { GitAccess } from './git-access.ts';
import type { HarnessClient } from './harness.ts';
import { textOf } from './log.ts';
import type { RelayPlace } from './relay.ts';
import type { Runner } from './runner-client.ts';
import type { LastMessage } from './turn.ts';
import type { Verified } from './verify.ts';
import type { WorkTree } from './worktree.ts';

/** What is known so far; whatever ends the attempt, this is what its evidence is made of. */
export interface Progress {
  runner: Runner | null;
  client: HarnessClient | null;
  place: RelayPlace | null;
  /** Repositories that the service reaches for this task. */
  access: readonly GitAccess[];
  sessionId: string | null;
  lastMessage: LastMessage | null;
  toolExits: Evidence['tool_exits'];
  workTree: WorkTree | null;
  work: WorkDone;
  verified: Verified;
  /** How the command of the lease ended, where it had one. */
  commanded: NonNullable<Evidence['command']> | null;
  /** True from the moment the turn is over: the harness is meant to be gone. */
  harnessEnded: boolean;
}

export const noProgress = (): Progress => ({
  runner: null,
  client: null,
  place: null,
  access: [],
  sessionId: null,
  lastMessage: null,
  toolExits: [],
  workTree: null,
  work: nothingDone,
  verified: { verify: null, isRejected: false },
  commanded: null,
  harnessEnded: false,
});

/** What the bridge itself could not do; null where somebody else asked for the end. */
export function failureOf(error: unknown, ending: Ending | null): Evidence['failure'] {
  if (ending)
    switch (ending.kind) {
      case 'stop':
      case 'fence':
        return null;
      case 'shutdown':
        return { reason: 'BridgeLost', message: 'The bridge was told to end while the attempt ran.', retryable: true };
      case 'limit':
        return { reason: ending.reason, message: ending.message, retryable: false };
    }
  if (error instanceof AttemptFailure)
    return { reason: error.reason, message: error.message.slice(0, 2_000), retryable: error.retryable };
  return {
    reason: 'AgentError',
    message: `The bridge could not run the attempt: ${textOf(error)}`.slice(0, 2_000),
    retryable: true,
  };
}

export interface EndOfAttempt {
  readonly failure: Evidence['failure'];
  readonly receipt: StopReceipt;
  readonly ending: Ending | null;
  readonly rejectedAsks: number;
}

/** A stop is proven where something asked for it, or where the proof failed. */
export function evidenceOf(progress: Progress, end: EndOfAttempt): Evidence {
  const { failure, receipt, ending } = end;
  const wasEnded = ending !== null && ending.kind !== 'fence';
  return {
    session_id: progress.sessionId,
    last_message: progress.lastMessage,
    tool_exits: progress.toolExits,
    rejected_asks: end.rejectedAsks,
    diff: progress.work.diff,
    changed_files: progress.work.changedFiles,
    branch: progress.workTree?.branch ?? null,
    commit: progress.work.commit,
    verify: progress.verified.verify,
    verify_rejected: progress.verified.isRejected,
    ...(progress.commanded === null ? {} : { command: progress.commanded }),
    failure,
    stop: wasEnded || receipt.processes_left > 0 ? receipt : null,
  };
}
