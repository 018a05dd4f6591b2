import type { Lease } from '../../contract.ts';
import type { ApprovalGuard } from './approval-guard.ts';
import type { SendArtifact } from './artifacts.ts';
import type { Asks } from './asks.ts';
import type { Progress } from './attempt-evidence.ts';
import type { EndSwitch } from './ending.ts';
import type { Git } from './git.ts';
import type { Harness } from './harness.ts';
import type { Log } from './log.ts';
import type { AttemptOutbox } from './outbox.ts';
import type { SweepResult } from './process-tree.ts';
import type { Relay } from './relay.ts';
import type { BridgeSettings } from './settings.ts';
import type { Steering } from './steering.ts';
import type { AttemptStatus } from './status-file.ts';

export interface AttemptParts {
  readonly settings: BridgeSettings;
  readonly harness: Harness;
  readonly relay: Relay;
  readonly outbox: AttemptOutbox;
  readonly status: AttemptStatus;
  readonly log: Log;
  readonly now: () => Date;
  /** Hides a value from every log line. */
  readonly keepSecret: (secret: string) => void;
  readonly execPath: string;
  readonly bundle: string;
  /** Told of each runner, so that what an orphaned one leaves can be told from what the others run. */
  readonly runners: Set<number>;
  /** The bridge's own git, which also works when the runner of the attempt is gone. */
  readonly git: Git;
  readonly sendArtifact: SendArtifact;
  readonly sweepOrphans: (termMs: number) => Promise<SweepResult>;
  /** One at a time: two worktrees of one repository must not be made at once. */
  readonly alone: <Value>(work: () => Promise<Value>) => Promise<Value>;
}

/** One attempt from within: what it was given, what it knows, and how it is told to end. */
export interface Story {
  readonly parts: AttemptParts;
  readonly lease: Lease;
  readonly progress: Progress;
  readonly asks: Asks;
  readonly guard: ApprovalGuard;
  readonly steering: Steering;
  readonly endSwitch: EndSwitch;
}
