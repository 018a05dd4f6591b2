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
  /** Some report of this answer could not be used, so the true numbers may be higher. */
  readonly isDoubtful: boolean;
}

/** Far above any single call, and far below what a sum of them in `bigint` or a JavaScript number can hold. */
const tokensAtMost = 1_000_000_000;
const usdAtMost = 10_000;
export const costMicroUsdAtMost = usdAtMost * 1_000_000;

const count = z.number().int().min(0).max(tokensAtMost).nullish();

/** Lenient: only what we use, and every field may be missing; a number that cannot be right spoils the report. */
const usageSchema = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count }).nullish(),
  completion_tokens_details: z.looseObject({ reasoning_tokens: count }).nullish(),
  cost: z.unknown().optional(),
});
const usd = z.number().min(0).max(usdAtMost);

/** Gathers what the provider reports in one answer. */
export interface UsageMeter {
  /** Takes what stands in `usage`, whatever it is. */
  see(reported: unknown): void;
  /** Null when nothing usable was reported. */
  usage(): ReportedUsage | null;
}

/**
 * A meter of one answer.
 *
 * Shape    of each number the largest that was seen: some providers report as they go, and none may take back.
 *          A cost that cannot be right counts as not reported.
 */
export function makeUsageMeter(): UsageMeter {
  const largest = { prompt: 0, completion: 0, cached: 0, reasoning: 0 };
  let costUsd: number | null = null;
  let hasTokens = false;
  let isDoubtful = false;
  const raise = (name: keyof typeof largest, value: number | null | undefined): void => {
    largest[name] = Math.max(largest[name], value ?? 0);
  };
  return {
    see(reported) {
      if (reported === null || reported === undefined) return;
      const result = usageSchema.safeParse(reported);
      if (!result.success) {
        isDoubtful = true;
        return;
      }
      const { data } = result;
      if (typeof data.prompt_tokens === 'number' || typeof data.completion_tokens === 'number') hasTokens = true;
      raise('prompt', data.prompt_tokens);
      raise('completion', data.completion_tokens);
      raise('cached', data.prompt_tokens_details?.cached_tokens);
      raise('reasoning', data.completion_tokens_details?.reasoning_tokens);
      const cost = usd.safeParse(data.cost);
      if (cost.success) costUsd = Math.max(costUsd ?? 0, cost.data);
    },
    usage() {
      if (!hasTokens && costUsd === null) return null;
      return {
        tokens: tokensOf(largest),
        costMicroUsd: costUsd === null ? null : Math.round(costUsd * 1_000_000),
        isDoubtful,
      };
    },
  };
}

/** The provider's words in ours. A provider that counts reasoning beside the output, not inside it, is understood too. */
function tokensOf(seen: { prompt: number; completion: number; cached: number; reasoning: number }): Tokens {
  const cached = Math.min(seen.prompt, seen.cached);
  const output = seen.reasoning > seen.completion ? seen.completion : seen.completion - seen.reasoning;
  return { input: seen.prompt - cached, cached, output, reasoning: seen.reasoning };
}
