import type { Evidence, ToolExit } from '../../contract.ts';
import type { ApprovalGuard } from './approval-guard.ts';
import type { Asks } from './asks.ts';
import { titleOf, type Emit, type EventMapper } from './events.ts';
import { AttemptFailure } from './failure.ts';
import type { HarnessAsk, HarnessClient, HarnessError, HarnessEvent, HarnessMessage } from './harness.ts';
import { textOf, type Log } from './log.ts';
import type { PromptToSend } from './session.ts';
import type { Steering } from './steering.ts';

export type LastMessage = NonNullable<Evidence['last_message']>;

export interface TurnParts {
  readonly client: HarnessClient;
  readonly sessionId: string;
  readonly mapper: EventMapper;
  readonly asks: Asks;
  readonly guard: Pick<ApprovalGuard, 'take'>;
  readonly steering: Pick<Steering, 'begin'>;
  readonly emit: Emit;
  /** Runs before a message of a person's is said. */
  readonly beforeMessage?: (() => Promise<void>) | undefined;
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
 * turn. So events only say "look"; the end is: the session is not busy, and the last assistant message that answers
 * the newest prompt has an end or stays without one. A prompt that comes while the session is busy is taken up between
 * two calls of the model.
 */
export async function runTurn(parts: TurnParts, prompts: readonly PromptToSend[]): Promise<LastMessage> {
  const state: TurnState = {
    error: null,
    newest: null,
    saying: Promise.resolve(),
    isOver: false,
    look: () => undefined,
    isConnected: () => undefined,
  };
  const connected = new Promise<void>((resolve) => (state.isConnected = resolve));
  const turnOver = new AbortController();
  void listen({ ...parts, signal: AbortSignal.any([parts.signal, turnOver.signal]) }, state);
  try {
    await Promise.race([connected, rejectAfter(beginMs, 'The harness did not open its event stream.')]);
    for (const prompt of prompts) await say(parts, state, prompt);
    parts.steering.begin((prompt) => say(parts, state, prompt));
    return await waitForEnd(parts, state);
  } finally {
    turnOver.abort();
    parts.mapper.flush();
  }
}

interface TurnState {
  error: HarnessError | null;
  /** The prompt whose answer ends the turn, and when it was said. */
  newest: { readonly messageId: string; readonly saidAt: number } | null;
  /** Resolves when everything so far was said. */
  saying: Promise<unknown>;
  /** Nothing is said any more. */
  isOver: boolean;
  look: () => void;
  isConnected: () => void;
}

/**
 * Says one thing to the session; false once the turn is over, or when the session does not take it.
 *
 * One after the other: the harness answers before it has stored a prompt, and what is said later must stand later.
 */
function say(parts: TurnParts, state: TurnState, prompt: PromptToSend): Promise<boolean> {
  const said = state.saying.then(() => sayNow(parts, state, prompt));
  state.saying = said.catch(() => undefined);
  return said;
}

async function sayNow(parts: TurnParts, state: TurnState, prompt: PromptToSend): Promise<boolean> {
  const before = state.newest;
  if (before !== null && !(await isStored(parts, state, before.messageId))) return false;
  if (prompt.taskMessageId !== undefined) await parts.beforeMessage?.();
  if (state.isOver) return false;
  // Before it is sent, so that no end is seen between the two.
  state.newest = { messageId: prompt.messageId, saidAt: performance.now() };
  try {
    await parts.client.prompt(parts.sessionId, prompt);
    if (prompt.taskMessageId === undefined) {
      parts.emit('prompt.sent', { message_id: prompt.messageId, continuation: prompt.isContinuation });
      return true;
    }
    if (await isStored(parts, state, prompt.messageId)) {
      parts.emit('message.sent', { id: prompt.taskMessageId });
      return true;
    }
  } catch (error) {
    state.newest = before;
    throw error;
  }
  state.newest = before;
  return false;
}

async function isStored(parts: TurnParts, state: TurnState, messageId: string): Promise<boolean> {
  const until = performance.now() + beginMs / 2;
  while (state.error === null && !parts.signal.aborted && performance.now() < until) {
    const messages = await parts.client.messages(parts.sessionId).catch(() => []);
    if (messages.some(({ info }) => info.id === messageId)) return true;
    await pause(lookMs / 4);
  }
  return false;
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
  parts.guard.take(event);
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

async function waitForEnd(parts: TurnParts, state: TurnState): Promise<LastMessage> {
  let idleSince: number | null = null;
  for (;;) {
    const woken = new Promise<void>((resolve) => (state.look = resolve));
    if (parts.signal.aborted) throw new AttemptFailure('AgentError', 'The attempt was ended.', true);
    const { newest } = state;
    const now = await look(parts, newest?.messageId ?? '');
    if (now.busy || state.newest !== newest) idleSince = null;
    else {
      idleSince ??= performance.now();
      const end = endOf(now.last, state.error, performance.now() - idleSince >= settleMs);
      state.isOver = end !== null;
      if (end) return end;
      // Counted from the idle: the first one of a long turn that fails precedes its last message, too.
      if (performance.now() - Math.max(idleSince, newest?.saidAt ?? 0) > beginMs)
        throw new AttemptFailure('AgentServerNotReady', 'The harness took the prompt but did not begin.', true);
    }
    await Promise.race([woken, pause(now.busy ? lookAnywayMs : lookMs)]);
  }
}

/** What an idle session has come to; null while its last word may still come. */
function endOf(last: HarnessMessage | undefined, error: HarnessError | null, isSettled: boolean): LastMessage | null {
  if (last && (last.info.error || (last.info.time.completed && last.info.finish))) return readMessage(last);
  if (!isSettled) return null;
  if (last) return { ...readMessage(last), ...(error ? { error: readError(error) } : {}) };
  return error ? { finish: null, error: readError(error), text: '' } : null;
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

/** The timer keeps no process alive. */
const rejectAfter = (milliseconds: number, message: string): Promise<never> =>
  new Promise((_resolve, reject) => {
    setTimeout(() => reject(new AttemptFailure('AgentServerNotReady', message, true)), milliseconds).unref();
  });
