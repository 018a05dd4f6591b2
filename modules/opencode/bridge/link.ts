import { randomUUID } from 'node:crypto';
import {
  closeCodes,
  readingTools,
  toolTypes,
  unknownCommand,
  type BridgeRequests,
  type BridgeRequestType,
  type ReplyFrame,
  type RequestFrame,
  type ServiceRequests,
  type ServiceRequestType,
} from '../../contract.ts';
import { textOf, type Log } from './log.ts';
import type { Registrar } from './register.ts';
import { openSocket, type Socket } from './socket.ts';
import { tooFast } from './tools/tools.ts';

export type Answer<Type extends BridgeRequestType> =
  | { readonly success: true; readonly data: BridgeRequests[Type]['data'] }
  | { readonly success: false; readonly error: string };

export type Commands = {
  readonly [Type in ServiceRequestType]: (
    payload: ServiceRequests[Type]['payload'],
  ) => Promise<ServiceRequests[Type]['data']>;
};

/** The bridge's connection to the service: opened from here, reopened for ever. */
export interface Link {
  isOpen(): boolean;
  /** Rejects when the connection is lost or nothing is answered in time; a refusal is an answer. */
  request<Type extends BridgeRequestType>(
    type: Type,
    payload: BridgeRequests[Type]['payload'],
    timeoutMs?: number,
  ): Promise<Answer<Type>>;
  onOpen(listener: () => void): void;
  /** Closes the socket so that it is opened again. */
  reconnect(reason: string): void;
  close(): void;
}

export interface LinkParts {
  readonly url: string;
  /** Through which the service is reached; null: directly. */
  readonly proxy: string | null;
  readonly registrar: Registrar;
  readonly commands: Commands;
  readonly log: Log;
  /** A newer registration took over: this bridge is done. */
  readonly onSuperseded: () => void;
}

const requestMs = 30_000;
const firstPauseMs = 250;
/** Short against the lease of 45 s, so that a service that comes back finds its attempts held. */
const longestPauseMs = 5_000;
const probeMs = 5_000;
/** Tools that change something. */
const doneOnce: ReadonlySet<string> = new Set(toolTypes.filter((type) => !readingTools.includes(type)));
const keptAnswers = 100;

export function openLink(parts: LinkParts): Link {
  const { registrar, log } = parts;
  const waiting = new Map<string, { resolve(frame: ReplyFrame): void; reject(error: Error): void }>();
  const answered = new Map<string, Promise<ReplyFrame>>();
  let socket: Socket | null = null;
  let opened = (): void => undefined;
  let isClosed = false;
  let wake = (): void => undefined;
  let failures = 0;

  async function live(): Promise<void> {
    while (!isClosed) {
      const token = await registrar.token();
      if (token === null || isClosed) return;
      const code = await holdConnection(token);
      socket = null;
      for (const one of waiting.values()) one.reject(new Error('The connection to the service was lost.'));
      waiting.clear();
      if (isClosed) return;
      if (code === closeCodes.superseded) {
        isClosed = true;
        log('warn', 'a newer registration of this workspace took over; this bridge ends');
        return parts.onSuperseded();
      }
      if (code === closeCodes.unauthenticated || (failures > 0 && (await isServiceUp()))) registrar.forget();
      failures += 1;
      const pauseMs = Math.random() * Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 8));
      log('info', 'not connected to the service; trying again', { code, pause_ms: Math.round(pauseMs) });
      await pause(pauseMs);
    }
  }

  /** Ends early where the link is closed: nothing keeps the process from ending then. */
  const pause = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  /**
   * The runtime does not say why an upgrade was refused. Where the service answers plain requests, it was the
   * token; where it does not, the token is still good and a new registration would only raise an alert.
   */
  async function isServiceUp(): Promise<boolean> {
    const answer = await fetch(`${parts.url}/healthz`, { signal: AbortSignal.timeout(probeMs) }).catch(() => null);
    return answer?.ok === true;
  }

  /** Resolves with the close code when the connection is over. */
  function holdConnection(token: string): Promise<number> {
    return new Promise((resolve) => {
      openSocket(`${parts.url.replace(/^http/, 'ws')}/api/v2/agents/bridge`, token, parts.proxy, {
        opened: (opening) => {
          socket = opening;
          failures = 0;
          log('info', 'connected to the service');
          opened();
        },
        received: (text) =>
          void received(text).catch((error: unknown) =>
            log('warn', 'a frame broke its handler', { error: textOf(error) }),
          ),
        closed: resolve,
      });
    });
  }

  /** What was asked once is done once, however often a service that lost the connection asks for it again. */
  function answerOnce(frame: RequestFrame): Promise<ReplyFrame> {
    if (!doneOnce.has(frame.type)) return answer(frame);
    const known = answered.get(frame.id) ?? answer(frame);
    answered.set(frame.id, known);
    void known.then((reply) => {
      if (!reply.success && reply.error === tooFast) answered.delete(frame.id);
    });
    for (const old of [...answered.keys()].slice(0, -keptAnswers)) answered.delete(old);
    return known;
  }

  async function received(text: string): Promise<void> {
    const frame = JSON.parse(text) as RequestFrame | ReplyFrame;
    if (typeof frame !== 'object' || typeof frame?.id !== 'string') return;
    if (!('type' in frame)) {
      waiting.get(frame.id)?.resolve(frame);
      waiting.delete(frame.id);
      return;
    }
    socket?.send(JSON.stringify(await answerOnce(frame)));
  }

  async function answer({ id, type, payload }: RequestFrame): Promise<ReplyFrame> {
    const command = Object.hasOwn(parts.commands, type) ? parts.commands[type as ServiceRequestType] : undefined;
    if (!command) return { id, success: false, error: unknownCommand(type) };
    try {
      return { id, success: true, data: await (command as (value: unknown) => Promise<unknown>)(payload) };
    } catch (error) {
      return { id, success: false, error: textOf(error).slice(0, 1_000) };
    }
  }

  void live();
  return {
    isOpen: () => socket !== null,
    onOpen: (listener) => (opened = listener),
    request(type, payload, timeoutMs = requestMs) {
      if (!socket) return Promise.reject(new Error('Not connected to the service.'));
      const id = randomUUID();
      socket.send(JSON.stringify({ id, type, payload }));
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new Error(`The service did not answer ${type} within ${timeoutMs} ms.`));
        }, timeoutMs);
        waiting.set(id, {
          resolve: (frame) => {
            clearTimeout(timer);
            resolve(frame as never);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        });
      });
    },
    reconnect: (reason) => socket?.close(reason),
    close: () => {
      isClosed = true;
      wake();
      socket?.close('the bridge ends');
    },
  };
}
