import { join } from 'node:path';
import { ideStatePhases, runFiles, type IdeReport, type IdeState, type IdeWish } from '../../contract.ts';
import { textOf, type Log } from './log.ts';
import { readRunFile, replaceRunFile } from './run-file.ts';

/** The IDE in the worker, as far as the bridge can reach it: it wishes, the worker's helper does. */
export interface Ide {
  /** Writes the wish. The same again changes nothing, unless the IDE failed: then it is wished anew. Throws when it cannot. */
  wish(enabled: boolean): IdeReport;
  report(): IdeReport;
  end(): void;
}

export interface IdeParts {
  /** The directory that worker and sidecar share. */
  readonly directory: string;
  readonly log: Log;
  /** Called when what `report` answers has changed. */
  readonly onChange: () => void;
  readonly lookMs?: number;
}

const lookMsDefault = 1_000;
/** A generation beyond this was not counted up to. */
const maxGeneration = 1_000_000_000;
const maxMessage = 300;

export function makeIde({ directory, log, onChange, lookMs = lookMsDefault }: IdeParts): Ide {
  const wishFile = join(directory, runFiles.ide);
  const stateFile = join(directory, runFiles.ideState);
  const readWish = (): IdeWish | null => asWish(readRunFile(wishFile));
  const readState = (): IdeState | null => asState(readRunFile(stateFile));

  function report(): IdeReport {
    const [wish, state] = [readWish(), readState()];
    const isOfWish = state !== null && state.generation === (wish?.generation ?? 0);
    return {
      enabled: wish?.enabled ?? null,
      phase: isOfWish ? state.phase : null,
      message: isOfWish ? state.message : '',
    };
  }

  let last = JSON.stringify(report());
  const timer = setInterval(() => {
    const now = JSON.stringify(report());
    if (now === last) return;
    last = now;
    onChange();
  }, lookMs);
  timer.unref();

  return {
    wish(enabled) {
      const [wish, state] = [readWish(), readState()];
      const hasFailed = state?.phase === 'Failed' && state.generation === wish?.generation;
      if (wish?.enabled !== enabled || (enabled && hasFailed)) {
        const generation = Math.max(wish?.generation ?? 0, state?.generation ?? 0) + 1;
        try {
          replaceRunFile(wishFile, { enabled, generation: generation > maxGeneration ? 1 : generation });
        } catch (error) {
          log('warn', 'the wish for the IDE cannot be written', { file: wishFile, error: textOf(error) });
          throw new Error('The bridge cannot write to the directory it shares with the worker. Rebuild the workspace.');
        }
      }
      return report();
    },
    report,
    end: () => clearInterval(timer),
  };
}

function asWish(value: unknown): IdeWish | null {
  if (!hasExactly(value, ['enabled', 'generation'])) return null;
  const { enabled, generation } = value;
  return typeof enabled === 'boolean' && isGeneration(generation) ? { enabled, generation } : null;
}

function asState(value: unknown): IdeState | null {
  if (!hasExactly(value, ['phase', 'message', 'generation'])) return null;
  const { phase: given, message, generation } = value;
  const phase = ideStatePhases.find((known) => known === given);
  if (phase === undefined || typeof message !== 'string' || !isGeneration(generation)) return null;
  return { phase, message: plain(message), generation };
}

function hasExactly<Name extends string>(
  value: unknown,
  names: readonly Name[],
): value is Readonly<Record<Name, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length === names.length && names.every((name) => keys.includes(name));
}

const isGeneration = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxGeneration;

/** One line that moves no cursor, turns no text around and can be stored. */
const plain = (text: string): string =>
  text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]+/gu, ' ')
    .trim()
    .slice(0, maxMessage)
    .replace(/\p{Surrogate}$/u, '');
