import type { AnswerWatch } from './answer-watch.ts';
import type { CallEnd, CallStatus } from './call-store.ts';
import type { FaultCode } from './faults.ts';
import { costOf, type PriceTable } from './prices.ts';
import { estimateOf, type Reservation } from './reservation.ts';

/** The provider answered with an error status or not at all, so nothing was used. */
const costsNothing: ReadonlySet<FaultCode> = new Set([
  'upstream_refused',
  'upstream_no_model',
  'upstream_credentials',
  'upstream_payment',
  'upstream_slow_down',
  'upstream_failed',
  'upstream_unreachable',
  'upstream_open',
]);
const nothing = { input: 0, cached: 0, output: 0, reasoning: 0 };

/** What one call has used and costs. */
export type Bill = Pick<CallEnd, 'tokens' | 'isEstimate' | 'costMicroUsd' | 'costSource'>;

export interface Billed {
  readonly model: string;
  readonly reserved: Reservation;
  /** False while nothing has gone to the provider. */
  readonly wasSent: boolean;
  readonly watch: Pick<AnswerWatch, 'usage' | 'isUsageFinal' | 'finishReason'>;
}

/**
 * The bill of a call that has ended.
 *
 * Order    the provider's own figures and cost; its figures at our prices; where it reported none, or the answer broke
 *          before the end of them, the most that it can have been, marked as an estimate.
 */
export function billOf(
  prices: PriceTable,
  { model, reserved, wasSent, watch }: Billed,
  status: CallStatus,
  errorCode: FaultCode | null,
): Bill {
  const usage = watch.usage();
  if (!wasSent || (usage === null && errorCode !== null && costsNothing.has(errorCode)))
    return { tokens: nothing, isEstimate: false, costMicroUsd: 0, costSource: 'none' };
  const isWhole = status === 'succeeded' || watch.finishReason() !== null;
  const isKnown = usage !== null && !usage.isDoubtful && (isWhole || watch.isUsageFinal());
  if (isKnown) {
    const listed = costOf(prices, model, usage.tokens);
    const costMicroUsd = usage.costMicroUsd ?? listed;
    const costSource = costMicroUsd === null ? 'unknown' : usage.costMicroUsd === null ? 'prices' : 'provider';
    return { tokens: usage.tokens, isEstimate: false, costMicroUsd, costSource };
  }
  const tokens = estimateOf(reserved, usage?.tokens ?? null);
  const costMicroUsd = costOf(prices, model, tokens);
  return { tokens, isEstimate: true, costMicroUsd, costSource: costMicroUsd === null ? 'unknown' : 'estimate' };
}
