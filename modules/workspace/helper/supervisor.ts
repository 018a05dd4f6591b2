import type { IdeState, IdeStatePhase, IdeWish } from '../../contract.ts';
import { IdeMissing, type IdeProcess } from './ide-process.ts';

export interface SupervisorOptions {
  /** What is wanted now. */
  readonly wish: () => IdeWish;
  /** What is missing before it can be started, in words for people; null where nothing is. */
  readonly waitsFor: () => string | null;
  /** Starts the IDE; throws `IdeMissing` where there is none. */
  readonly launch: () => IdeProcess;
  /** Told of every change. */
  readonly tell: (state: IdeState) => void;
  readonly nowMs: () => number;
}

export interface Supervisor {
  state(): IdeState;
  /** Looks once, and does the one thing that is due. Never throws. */
  look(): Promise<void>;
  /** Ends the IDE for good. */
  end(): Promise<void>;
}

/** Also bounds how often somebody who can write the wish makes the IDE start and stop. */
export const shortestGapMs = 3_000;
const longestGapMs = 30_000;
const startTimeoutMs = 60_000;
const probeEveryMs = 15_000;
const failuresToGiveUp = 5;
const failedProbesToRestart = 3;
/** An IDE that served this long was well; what happens next is a new story. */
const steadyMs = 300_000;

/** Pause before the next start after this many failures in a row. */
export const gapAfter = (failures: number): number => Math.min(shortestGapMs * 2 ** failures, longestGapMs);

/** Keeps the IDE as it is wanted: starts it, watches it, starts it again with growing pauses, and gives up in the end. */
export function superviseIde({ wish, waitsFor, launch, tell, nowMs }: SupervisorOptions): Supervisor {
  let wanted = wish();
  let state: IdeState = { phase: 'Stopped', message: '', generation: wanted.generation };
  let ide: IdeProcess | null = null;
  let [failures, failedProbes] = [0, 0];
  let [startedMs, readyMs, probedMs] = [-Infinity, Infinity, -Infinity];
  let hasGivenUp = false;

  function say(phase: IdeStatePhase, message = ''): void {
    const next = { phase, message, generation: wanted.generation };
    if (JSON.stringify(next) === JSON.stringify(state)) return;
    state = next;
    tell(state);
  }

  async function stop(): Promise<void> {
    const running = ide;
    ide = null;
    await running?.stop();
  }

  function start(): void {
    if (nowMs() - startedMs < gapAfter(failures)) return;
    startedMs = nowMs();
    [readyMs, probedMs, failedProbes] = [Infinity, -Infinity, 0];
    try {
      ide = launch();
      say('Starting');
    } catch (error) {
      if (error instanceof IdeMissing) giveUp(error.message);
      else failed('could not be started');
    }
  }

  function giveUp(message: string): void {
    hasGivenUp = true;
    say('Failed', message);
  }

  function failed(how: string): void {
    failures = nowMs() - readyMs >= steadyMs ? 1 : failures + 1;
    if (failures >= failuresToGiveUp)
      giveUp(`The IDE ${how}, ${String(failures)} times in a row. Its log is in ~/.local/share/outrigger-ide.`);
    else say('Starting', `The IDE ${how}. It is started again.`);
  }

  async function watch(running: IdeProcess): Promise<void> {
    const how = running.ended();
    if (how !== null) {
      await stop();
      return failed(how);
    }
    const isReady = readyMs !== Infinity;
    if (isReady && nowMs() - probedMs < probeEveryMs) return say('Ready');
    probedMs = nowMs();
    failedProbes = (await running.isServing()) ? 0 : failedProbes + 1;
    if (failedProbes === 0) {
      if (!isReady) readyMs = nowMs();
      return say('Ready');
    }
    const isLost = isReady ? failedProbes >= failedProbesToRestart : nowMs() - startedMs > startTimeoutMs;
    if (!isLost) return;
    await stop();
    failed(isReady ? 'stopped answering' : 'did not answer in time');
  }

  return {
    state: () => state,
    async look() {
      const before = wanted;
      wanted = wish();
      if (wanted.generation !== before.generation || !wanted.enabled) [failures, hasGivenUp] = [0, false];
      if (!wanted.enabled) {
        await stop();
        return say('Stopped');
      }
      if (hasGivenUp) return say('Failed', state.message);
      if (ide !== null) return await watch(ide);
      const missing = waitsFor();
      if (missing === null) start();
      else say('Starting', missing);
    },
    async end() {
      await stop();
      say('Stopped', 'The workspace stops.');
    },
  };
}
