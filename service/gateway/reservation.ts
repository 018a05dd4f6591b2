import { costOf, type PriceTable } from './prices.ts';
import type { Tokens } from './usage.ts';

/**
 * The most that a call may use, known before it is made. It is held against budgets while the call runs, and stands as
 * an estimate for a call whose usage nobody will ever report.
 */
export interface Reservation {
  readonly input: number;
  readonly output: number;
  /** Null where no model has a price. */
  readonly microUsd: number | null;
}

/** Taken for the answer where a request sets no bound; more than the usual longest answer of today's models. */
export const outputAssumed = 32_768;

/**
 * Shape    a token stands for at least one byte of the request, so its bytes bound its tokens (pictures and files that
 *          are named by an address aside). The bound of the answer is the request's own, or `outputAssumed`. The cost is
 *          that of the dearest model that may come to answer.
 */
export function reserve(
  prices: PriceTable,
  models: readonly string[],
  bodyBytes: number,
  outputAtMost: number | null,
): Reservation {
  const output = outputAtMost ?? outputAssumed;
  const costs = models.flatMap((model) => costAtMost(prices, model, { input: bodyBytes, output }) ?? []);
  return { input: bodyBytes, output, microUsd: costs.length === 0 ? null : Math.max(...costs) };
}

/** The dearer of the two kinds on each side: nobody knows yet what comes from a cache, or what is reasoning. */
function costAtMost(prices: PriceTable, model: string, { input, output }: { input: number; output: number }) {
  const asInput = { input, cached: 0, output, reasoning: 0 };
  const asOthers = { input: 0, cached: input, output: 0, reasoning: output };
  const costs = [asInput, asOthers].map((tokens) => costOf(prices, model, tokens));
  return costs.includes(null) ? null : Math.max(...costs.map((cost) => cost ?? 0));
}

/**
 * What a call counts as until, or unless, the provider says more: what was reported, filled up to the bound. What was seen
 * of the answer bounds nothing, because some providers keep the reasoning to themselves and charge for it.
 */
export function estimateOf(reserved: Reservation, reported: Tokens | null): Tokens {
  if (reported === null) return { input: reserved.input, cached: 0, output: reserved.output, reasoning: 0 };
  const { cached, reasoning } = reported;
  const hasInput = reported.input + cached > 0;
  return {
    input: hasInput ? reported.input : reserved.input,
    cached,
    output: Math.max(reported.output, reserved.output - reasoning),
    reasoning,
  };
}
