import type { IdeReport, IdeStatePhase } from '../../modules/contract.ts';

/** What people are told. `Pending`: what is wanted has not reached the worker, or nothing is known of it yet. */
export type IdePhase = 'Pending' | 'Starting' | 'Recreating' | 'Ready' | 'Failed' | 'Disabled';

/** The IDE of one workspace: what was asked for through us, and what its bridge said last. */
export interface IdeRecord {
  readonly workspaceId: string;
  /** Null where nobody asked, so that the template's choice holds. */
  readonly wanted: boolean | null;
  readonly reported: IdeReport;
  /** How often the wish was sent again since it was last seen to hold, and when that is due next. */
  readonly repairs: number;
  readonly repairAt: Date | null;
  /** A new build that was asked for to have the IDE: which registration of the bridge it replaces, and since when. */
  readonly recreation: { readonly replaces: number; readonly since: Date } | null;
}

export const nothingReported: IdeReport = { enabled: null, phase: null, message: '' };

export const unknownIde = (workspaceId: string): IdeRecord => ({
  workspaceId,
  wanted: null,
  reported: nothingReported,
  repairs: 0,
  repairAt: null,
  recreation: null,
});

export type RebuildState = 'under way' | 'failed';

/** Where the IDE is heard from: `connected` while a bridge of the workspace is, `running` as Coder says. */
export interface IdeGround {
  readonly connected: boolean;
  readonly running: boolean;
  /** Where the new build stands that was asked for; null where none was, or a bridge came of it. */
  readonly rebuild?: RebuildState | null;
}

export interface IdeStatus {
  readonly enabled: boolean;
  readonly phase: IdePhase;
  readonly message: string;
}

const whileEnabled: Readonly<Record<IdeStatePhase, IdePhase>> = {
  // The worker has not begun with the newest wish.
  Stopped: 'Pending',
  Starting: 'Starting',
  Ready: 'Ready',
  Failed: 'Failed',
};

const remedy =
  'Ask for the IDE again to retry, or build the workspace with ide_enabled=true and an image that has one.';

/** Words of the compatible API. */
const recreating = 'Pod restart required';
const rebuildFailed =
  'The new build of the workspace failed. Look at its log in Coder and start the workspace there, or ask again.';

/** Longer than a build may take: one that never began must not be waited for. */
const longestRecreationMs = 15 * 60_000;

/** True until the build that was asked for has brought a new bridge, or has taken too long. */
export const isRecreating = (
  { recreation }: Pick<IdeRecord, 'recreation'>,
  generation: number | null,
  now: Date,
): boolean =>
  recreation !== null &&
  (generation ?? 0) <= recreation.replaces &&
  now.getTime() - recreation.since.getTime() < longestRecreationMs;

const rebuildStates: Readonly<Record<string, RebuildState>> = {
  pending: 'under way',
  starting: 'under way',
  running: 'under way',
  failed: 'failed',
  canceling: 'failed',
  canceled: 'failed',
};

/** Where a new build stands, by Coder's word for the workspace. */
export const rebuildOf = (isUnderWay: boolean, buildStatus: string): RebuildState | null =>
  isUnderWay ? (rebuildStates[buildStatus] ?? null) : null;

/** Where the IDE stands: what was reported counts only while it can be true, and only about what is wanted. */
export function statusOf({ wanted, reported }: IdeRecord, { connected, running, rebuild }: IdeGround): IdeStatus {
  if (rebuild === 'under way') return { enabled: true, phase: 'Recreating', message: recreating };
  if (rebuild === 'failed') return { enabled: true, phase: 'Failed', message: rebuildFailed };
  const { phase } = reported;
  const enabled = wanted ?? reported.enabled ?? (phase !== null && phase !== 'Stopped');
  const is = (now: IdePhase, message = ''): IdeStatus => ({ enabled, phase: now, message });
  if (!running) return enabled ? is('Pending', 'The workspace does not run. Its IDE starts with it.') : is('Disabled');
  if (!connected)
    return wanted === null && !enabled
      ? is('Disabled')
      : is('Pending', 'The bridge of the workspace is not connected.');
  if (wanted !== null && reported.enabled !== wanted) return is('Pending', 'The workspace is being told.');
  if (!enabled)
    return phase === null || phase === 'Stopped' ? is('Disabled') : is('Pending', 'The IDE is being stopped.');
  if (phase === null) return is('Pending', 'The workspace has not answered yet.');
  return phase === 'Failed'
    ? is('Failed', `${reported.message || 'The IDE could not be started.'} ${remedy}`)
    : is(whileEnabled[phase], reported.message);
}

/** True when nothing more will happen by itself. */
export const isSettled = ({ phase }: IdeStatus): boolean =>
  phase === 'Ready' || phase === 'Failed' || phase === 'Disabled';

/** True where a connected bridge lives by another wish than ours. */
export const isAstray = ({ wanted, reported }: Pick<IdeRecord, 'wanted' | 'reported'>): boolean =>
  wanted !== null && reported.enabled !== wanted;

const firstRepairMs = 10_000;
const longestRepairMs = 3_600_000;

/** When the wish is sent once more if it still does not hold: a workspace that refuses it is not asked for ever. */
export const nextRepair = (repairs: number, now: Date): Date =>
  new Date(now.getTime() + Math.min(longestRepairMs, firstRepairMs * 2 ** Math.min(repairs, 20)));
