import { z } from 'zod';

/** Counts that do not overlap: `input` excludes cached tokens, `output` excludes reasoning. */
export interface Tokens {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
  readonly reasoning: number;
}

export interface ReportedUsage {
  readonly tokens: Tokens;
  /** What the provider says it will charge, in integer micro-USD; null when it does not say. */
  readonly costMicroUsd: number | null;
}

const count = z.number().nonnegative().nullish();

/** Lenient: only what we use, and every field may be missing. */
export const usageSchema = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count }).nullish(),
  completion_tokens_details: z.looseObject({ reasoning_tokens: count }).nullish(),
  cost: count,
});

/** The provider's words in ours. A provider that counts reasoning beside the output, not inside it, is understood too. */
export function usageFrom(reported: z.output<typeof usageSchema>): ReportedUsage {
  const prompt = Math.round(reported.prompt_tokens ?? 0);
  const completion = Math.round(reported.completion_tokens ?? 0);
  const cached = Math.min(prompt, Math.round(reported.prompt_tokens_details?.cached_tokens ?? 0));
  const reasoning = Math.round(reported.completion_tokens_details?.reasoning_tokens ?? 0);
  return {
    tokens: {
      input: prompt - cached,
      cached,
      output: reasoning > completion ? completion : completion - reasoning,
      reasoning,
    },
    costMicroUsd: typeof reported.cost === 'number' ? Math.round(reported.cost * 1_000_000) : null,
  };
}
