import { refusedEvidence } from './refused-evidence.ts';
import type { Link } from './link.ts';
import { textOf, type Log } from './log.ts';
import type { Outbox, OutboxEntry } from './outbox.ts';

export interface Sender {
  /** Sends what waits; harmless at any time. */
  kick(): void;
}

/** Events that may be on their way at once. */
const windowSize = 32;
const retryMs = 2_000;
/** A report that the service refuses this often is replaced by one that says so. */
const maxRefusals = 3;

/**
 * Empties the outbox over the link, in order per attempt: events and asks as they come, the result when every
 * event is acknowledged. Nothing leaves the outbox before the service has said that it has it.
 */
export function makeSender(parts: {
  outbox: Outbox;
  link: Link;
  log: Log;
  /** Asks the service which attempts are still ours; called when it refuses something. */
  checkFence: () => Promise<void>;
}): Sender {
  const { outbox, link, log } = parts;
  const running = new Set<OutboxEntry>();
  const refusals = new Map<OutboxEntry, number>();

  async function drain(entry: OutboxEntry): Promise<void> {
    if (running.has(entry)) return;
    running.add(entry);
    try {
      while (link.isOpen() && isCurrent(entry) && (await sendSome(entry)));
    } catch (error) {
      if (link.isOpen()) {
        log('warn', 'the service did not take a message; it will be sent again', {
          ...entry.ref,
          error: textOf(error),
        });
        setTimeout(() => void drain(entry), retryMs);
      }
    } finally {
      running.delete(entry);
    }
  }

  const isCurrent = (entry: OutboxEntry): boolean => [...outbox.entries.values()].includes(entry);

  /** False when there is nothing more to say for now. */
  async function sendSome(entry: OutboxEntry): Promise<boolean> {
    const [ask] = entry.asks.values();
    if (entry.events.length > 0) {
      await sendEvents(entry);
      return true;
    }
    if (ask) {
      const answer = await link.request('ask', { ...entry.ref, ...ask });
      if (answer.success) entry.asks.delete(ask.ask_id);
      else await refused(entry, () => entry.asks.delete(ask.ask_id));
      return true;
    }
    if (!entry.result) return false;
    const answer = await link.request('result', { ...entry.ref, evidence: entry.result });
    if (answer.success) {
      log('info', answer.data.accepted ? 'result accepted' : 'result not wanted', entry.ref);
      entry.close();
      return false;
    }
    await refused(entry, () => (entry.result = refusedEvidence(entry.result, answer.error)));
    return true;
  }

  async function sendEvents(entry: OutboxEntry): Promise<void> {
    const batch = entry.events.slice(0, windowSize);
    const answers = await Promise.all(batch.map((event) => link.request('event', event)));
    for (const [index, answer] of answers.entries()) {
      const event = batch[index];
      if (!event) continue;
      if (answer.success) entry.acknowledge(answer.data.acked);
      else return refused(entry, () => entry.replace(event.source_seq));
    }
  }

  /** A refusal means either that the attempt is fenced, or that the service cannot take this very message. */
  async function refused(entry: OutboxEntry, giveUp: () => void): Promise<void> {
    await parts.checkFence();
    if (!isCurrent(entry)) return;
    const count = (refusals.get(entry) ?? 0) + 1;
    refusals.set(entry, count);
    if (count < maxRefusals) throw new Error('refused');
    refusals.delete(entry);
    giveUp();
  }

  return {
    kick: () => {
      if (link.isOpen()) for (const entry of outbox.entries.values()) void drain(entry);
    },
  };
}
