import { z } from 'zod';

const part = z.looseObject({ type: z.string().optional(), text: z.string().optional() });
const message = z.looseObject({
  role: z.string(),
  content: z.union([z.string(), z.array(part)]).nullish(),
  tool_calls: z.array(z.looseObject({ id: z.string() })).nullish(),
  tool_call_id: z.string().nullish(),
});
export const completionRequest = z.looseObject({
  model: z.string(),
  messages: z.array(message),
  stream: z.boolean().nullish(),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }) })).nullish(),
});

export type Message = z.output<typeof message>;
export type CompletionRequest = z.output<typeof completionRequest>;

/** What a step may decide from. */
export interface Conversation {
  /** The user message that named the scenario or matched the play. */
  readonly prompt: string;
  /** Answers already given to that message, and done with. */
  readonly step: number;
  readonly messages: readonly Message[];
  /** Texts of the tool results since that message, oldest first. */
  readonly toolResults: readonly string[];
}

export function textOf(item: Message): string {
  if (typeof item.content === 'string') return item.content;
  return (item.content ?? []).map((one) => one.text ?? '').join('');
}

/** What the harness tells the model before anybody speaks. */
export const systemText = (messages: readonly Message[]): string =>
  messages
    .filter(({ role }) => role === 'system')
    .map(textOf)
    .join('\n');

export const userTexts = (messages: readonly Message[]): string[] =>
  messages.filter((item) => item.role === 'user').map(textOf);

/** What OpenCode 1.18 puts in place of the result of a tool that did not end, or behind what it had said until then. */
const interrupted = /tool execution (was )?(interrupted|aborted)|user aborted the command/i;

/**
 * The conversation since the newest user message that `isOrigin` accepts; undefined when there is none.
 *
 * Steps    a text answer counts one; an answer with tool calls counts one when each call has a result and none of them
 *          says that the tool was interrupted. So a session that was killed in the middle of a tool and is resumed with
 *          a continuation prompt (which is no origin) plays the interrupted step again, and nothing before it.
 *          Empty answers, which a killed harness leaves behind, count nothing.
 */
export function conversationSince(
  messages: readonly Message[],
  isOrigin: (text: string) => boolean,
): Conversation | undefined {
  const start = messages.findLastIndex((item) => item.role === 'user' && isOrigin(textOf(item)));
  const origin = messages[start];
  if (origin === undefined) return undefined;
  const since = messages.slice(start + 1);
  const results = new Map(
    since.flatMap((item) => (item.tool_call_id ? [[item.tool_call_id, textOf(item)] as const] : [])),
  );
  const isDone = (item: Message): boolean => {
    const calls = item.tool_calls ?? [];
    if (calls.length === 0) return textOf(item) !== '';
    return calls.every((call) => results.has(call.id) && !interrupted.test(results.get(call.id) ?? ''));
  };
  return {
    prompt: textOf(origin),
    step: since.filter((item) => item.role === 'assistant' && isDone(item)).length,
    messages,
    toolResults: [...results.values()],
  };
}

/** Requests for a title or a summary offer no tools, or say so in their system prompt. */
export function isTitleRequest(request: CompletionRequest): boolean {
  // An answer in a form is work, with or without tools.
  if (request['response_format'] !== undefined) return false;
  if ((request.tools ?? []).length === 0) return true;
  return request.messages.some(
    (item) => item.role === 'system' && /title generator|generate a title/i.test(textOf(item)),
  );
}
