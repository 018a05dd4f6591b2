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
  total_tokens: count,
  /** DeepSeek's name for what others call cached. */
  prompt_cache_hit_tokens: count,
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
  const largest: Seen = { prompt: 0, completion: 0, total: 0, cached: 0, reasoning: 0 };
  let costUsd: number | null = null;
  let hasTokens = false;
  let isDoubtful = false;
  const raise = (name: keyof Seen, value: number | null | undefined): void => {
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
      raise('total', data.total_tokens);
      raise('cached', data.prompt_tokens_details?.cached_tokens ?? data.prompt_cache_hit_tokens);
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

type Seen = Record<'prompt' | 'completion' | 'total' | 'cached' | 'reasoning', number>;

/**
 * The provider's words in ours; their sum is the provider's own total.
 *
 * Trap     most count reasoning inside the completion, some (Gemini, xAI) beside it. Their total tells which; without
 *          one, reasoning larger than the completion can only stand beside it.
 */
function tokensOf({ prompt, completion, total, cached, reasoning }: Seen): Tokens {
  const fromCache = Math.min(prompt, cached);
  const input = { input: prompt - fromCache, cached: fromCache };
  const beside = total - prompt - completion;
  if (beside > 0) return { ...input, output: completion, reasoning: beside };
  if (total === 0 && reasoning > completion) return { ...input, output: completion, reasoning };
  const inside = Math.min(reasoning, completion);
  return { ...input, output: completion - inside, reasoning: inside };
}

/** What an upstream knows of a call afterwards: `GET /generation` of OpenRouter, in the words of its reference. */
const recalled = z.looseObject({
  data: z.looseObject({
    native_tokens_prompt: count,
    native_tokens_completion: count,
    native_tokens_reasoning: count,
    native_tokens_cached: count,
    total_cost: z.unknown().optional(),
  }),
});

/** Usage of a call that ended before it was reported; null when the text says nothing usable. */
export function recalledUsage(text: string): ReportedUsage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = recalled.safeParse(value);
  if (!result.success) return null;
  const { data } = result.data;
  const meter = makeUsageMeter();
  meter.see({
    prompt_tokens: data.native_tokens_prompt,
    completion_tokens: data.native_tokens_completion,
    prompt_tokens_details: { cached_tokens: data.native_tokens_cached },
    completion_tokens_details: { reasoning_tokens: data.native_tokens_reasoning },
    cost: data.total_cost,
  });
  return meter.usage();
}
