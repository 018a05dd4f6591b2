import type { Request, Response } from 'express';
import { createSession } from 'better-sse';
import type { WebSocket } from 'ws';
import { closeCodes } from '../../modules/contract.ts';

/** An event as every stream sends it. */
export interface StreamEvent {
  readonly seq: number;
  readonly type: string;
}

/** What a watcher listens to: Server-Sent Events or a WebSocket. */
export interface Pipe {
  push(event: StreamEvent): void;
  /** Says that we live; false where that too would have to wait. */
  beat(): boolean;
  /** Nothing more comes: there is nothing more, or this process ends and the watcher should come back. */
  end(why: 'finished' | 'draining'): void;
  /** Ends it without a word. */
  cut(): void;
  /** Open, with room for more. */
  isReady(): boolean;
  /** The watcher has not read what was sent. */
  isFull(): boolean;
  onDrain(hear: () => void): void;
  onClose(hear: () => void): void;
}

/** Begins an answer of Server-Sent Events; null when the caller has left. */
export async function overSse(request: Request, response: Response): Promise<Pipe | null> {
  if (response.destroyed) return null;
  // The session's own keep-alive would outlive a caller who leaves before it begins.
  const session = await createSession(request, response, { retry: 1_000, keepAlive: null });
  if (response.destroyed) return null;
  return {
    push: (event) => void session.push(event, event.type, String(event.seq)),
    beat: () => response.write(':\n\n'),
    end: () => void response.end(),
    cut: () => void response.destroy(),
    isReady: () => !response.destroyed && !response.writableEnded && !response.writableNeedDrain,
    isFull: () => response.writableNeedDrain,
    onDrain: (hear) => void response.on('drain', hear),
    onClose: (hear) => void response.once('close', hear),
  };
}

/** Above this a watcher counts as one who does not read; below it as one who does. */
const fullBytes = 64 * 1024;

/** A WebSocket as a pipe; it hears nothing from the other side. */
export function overSocket(socket: WebSocket): Pipe {
  const waiting: (() => void)[] = [];
  let wasFull = false;
  const isFull = (): boolean => socket.bufferedAmount > fullBytes;
  const sent = (): void => {
    wasFull ||= isFull();
    if (!wasFull || isFull()) return;
    wasFull = false;
    waiting.forEach((hear) => hear());
  };
  return {
    push(event) {
      socket.send(JSON.stringify(event), sent);
      wasFull ||= isFull();
    },
    beat() {
      socket.ping();
      return !isFull();
    },
    end: (why) =>
      why === 'finished' ? socket.close(1000, 'finished') : socket.close(closeCodes.draining, 'the service restarts'),
    cut: () => socket.terminate(),
    isReady: () => socket.readyState === socket.OPEN && !isFull(),
    isFull,
    onDrain: (hear) => void waiting.push(hear),
    onClose: (hear) => void socket.once('close', hear),
  };
}
