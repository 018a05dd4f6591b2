import { nextRuns, type Cadence } from './cron.ts';

export const missedRunPolicies = ['skip', 'once', 'all'] as const;
export type MissedRunPolicy = (typeof missedRunPolicies)[number];

/** Why a run that was due did not start. */
export type SkipReason = 'Missed' | 'DeadlineMissed' | 'StillRunning';

export interface DueRun {
  readonly at: Date;
  /** Null: it is to start. */
  readonly skip: SkipReason | null;
}

export interface DuePlan {
  /** Oldest first, at most `mostDue`. */
  readonly due: readonly DueRun[];
  /** More were missed, before the first of `due`. */
  readonly isCut: boolean;
  /** The first run that is not due yet; null when there is none any more. */
  readonly next: Date | null;
}

export interface MissedRules {
  readonly missedRunPolicy: MissedRunPolicy;
  /** A run that is later than this does not start, whatever the policy; null: no such limit. */
  readonly startingDeadlineMs: number | null;
}

/** No service is late by more while it runs; what is later was missed. */
export const onTimeMs = 60_000;
/** After a long outage the newest ones are looked at; nobody wants a year of minutes. */
export const mostDue = 100;

/**
 * What becomes of the runs that are due by `now`, the first of which is `first`.
 *
 * skip   the newest starts if it is on time (a minute); the rest is skipped
 * once   the newest starts, however late; the rest is skipped
 * all    every one starts, oldest first
 *
 * A run past its starting deadline never starts. Every run is due once: what follows is after the newest, so a clock
 * that goes back repeats nothing.
 */
export function planDue(cadence: Cadence, rules: MissedRules, first: Date, now: Date): DuePlan {
  const { runs, isCut } = dueRuns(cadence, first, now);
  const due = runs.map((at, index) => ({
    at,
    skip: skipOf(rules, now.getTime() - at.getTime(), index === runs.length - 1),
  }));
  return { due, isCut, next: cadence.next(runs.at(-1) ?? now) };
}

function skipOf(
  { missedRunPolicy, startingDeadlineMs }: MissedRules,
  lateMs: number,
  isNewest: boolean,
): SkipReason | null {
  if (startingDeadlineMs !== null && lateMs > startingDeadlineMs) return 'DeadlineMissed';
  if (missedRunPolicy === 'all') return null;
  const isLate = missedRunPolicy === 'skip' && lateMs > onTimeMs;
  return isNewest && !isLate ? null : 'Missed';
}

/** Looks back in growing steps, so that a long outage costs no more than a short one. */
function dueRuns(
  cadence: Cadence,
  first: Date,
  now: Date,
): { readonly runs: readonly Date[]; readonly isCut: boolean } {
  const begin = first.getTime() - 1;
  for (let backMs = 3_600_000; ; backMs *= 4) {
    const from = Math.max(begin, now.getTime() - backMs);
    const runs = runsUntil(cadence, new Date(from), now);
    if (from > begin && runs.length < mostDue) continue;
    return { runs: runs.slice(-mostDue), isCut: from > begin || runs.length > mostDue };
  }
}

function runsUntil(cadence: Cadence, from: Date, now: Date): readonly Date[] {
  const runs: Date[] = [];
  for (let run = cadence.next(from); run !== null && run <= now; run = cadence.next(run)) runs.push(run);
  return runs;
}

/** What a person is shown of the future. */
export const preview = (cadence: Cadence, from: Date): readonly Date[] => nextRuns(cadence, from, 10);
