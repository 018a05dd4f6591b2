import type { Socket } from 'node:net';

/** The bytes of a connection, read as far as a decision needs before the rest flows on by itself. */
export interface Inbox {
  /**
   * Answers as soon as `look` does. Rejects when the other side ends or breaks first, when `mostBytes` were not enough
   * or `withinMs` is over. What was read stays: `take` removes it.
   */
  until<Found>(look: (seen: Buffer) => Found | null, mostBytes: number, withinMs: number): Promise<Found>;
  take(bytes: number): Buffer;
  /** From now on every byte goes to `sink`, beginning with those that are there. Answers with false to slow it down. */
  flow(sink: (piece: Buffer) => boolean): void;
}

/** As much waits here for a decision, more than any of them needs; the rest waits where it comes from. */
const mostHeldBytes = 256 * 1024;

export function makeInbox(socket: Socket): Inbox {
  let held = Buffer.alloc(0);
  let sink: ((piece: Buffer) => boolean) | null = null;
  let changed: () => void = () => undefined;
  let isOver = false;
  const pass = (piece: Buffer, to: (piece: Buffer) => boolean): void => {
    if (piece.length > 0 && !to(piece)) socket.pause();
  };
  socket.on('data', (piece: Buffer) => {
    if (sink !== null) return pass(piece, sink);
    held = Buffer.concat([held, piece]);
    if (held.length > mostHeldBytes) socket.pause();
    changed();
  });
  for (const end of ['end', 'close', 'error'])
    socket.on(end, () => {
      isOver = true;
      changed();
    });

  return {
    until(look, mostBytes, withinMs) {
      return new Promise((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer);
          changed = () => undefined;
          act();
        };
        const timer = setTimeout(() => settle(() => reject(new Error('Nothing came in time.'))), withinMs);
        changed = () => {
          const found = look(held);
          if (found !== null) settle(() => resolve(found));
          else if (isOver) settle(() => reject(new Error('The other side ended first.')));
          else if (held.length > mostBytes) settle(() => reject(new Error('It is too long.')));
        };
        changed();
      });
    },
    take(bytes) {
      const taken = held.subarray(0, bytes);
      held = held.subarray(bytes);
      return taken;
    },
    flow(to) {
      sink = to;
      const first = held;
      held = Buffer.alloc(0);
      socket.resume();
      pass(first, to);
    },
  };
}
