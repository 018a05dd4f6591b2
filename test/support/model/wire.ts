import type { Step, ToolCall } from './step.ts';

/** What the model says it used; the answer always carries it. */
export interface ScriptedUsage {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
  readonly reasoning: number;
  /** US dollars, as OpenRouter reports them; null leaves the field out. */
  readonly cost: number | null;
}

export const defaultUsage: ScriptedUsage = { prompt: 1000, cached: 200, completion: 50, reasoning: 7, cost: null };

export const usageJson = (usage: ScriptedUsage): Record<string, unknown> => ({
  prompt_tokens: usage.prompt,
  completion_tokens: usage.completion,
  total_tokens: usage.prompt + usage.completion,
  prompt_tokens_details: { cached_tokens: usage.cached },
  completion_tokens_details: { reasoning_tokens: usage.reasoning },
  ...(usage.cost === null ? {} : { cost: usage.cost }),
});

export const frame = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
export const done = 'data: [DONE]\n\n';

export interface Writer {
  readonly id: string;
  readonly model: string;
  readonly usage: ScriptedUsage;
}

export const chunk = (writer: Writer, delta: Record<string, unknown>, finish: string | null = null): string =>
  frame({
    id: writer.id,
    object: 'chat.completion.chunk',
    created: 0,
    model: writer.model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  });

const ending = (writer: Writer, finish: string): string[] => [
  chunk(writer, {}, finish),
  frame({
    id: writer.id,
    object: 'chat.completion.chunk',
    created: 0,
    model: writer.model,
    choices: [],
    usage: usageJson(writer.usage),
  }),
  done,
];

export const toolCallsOf = (step: Step): readonly ToolCall[] => {
  if ('tools' in step) return step.tools;
  return 'tool' in step ? [step] : [];
};

export const callId = (writer: Writer, index: number): string => `call_${writer.id}_${index}`;

function toolChunks(writer: Writer, calls: readonly ToolCall[]): string[] {
  return calls.flatMap((call, index) => [
    chunk(writer, {
      tool_calls: [
        { index, id: callId(writer, index), type: 'function', function: { name: call.tool, arguments: '' } },
      ],
    }),
    chunk(writer, { tool_calls: [{ index, function: { arguments: JSON.stringify(call.arguments) } }] }),
  ]);
}

/** The frames of a good answer, one per word or half tool call. */
export function answerFrames(writer: Writer, step: Step): string[] {
  const calls = toolCallsOf(step);
  const text = 'text' in step ? (step.text ?? '') : '';
  const reasoning = 'reasoning' in step ? (step.reasoning ?? '') : '';
  const finish = 'finish' in step && step.finish !== undefined ? step.finish : calls.length > 0 ? 'tool_calls' : 'stop';
  return [
    chunk(writer, { role: 'assistant', content: calls.length > 0 ? null : '' }),
    ...(reasoning === '' ? [] : [chunk(writer, { reasoning_content: reasoning })]),
    ...(text.match(/\S+\s*/g) ?? []).map((word) => chunk(writer, { content: word })),
    ...toolChunks(writer, calls),
    ...ending(writer, finish),
  ];
}

/** The same answer for a caller that did not ask for a stream. */
export function answerJson(writer: Writer, step: Step): Record<string, unknown> {
  const calls = toolCallsOf(step).map((call, index) => ({
    id: callId(writer, index),
    type: 'function',
    function: { name: call.tool, arguments: JSON.stringify(call.arguments) },
  }));
  const message = {
    role: 'assistant',
    content: 'text' in step ? (step.text ?? null) : null,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  const finish = 'finish' in step && step.finish !== undefined ? step.finish : calls.length > 0 ? 'tool_calls' : 'stop';
  return {
    id: writer.id,
    object: 'chat.completion',
    created: 0,
    model: writer.model,
    choices: [{ index: 0, message, finish_reason: finish }],
    usage: usageJson(writer.usage),
  };
}
