import { z } from 'zod';
import { endedTurn, type ModelFault } from './faults.ts';
import { makeToolCalls, type ToolCalls } from './tool-calls.ts';
import { makeUsageMeter, type ReportedUsage } from './usage.ts';

const choice = z.looseObject({
  finish_reason: z.string().nullish(),
  delta: z.looseObject({ tool_calls: z.array(z.unknown()).nullish() }).nullish(),
  message: z.looseObject({ tool_calls: z.array(z.unknown()).nullish() }).nullish(),
});
const answer = z.looseObject({
  id: z.string().max(200).nullish(),
  choices: z.array(choice).nullish(),
  usage: z.unknown().optional(),
  error: z.unknown().optional(),
});

/**
 * Words with which an answer may end. OpenCode 1.18 prompts again, for ever, after an answer that ends with none, with
 * an unknown word, or with `tool_calls` without a call.
 */
const finishReasons: ReadonlySet<string> = new Set(['stop', 'length', 'tool_calls', 'content_filter']);

/** Follows one answer, chunk by chunk, and knows at its end whether it was whole and what it used. */
export interface AnswerWatch {
  /** Takes one JSON text. Throws a `ModelFault` when the answer cannot be used. */
  see(json: string): void;
  /** Throws a `ModelFault` when the answer ended without saying why. */
  end(): void;
  usage(): ReportedUsage | null;
  finishReason(): string | null;
  /**
   * Whether nothing can be missing in `usage`: it came with the end of the answer. Providers that report as they go leave
   * a number in a stream that broke, and it is too low.
   */
  isUsageFinal(): boolean;
  /** The provider's own id of the answer. */
  generationId(): string | null;
  readonly tools: Pick<ToolCalls, 'count' | 'signature'>;
}

export function watchAnswer(): AnswerWatch {
  const meter = makeUsageMeter();
  const tools = makeToolCalls();
  let finish: string | null = null;
  let generationId: string | null = null;
  let hasFinalUsage = false;
  return {
    see(json) {
      const seen = parseAnswer(json);
      generationId ??= seen.id ?? null;
      meter.see(seen.usage);
      const isLast = finish !== null || (seen.choices ?? []).some(({ finish_reason: why }) => Boolean(why));
      if (isLast && seen.usage !== null && seen.usage !== undefined) hasFinalUsage = true;
      if (seen.error !== null && seen.error !== undefined) throw endedTurn('upstream_error');
      if (seen.choices === null || seen.choices === undefined) {
        if (seen.usage === null || seen.usage === undefined) throw endedTurn('upstream_malformed');
        return;
      }
      for (const one of seen.choices) {
        const calls = one.delta?.tool_calls ?? one.message?.tool_calls ?? [];
        tools.see(calls);
        if (typeof one.finish_reason !== 'string' || one.finish_reason === '') continue;
        if (!finishReasons.has(one.finish_reason)) throw endedTurn('upstream_error');
        if (one.finish_reason === 'tool_calls' && tools.count() === 0) throw endedTurn('upstream_incomplete');
        finish = one.finish_reason;
      }
    },
    end() {
      if (finish === null) throw endedTurn('upstream_incomplete');
    },
    usage: () => meter.usage(),
    finishReason: () => finish,
    isUsageFinal: () => hasFinalUsage,
    generationId: () => generationId,
    tools,
  };
}

function parseAnswer(json: string): z.output<typeof answer> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw malformed(error);
  }
  const result = answer.safeParse(value);
  if (!result.success) throw malformed(result.error);
  return result.data;
}

const malformed = (cause: unknown): ModelFault => endedTurn('upstream_malformed', cause);
