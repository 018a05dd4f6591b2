import type { Reason } from '../../contract.ts';

/** Why an attempt is ended before its work is done. */
export type Ending =
  /** The service asked; a receipt is owed. */
  | { readonly kind: 'stop'; readonly reason: Reason }
  /** The attempt is not ours any more: end it and say nothing. */
  | { readonly kind: 'fence' }
  /** The bridge itself ends. */
  | { readonly kind: 'shutdown' }
  /** A limit of the bridge was reached. */
  | { readonly kind: 'limit'; readonly reason: Reason; readonly message: string };

export class Ended extends Error {
  readonly ending: Ending;
  constructor(ending: Ending) {
    super(`The attempt was ended: ${ending.kind}.`);
    this.ending = ending;
  }
}

/** The one place where an attempt learns that it must end; the first reason stays, a fence replaces any. */
export interface EndSwitch {
  request(ending: Ending): void;
  readonly ending: Ending | null;
  readonly signal: AbortSignal;
  /** Rejects with `Ended` as soon as an end is requested, else does what the work does. */
  guard<Value>(work: Promise<Value>): Promise<Value>;
}

export function makeEndSwitch(): EndSwitch {
  const controller = new AbortController();
  let ending: Ending | null = null;
  let reject: (error: Error) => void = () => undefined;
  const ended = new Promise<never>((_resolve, fail) => (reject = fail));
  ended.catch(() => undefined);
  return {
    request(next) {
      if (ending === null || next.kind === 'fence') ending = next;
      controller.abort();
      reject(new Ended(ending));
    },
    get ending() {
      return ending;
    },
    signal: controller.signal,
    guard: (work) => Promise.race([work, ended]),
  };
}
