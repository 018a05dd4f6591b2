import type { Database } from '../platform/database.ts';
import { readAnchor } from './anchor.ts';
import { isSigned, type Checkpoint } from './audit-chain.ts';
import {
  makeFaultList,
  type AuditFault,
  type AuditReport,
  type AuditVerificationKeys,
  type FaultList,
} from './audit-report.ts';
import { locateFaults } from './locate-faults.ts';
import { withSnapshot, type AuditSnapshot } from './snapshot.ts';
import { checkEvent, walkChain, type CheckedEvent, type Walked } from './walk-chain.ts';

/**
 * Whether the audit is as the service wrote it, and if not, which rows differ and how.
 *
 * Finds    any changed, deleted, inserted or reordered event, link or checkpoint, by anyone without the signing key.
 * Cannot   know of the end of the chain deleted with its checkpoints when the anchor file is absent or was put back
 *          to an older copy; nor of an event deleted before it was linked (a second, 10 s when it was taken off the
 *          list), with its row in `audit_pending`; nor of anything done by a holder of the signing key.
 * Memory   constant: rows are read 2000 at a time from one snapshot, while the service may go on writing.
 */
export async function verifyAudit(options: {
  readonly database: Database;
  readonly keys: AuditVerificationKeys;
  readonly anchorPath?: string;
}): Promise<AuditReport> {
  const { keys } = options;
  // Before the snapshot: the anchor is never ahead of what is committed.
  const anchor = options.anchorPath === undefined ? undefined : await readAnchor(options.anchorPath);

  return withSnapshot(options.database, async (snapshot) => {
    const faults = makeFaultList();
    const signed = await checkSignatures(snapshot, keys, anchor, faults);
    const walked = await walkChain({
      links: snapshot.links(),
      checkpoints: snapshot.checkpoints(),
      isSignedSequence: (sequence) => !signed.unsigned.has(sequence),
      signedUpTo: signed.upTo,
      keys,
      faults,
    });
    const unlinked = await checkUnlinked(snapshot, keys, faults);
    const located = locateFaults(walked.suspects, walked.gaps, unlinked.authentic);
    for (const fault of located) faults.add(fault);
    const named = new Set(located.map((fault) => fault.eventId));
    for (const fault of unlinked.keptOut) if (!named.has(fault.eventId)) faults.add(fault);
    reportUncovered(walked, faults);
    const list = faults.sorted();
    return {
      ok: list.length === 0,
      events: walked.events + unlinked.count,
      checkpoints: signed.count,
      unchained: unlinked.count,
      macsChecked: keys.hmac !== undefined,
      anchor: options.anchorPath === undefined ? 'not_checked' : signed.anchor,
      faults: list,
      faultsOmitted: faults.omitted(),
    };
  });
}

interface Signed {
  readonly count: number;
  /** The last position that a valid checkpoint covers. */
  readonly upTo: number;
  /** Sequence numbers whose signature is wrong. */
  readonly unsigned: ReadonlySet<number>;
  readonly anchor: AuditReport['anchor'];
}

