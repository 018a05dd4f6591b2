import type { Clock } from '../template-context.ts';

/** Runs one step of a command and tells how it went; what it throws is thrown on. */
export type Step = <Result>(
  title: string,
  work: (say: (detail: string) => void) => Promise<Result>,
  /** What came of it, in a few words. */
  summarize: (result: Result) => string,
) => Promise<Result>;

/** Each step is a line when it begins and a line when it ends, with its details between them. */
export function makeStep(parts: {
  readonly tell: (line: string) => void;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly signal: AbortSignal;
}): Step {
  const { tell, clock, signal } = parts;
  return async (title, work, summarize) => {
    signal.throwIfAborted();
    const beganAtMs = clock.nowMs();
    const seconds = (): string => `${((clock.nowMs() - beganAtMs) / 1000).toFixed(1)} s`;
    tell(`❯ ${title}`);
    try {
      const result = await work((detail) => tell(`    ${detail}`));
      tell(`✔ ${title}: ${summarize(result)} (${seconds()})`);
      return result;
    } catch (error) {
      tell(`✖ ${title} (${seconds()})`);
      throw error;
    }
  };
}

/** Asks again until `read` answers something; undefined when the time is up. Throws the signal's reason. */
export async function poll<Found>(
  parts: { readonly clock: Clock; readonly signal: AbortSignal; readonly pollMs: number; readonly timeoutMs: number },
  read: () => Promise<Found | undefined>,
): Promise<Found | undefined> {
  const deadlineMs = parts.clock.nowMs() + parts.timeoutMs;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (parts.clock.nowMs() > deadlineMs) return undefined;
    await parts.clock.sleep(parts.pollMs, parts.signal);
  }
}
