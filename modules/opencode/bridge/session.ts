import { createHash } from 'node:crypto';
import type { LateAnswer, Lease, TaskMessage } from '../../contract.ts';
import type { Emit } from './events.ts';
import type { HarnessClient, HarnessMessage } from './harness.ts';

/**
 * Opens the session of a task, or the one an earlier attempt left.
 *
 * The data directory belongs to the task, so a session in it is the task's even where the service never heard
 * of it, because the bridge died between opening and telling.
 */
export async function openSession(client: HarnessClient, lease: Lease, emit: Emit): Promise<string> {
  const known = lease.session_id !== null && (await client.hasSession(lease.session_id)) ? lease.session_id : null;
  const existing = known ?? (await client.rootSessions()).at(-1) ?? null;
  const sessionId = existing ?? (await client.createSession(lease.title));
  // `session.opened` is what makes the service remember the id, so it also follows a lost one.
  if (existing === null || lease.session_id !== sessionId) emit('session.opened', { session_id: sessionId });
  if (existing !== null) emit('session.resumed', { session_id: sessionId, attempt: lease.attempt });
  return sessionId;
}

export interface PromptToSend {
  readonly messageId: string;
  readonly partId: string;
  readonly text: string;
  readonly isContinuation: boolean;
  /** Of a message that a person sent to the task. */
  readonly taskMessageId?: string;
}

/** Begins like this so that neither people nor models take it for a new task. */
const continuation = [
  'The previous attempt at this task was interrupted. A command that was running then was not run again,',
  'and changes to files may be half done. Look at the work tree first, then go on from where you stopped.',
].join(' ');

/** Said instead where a person answered after the attempt had been parked. */
const afterAnswers = (answers: readonly LateAnswer[]): string =>
  [
    'You had to wait for a person, and the attempt was ended meanwhile. The person has decided now:',
    ...answers.map(
      ({ title, decision, message }) =>
        `- ${title}: ${decision === 'once' ? 'allowed. Make exactly the same call again; it passes once' : 'not allowed'}.${message ? ` ${message}` : ''}`,
    ),
    'Nothing of it was run. Go on from where you stopped.',
  ].join('\n');

const wasHeard = (messages: readonly HarnessMessage[], message: TaskMessage): boolean =>
  messages.some(({ info }) => info.id === promptOf(message).messageId);

/** Ids of messages that the session heard in an attempt that ended before the service knew of it. */
export const heardBefore = (messages: readonly HarnessMessage[], lease: Lease): readonly string[] =>
  (lease.messages ?? []).filter((one) => wasHeard(messages, one)).map(({ id }) => id);

/** What the session must hear now, in this order: the prompt, and messages that it has not heard. */
export function promptsToSay(messages: readonly HarnessMessage[], lease: Lease): readonly PromptToSend[] {
  const unheard = (lease.messages ?? []).filter((one) => !wasHeard(messages, one)).map(promptOf);
  const first = nextPrompt(messages, lease);
  return first ? [first, ...unheard] : unheard;
}

/**
 * What must be said to the session now; null when its last turn is complete and only the result is missing.
 *
 * The prompt of a task is said once, whatever happens: later attempts find it in the session and only ask to go
 * on, with ids that follow from the attempt, so that saying it again is harmless too.
 */
export function nextPrompt(messages: readonly HarnessMessage[], lease: Lease): PromptToSend | null {
  const isThere = (id: string): boolean => messages.some(({ info }) => info.id === id);
  if (!isThere(lease.message_id))
    return { messageId: lease.message_id, partId: lease.part_id, text: lease.prompt, isContinuation: false };
  const last = messages.at(-1)?.info;
  if (last?.role === 'assistant' && !last.error && (last.finish === 'stop' || last.finish === 'length')) return null;
  const text = lease.answers?.length ? afterAnswers(lease.answers) : continuation;
  const suffix = createHash('sha256').update(`${lease.message_id}:${lease.attempt}`).digest('hex').slice(0, 26);
  return { messageId: `msg_${suffix}`, partId: `prt_${suffix}`, text, isContinuation: true };
}

/** The ids follow from the message, so that an attempt finds in the session what an earlier one has said. */
export function promptOf({ id, text }: TaskMessage): PromptToSend {
  const plain = id.replaceAll('-', '');
  return { messageId: `msg_${plain}`, partId: `prt_${plain}`, text, isContinuation: false, taskMessageId: id };
}
