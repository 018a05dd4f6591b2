import { admit, close, closeFailed, exchange, type CallModelParts } from './call-model.ts';
import { endedTurn, invalidRequest } from './faults.ts';
import type { TaskIdentity } from './gateway-store.ts';
import { parseCompletion } from './request-body.ts';

/** A model call of the service itself: takes and answers an OpenAI body, without a stream. */
export type Complete = (identity: TaskIdentity, body: string, signal: AbortSignal) => Promise<string>;

/**
 * Makes model calls inside the service, admitted, metered and ended like those of a task.
 *
 * Errors  a `ModelFault`; `identity` needs a live task token, which bounds the calls.
 */
export const makeComplete =
  (parts: CallModelParts): Complete =>
  async (identity, body, signal) => {
    const completion = parseCompletion(body);
    if (completion.isStream) throw invalidRequest('a call of the service itself has no stream');
    const call = await admit(parts, identity, completion, signal);
    const leave = parts.openCalls.enter(identity, call.fuse);
    const end = (): void => call.fuse.end('stopped');
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      const whole = await exchange(parts, call);
      await close(parts, call, 'succeeded', null);
      return whole ?? '';
    } catch (error) {
      throw (await closeFailed(parts, call, error)) ?? endedTurn('task_stopped', error);
    } finally {
      signal.removeEventListener('abort', end);
      call.fuse.clear();
      leave();
    }
  };
