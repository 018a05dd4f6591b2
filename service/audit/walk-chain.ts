import { genesis, linkHash, type Checkpoint, type LinkedEvent } from './audit-chain.ts';
import { digestOf, isMacOf } from './audit-event.ts';
import type { AuditVerificationKeys, FaultList } from './audit-report.ts';
import { eventOf, type JoinedEvent } from './audit-tables.ts';
import type { LinkRow } from './snapshot.ts';

/** A link that does not follow from its event and the link before it. */
export interface Suspect {
  readonly position: number;
  readonly eventId: string;
  readonly hash: Buffer;
  readonly event: CheckedEvent | null;
  /** Hashes the link before it may have had: as stored, as recomputed. Empty after a gap: then nothing is proven. */
  readonly previous: readonly Buffer[];
}

/** Positions without a link. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly previous: readonly Buffer[];
}

export interface CheckedEvent extends LinkedEvent {
  /** Null when there is no key to check it with. */
  readonly isAuthentic: boolean | null;
}

export interface Walked {
  readonly suspects: readonly Suspect[];
  readonly gaps: readonly Gap[];
  readonly events: number;
  /** Links after the last signed position. */
  readonly uncovered: { readonly from: number; readonly to: number; readonly count: number } | null;
}

/** More are counted, not examined one by one. */
const suspectsAtMost = 10_000;

/**
 * Follows the chain from its first link and compares it with every checkpoint on the way.
 *
 * A link fits when its hash follows from its event and either the stored or the recomputed hash before it: so one
 * changed hash is one fault, at its own position, and not the fault of all that come after.
 */
export async function walkChain(options: {
  readonly links: AsyncIterable<LinkRow>;
  readonly checkpoints: AsyncIterator<Checkpoint>;
  readonly isSignedSequence: (sequence: number) => boolean;
  readonly signedUpTo: number;
  readonly keys: AuditVerificationKeys;
  readonly faults: FaultList;
}): Promise<Walked> {
  const { faults, signedUpTo } = options;
  const compare = makeCheckpointComparison(options.checkpoints, options.isSignedSequence, faults);
  const suspects: Suspect[] = [];
  const gaps: Gap[] = [];
  let expected = 1;
  let previous: readonly Buffer[] = [genesis];
  let events = 0;
  const uncovered = { from: 0, to: 0, count: 0 };

  for await (const row of options.links) {
    const position = row.position;
    const event = checkEvent(row, options.keys);
    if (event !== null) events += 1;
    if (position > signedUpTo) {
      if (uncovered.count === 0) uncovered.from = position;
      uncovered.to = position;
      uncovered.count += 1;
    }
    if (position > expected) gaps.push({ from: expected, to: position - 1, previous });
    if (position !== expected) previous = [];

    const base = event === null ? undefined : previous.find((hash) => linkHash(hash, position, event).equals(row.hash));
    if (base === undefined) {
      if (suspects.length < suspectsAtMost)
        suspects.push({ position, eventId: row.event_id, hash: row.hash, event, previous });
      else faults.omit(1);
    } else if (event?.isAuthentic === false) {
      faults.add(forged(position, row.event_id, position > signedUpTo));
    }
    const from = base ?? previous[0];
    const computed = event === null || from === undefined ? row.hash : linkHash(from, position, event);
    // A position below 1 stands before the chain: it is no predecessor of what follows.
    if (position >= expected) {
      await compare(position, [row.hash, computed], base === undefined && previous.length > 0);
      previous = computed.equals(row.hash) ? [row.hash] : [row.hash, computed];
      expected = position + 1;
    } else previous = expected === 1 ? [genesis] : previous;
  }
  if (expected <= signedUpTo) gaps.push({ from: expected, to: signedUpTo, previous });
  return {
    suspects,
    gaps: gaps.filter((gap) => gap.from <= signedUpTo),
    events,
    uncovered: uncovered.count === 0 ? null : uncovered,
  };
}

export function checkEvent(row: JoinedEvent, keys: AuditVerificationKeys): CheckedEvent | null {
  const event = eventOf(row);
  if (event === null) return null;
  return {
    id: event.fields.id,
    digest: digestOf(event.fields),
    mac: event.mac,
    isAuthentic: keys.hmac === undefined ? null : isMacOf(keys.hmac, event.fields, event.mac),
  };
}

const forged = (position: number, eventId: string, isAppended: boolean) => ({
  kind: isAppended ? ('inserted' as const) : ('changed' as const),
  position,
  eventId,
  message: isAppended
    ? 'The event was not written by the service; it was appended with a link of its own.'
    : 'The event is not as the service wrote it, and its link was recomputed to match.',
});

/** Compares hashes with signed checkpoints as the walk passes them; one fault for a run of mismatches. */
function makeCheckpointComparison(
  checkpoints: AsyncIterator<Checkpoint>,
  isSignedSequence: (sequence: number) => boolean,
  faults: FaultList,
) {
  let next: Checkpoint | undefined;
  let isExhausted = false;
  let lastMatch = 0;
  let isDiverged = false;

  const advanceTo = async (position: number): Promise<void> => {
    while (!isExhausted && (next === undefined || next.position < position)) {
      const { value, done } = (await checkpoints.next()) as IteratorResult<Checkpoint, undefined>;
      if (done === true) isExhausted = true;
      else if (isSignedSequence(value.sequence)) next = value;
    }
  };

  return async (position: number, hashes: readonly Buffer[], isKnownFault: boolean): Promise<void> => {
    await advanceTo(position);
    const checkpoint = next;
    if (checkpoint?.position !== position) return;
    const matches = hashes.some((hash) => hash.equals(checkpoint.hash));
    if (matches) lastMatch = position;
    else if (!isDiverged && !isKnownFault)
      faults.add({
        kind: 'checkpoint',
        position,
        eventId: null,
        message: `The chain was rewritten between positions ${lastMatch + 1} and ${position}: it does not lead to what checkpoint ${checkpoint.sequence} signed.`,
      });
    isDiverged = !matches;
  };
}
