import type { Evidence, ToolExit } from '../../contract.ts';
import type { Asks } from './asks.ts';
import { titleOf, type Emit, type EventMapper } from './events.ts';
import { AttemptFailure } from './failure.ts';
import type { HarnessClient } from './harness-client.ts';
import type { HarnessAsk, HarnessError, HarnessEvent, HarnessMessage } from './harness-types.ts';
import { textOf, type Log } from './log.ts';
import type { PromptToSend } from './session.ts';

export type LastMessage = NonNullable<Evidence['last_message']>;

export interface TurnParts {
  readonly client: HarnessClient;
  readonly sessionId: string;
  readonly mapper: EventMapper;
  readonly asks: Asks;
  readonly emit: Emit;
  readonly log: Log;
  /** Ends the turn's own waiting when the attempt ends. */
  readonly signal: AbortSignal;
}

/** After the prompt a turn must show itself within this time. */
const beginMs = 60_000;
/** The first idle of an aborted turn precedes its last message update. */
const settleMs = 5_000;
const lookMs = 200;
/** Even without events the state is looked at: a stream can die in silence. */
const lookAnywayMs = 5_000;
const textBytes = 32 * 1024;

/**
 * Runs one turn of a session to its end and answers its last message.
 *
 * Neither an idle event nor an HTTP status says how a turn ended: idle comes twice, and late ones meet the next
 * turn. So events only say "look"; the end is: the session is not busy, and the last assistant message of this
 * turn has an end or stays without one.
 */
export async function runTurn(parts: TurnParts, prompt: PromptToSend): Promise<LastMessage> {
  const state: TurnState = { error: null, look: () => undefined, isConnected: () => undefined };
  const connected = new Promise<void>((resolve) => (state.isConnected = resolve));
  const turnOver = new AbortController();
  void listen({ ...parts, signal: AbortSignal.any([parts.signal, turnOver.signal]) }, state);
  try {
    await Promise.race([connected, rejectAfter(beginMs, 'The harness did not open its event stream.')]);
    await parts.client.prompt(parts.sessionId, prompt);
    parts.emit('prompt.sent', { message_id: prompt.messageId, continuation: prompt.isContinuation });
    return await waitForEnd(parts, state, prompt.messageId);
  } finally {
    turnOver.abort();
    parts.mapper.flush();
  }
}

interface TurnState {
  error: HarnessError | null;
  look: () => void;
  isConnected: () => void;
}

/** Follows the event stream for as long as the attempt lasts, again and again when it breaks. */
async function listen(parts: TurnParts, state: TurnState): Promise<void> {
  while (!parts.signal.aborted) {
    try {
      for await (const event of parts.client.events(parts.signal)) {
        await take(parts, state, event);
      }
    } catch (error) {
      if (parts.signal.aborted) return;
      parts.log('warn', 'the event stream of the harness broke', { error: textOf(error) });
    }
    await pause(lookMs);
  }
}

async function take(parts: TurnParts, state: TurnState, event: HarnessEvent): Promise<void> {
  const { type, properties } = event;
  const isOurs = properties['sessionID'] === parts.sessionId;
  parts.mapper.take(event);
  if (type === 'server.connected') {
    for (const ask of await parts.client.asks().catch(() => [])) parts.asks.raise(ask);
    state.isConnected();
    state.look();
  } else if (type === 'permission.asked') parts.asks.raise(properties as unknown as HarnessAsk);
  else if (type === 'question.asked' && typeof properties['id'] === 'string')
    await parts.client.rejectQuestion(properties['id']).catch(() => undefined);
  else if (type === 'session.error' && (isOurs || properties['sessionID'] === undefined)) {
    state.error = (properties['error'] as HarnessError | undefined) ?? {};
    state.look();
  } else if (type === 'session.idle' && isOurs) state.look();
}

async function waitForEnd(parts: TurnParts, state: TurnState, promptId: string): Promise<LastMessage> {
  const beganAt = performance.now();
  let idleSince: number | null = null;
  for (;;) {
    const woken = new Promise<void>((resolve) => (state.look = resolve));
    if (parts.signal.aborted) throw new AttemptFailure('AgentError', 'The attempt was ended.', true);
    const now = await look(parts, promptId);
    if (now.busy) idleSince = null;
    else {
      idleSince ??= performance.now();
      const { last } = now;
      if (last && (last.info.error || (last.info.time.completed && last.info.finish))) return readMessage(last);
      const isSettled = performance.now() - idleSince >= settleMs;
      if (isSettled && last) return { ...readMessage(last), ...(state.error ? { error: readError(state.error) } : {}) };
      if (isSettled && state.error) return { finish: null, error: readError(state.error), text: '' };
      if (performance.now() - beganAt > beginMs)
        throw new AttemptFailure('AgentServerNotReady', 'The harness took the prompt but did not begin.', true);
    }
    await Promise.race([woken, pause(now.busy ? lookAnywayMs : lookMs)]);
  }
}

/** A harness that does not answer counts as busy: whether it is dead, the runner knows better. */
async function look(
  { client, sessionId }: TurnParts,
  promptId: string,
): Promise<{ busy: true } | { busy: false; last: HarnessMessage | undefined }> {
  try {
    if ((await client.busySessions()).includes(sessionId)) return { busy: true };
    return { busy: false, last: lastOfTurn(await client.messages(sessionId), promptId) };
  } catch {
    return { busy: true };
  }
}

/** The last assistant message that answers the prompt: one call of the model is one message. */
export function lastOfTurn(messages: readonly HarnessMessage[], promptId: string): HarnessMessage | undefined {
  return messages.findLast(({ info }) => info.role === 'assistant' && info.parentID === promptId);
}

export function readMessage({ info, parts }: HarnessMessage): LastMessage {
  const text = parts
    .filter((part) => part.type === 'text')
    .map((part) => part.text ?? '')
    .join('');
  return {
    finish: info.finish ?? null,
    error: info.error ? readError(info.error) : null,
    text: Buffer.from(text).subarray(0, textBytes).toString('utf8'),
  };
}

/** The message may echo the provider; it is cut, and the service shows its own words instead. */
const readError = ({ name, data }: HarnessError): NonNullable<LastMessage['error']> => ({
  name: (name ?? 'UnknownError').slice(0, 200),
  message: (data?.message ?? '').slice(0, 500),
  ...(Number.isInteger(data?.statusCode) ? { status_code: data?.statusCode as number } : {}),
});

const statusOf = { completed: 'completed', error: 'error', running: 'interrupted', pending: 'interrupted' } as const;
const maxToolExits = 1_000;

/** Every tool call of the session; one that never ended was interrupted. */
export function toolExitsOf(messages: readonly HarnessMessage[]): ToolExit[] {
  return messages
    .flatMap(({ parts }) => parts)
    .flatMap((part): ToolExit[] =>
      part.type === 'tool' && part.state && part.callID
        ? [
            {
              tool: (part.tool ?? '').slice(0, 200),
              call_id: part.callID.slice(0, 200),
              status: statusOf[part.state.status],
              exit: part.state.status === 'completed' ? (part.state.metadata?.exit ?? null) : null,
              title: titleOf(part.tool ?? '', part.state),
            },
          ]
        : [],
    )
    .slice(-maxToolExits);
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function rejectAfter(milliseconds: number, message: string): Promise<never> {
  await pause(milliseconds);
  throw new AttemptFailure('AgentServerNotReady', message, true);
}
