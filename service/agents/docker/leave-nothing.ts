import { removeContainer, stopContainer } from './containers.ts';
import type { Engine } from './engine.ts';

const graceSeconds = 2;
/** After that the task's end is told as unproven. */
const cleanUpMs = 30_000;
const againMs = 500;

/** Stops and removes a container, and tries again while the daemon does not answer: only then nothing is left. */
export async function leaveNothing(engine: Engine, name: string): Promise<void> {
  const signal = AbortSignal.timeout(cleanUpMs);
  for (;;) {
    try {
      await stopContainer(engine, name, graceSeconds, signal);
      return await removeContainer(engine, name, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }
}
