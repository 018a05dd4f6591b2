import type { CallModelParts } from './call-model.ts';
import { settleRecalled, takeRecallable, type Recallable } from './call-store.ts';
import type { KeyOwner } from './provider-keys.ts';
import { costOf } from './prices.ts';
import { recalledUsage } from './usage.ts';

/** OpenRouter knows a call some seconds after its end; what it does not know after these tries it never will. */
const recallsAtMost = 10;

/** Only OpenRouter's ids begin so, and only it can be asked. */
const canBeRecalled = (generationId: string): boolean => /^gen-[A-Za-z0-9_-]{1,150}$/.test(generationId);

/** Asks the provider for the usage of calls that broke before it was reported, and puts its figures in place of ours. */
export async function recallUsage(
  parts: Pick<CallModelParts, 'database' | 'clock' | 'upstream' | 'providerKey' | 'prices' | 'log'>,
): Promise<void> {
  const { database, upstream, prices, log } = parts;
  const calls = await takeRecallable(database.as(), { now: parts.clock.now(), recallsAtMost });
  for (const call of calls.filter((one) => canBeRecalled(one.generation_id))) {
    const key = await parts.providerKey(payerOf(call)).catch(() => null);
    const text = await upstream.with(key).recall(call.generation_id);
    const usage = text === null ? null : recalledUsage(text);
    if (usage === null || usage.isDoubtful) continue;
    const microUsd = usage.costMicroUsd ?? costOf(prices, call.model, usage.tokens);
    const source = microUsd === null ? 'unknown' : usage.costMicroUsd === null ? 'prices' : 'provider';
    await settleRecalled(database.as(), call.id, usage, { microUsd, source });
    log.info({ callId: call.id }, 'the provider named the usage of a call that broke');
  }
}

/** The key with which the call was made is that of its task's owner, where there is one. */
const payerOf = (call: Recallable): KeyOwner => ({
  organizationId: call.organization_id,
  ownerId: call.owner_id,
  workspaceId: call.workspace_id,
  taskId: call.task_id,
  attempt: call.attempt,
});