async function checkSignatures(
  snapshot: AuditSnapshot,
  keys: AuditVerificationKeys,
  anchor: Checkpoint | null | undefined,
  faults: FaultList,
): Promise<Signed> {
  const unsigned = new Set<number>();
  let count = 0;
  let upTo = 0;
  let expected = 1;
  let anchored: Checkpoint | undefined;
  const fault = (position: number | null, message: string) =>
    faults.add({ kind: 'checkpoint', position, eventId: null, message });

  for await (const checkpoint of snapshot.checkpoints()) {
    const { sequence, position } = checkpoint;
    count += 1;
    if (!isSigned(keys, checkpoint)) {
      unsigned.add(sequence);
      const isForeign = checkpoint.keyId !== keys.keyId;
      fault(
        position,
        `Checkpoint ${sequence} ${isForeign ? `names the key ${checkpoint.keyId}, not ${keys.keyId}` : 'was changed: its signature does not fit'}.`,
      );
      if (sequence === expected) expected += 1;
      continue;
    }
    if (sequence > expected) fault(position, `${missing(expected, sequence - 1)} before this one.`);
    if (sequence === anchor?.sequence) anchored = checkpoint;
    upTo = Math.max(upTo, position);
    expected = sequence + 1;
  }

  return { count, upTo, unsigned, anchor: compareAnchor() };

  function compareAnchor(): AuditReport['anchor'] {
    if (anchor === undefined) return 'absent';
    if (anchor === null || !isSigned(keys, anchor)) {
      fault(null, 'The anchor file was changed, or written with another signing key.');
      return 'differs';
    }
    if (anchored?.signature.equals(anchor.signature) === true) return 'matches';
    const what =
      anchored === undefined
        ? `lacks checkpoint ${anchor.sequence}, which`
        : `holds another checkpoint ${anchor.sequence} than the one that`;
    fault(
      anchor.position,
      `The database ${what} the anchor file remembers: the end of the audit was deleted, or the database was put back to an older state.`,
    );
    return 'differs';
  }
}

const missing = (from: number, to: number): string =>
  from === to ? `Checkpoint ${from} was deleted` : `Checkpoints ${from} to ${to} were deleted`;

/** More than these are counted and checked, but not tried as the missing piece of a damaged chain. */
const unlinkedKept = 1000;

/** The chainer links within a second. An event this much older than the newest sign of life is being kept out. */
const linkedWithinSeconds = 60;

async function checkUnlinked(snapshot: AuditSnapshot, keys: AuditVerificationKeys, faults: FaultList) {
  const authentic: CheckedEvent[] = [];
  const keptOut: AuditFault[] = [];
  let count = 0;
  // Not the time of day: what a killed service left behind waits until it runs again, and that is no fault.
  const newestAt = (await snapshot.newestAt()) ?? 0;
  for await (const row of snapshot.unlinked()) {
    const event = checkEvent(row, keys);
    if (event === null) continue;
    count += 1;
    if (event.isAuthentic === false) {
      faults.add(forgedUnlinked(event.id));
      continue;
    }
    if (authentic.length < unlinkedKept) authentic.push(event);
    const isOverdue = newestAt - Number(row.at) > linkedWithinSeconds;
    if (!row.refused && !isOverdue) continue;
    if (keptOut.length < unlinkedKept) keptOut.push(keptOutOfChain(event, row.refused));
    else faults.omit(1);
  }
  for await (const { event_id: eventId } of snapshot.vanished())
    faults.add({ kind: 'deleted', position: null, eventId, message: 'The event was deleted before it was linked.' });
  return { count, authentic, keptOut };
}

const forgedUnlinked = (eventId: string): AuditFault => ({
  kind: 'inserted',
  position: null,
  eventId,
  message: 'The event was not written by the service, or was changed before it was linked.',
});

/** Of the closed list `deleted` says it best: the event is there, its link or its turn was taken away. */
const keptOutOfChain = (event: CheckedEvent, isRefused: boolean): AuditFault => ({
  kind: 'deleted',
  position: null,
  eventId: event.id,
  message: [
    event.isAuthentic === true ? 'The event is as the service wrote it, but' : 'The event',
    isRefused
      ? 'was marked so that it is never linked:'
      : `is not linked although it is more than ${linkedWithinSeconds} seconds older than the newest entry:`,
    'its link was deleted, or it is being kept out of the chain.',
  ].join(' '),
});

function reportUncovered({ uncovered }: Walked, faults: FaultList): void {
  if (uncovered === null) return;
  faults.add({
    kind: 'checkpoint',
    position: uncovered.from,
    eventId: null,
    message: `No valid checkpoint covers the ${uncovered.count} links from position ${uncovered.from} to ${uncovered.to}: the checkpoint was deleted, or the links were appended by someone without the signing key.`,
  });
}
