import { linkHash, type LinkedEvent } from './audit-chain.ts';
import type { AuditFault } from './audit-report.ts';
import type { CheckedEvent, Gap, Suspect } from './walk-chain.ts';

/** An event that may belong where something is wrong, and where it was found. */
interface Candidate {
  readonly event: LinkedEvent;
  readonly position: number | null;
  readonly hash: Buffer | null;
}

/** Beyond this many places the search for what belongs there is given up: it is quadratic. */
const searchesAtMost = 500;

/**
 * Says for each broken place of the chain what happened to it.
 *
 * Each place is tried with every event that is out of place or not linked at all. If one yields the hash that was
 * stored there (or that it carries itself), it belongs there, and the places after it are judged by that hash.
 */
export function locateFaults(
  suspects: readonly Suspect[],
  gaps: readonly Gap[],
  unlinked: readonly CheckedEvent[],
): AuditFault[] {
  const candidates: Candidate[] = [
    ...suspects.flatMap(({ event, position, hash }) =>
      event === null || event.isAuthentic === false ? [] : [{ event, position, hash }],
    ),
    ...unlinked.map((event) => ({ event, position: null, hash: null })),
  ];
  const suspectAt = new Map(suspects.map((suspect) => [suspect.position, suspect]));
  const fixed = new Map<number, Buffer>();
  const explained = new Set<number>();
  const faults: AuditFault[] = [];
  let searches = 0;

  const search = (
    position: number,
    previous: readonly Buffer[],
    accepts: (hash: Buffer, candidate: Candidate) => boolean,
  ) => {
    if (++searches > searchesAtMost) return undefined;
    for (const candidate of candidates)
      for (const base of previous) {
        const hash = linkHash(base, position, candidate.event);
        if (candidate.position !== position && accepts(hash, candidate)) return { candidate, hash };
      }
    return undefined;
  };

  const explainSuspect = (suspect: Suspect): void => {
    const { position, event } = suspect;
    const before = fixed.get(position - 1);
    const previous = before === undefined ? suspect.previous : [before, ...suspect.previous];
    if (event !== null && before !== undefined && linkHash(before, position, event).equals(suspect.hash)) {
      if (event.isAuthentic === false) faults.push(changedEvent(suspect));
      return;
    }
    if (event?.isAuthentic === false) {
      faults.push(changedEvent(suspect));
      return;
    }
    const found = search(
      position,
      previous,
      (hash, { hash: own }) => hash.equals(suspect.hash) || own?.equals(hash) === true,
    );
    if (found !== undefined) {
      fixed.set(position, found.hash);
      if (found.candidate.position !== null) explained.add(found.candidate.position);
      explained.add(position);
      faults.push(
        found.candidate.position === null
          ? relabeled(suspect, found.candidate.event.id)
          : reordered(position, found.candidate),
      );
      return;
    }
    if (event === null) faults.push(deletedEvent(suspect));
    else if (previous.length > 0 && !explained.has(position)) faults.push(changedLink(suspect));
  };

  const explainGap = (gap: Gap): void => {
    const successor = suspectAt.get(gap.to + 1);
    let open = gap.from;
    for (let position = gap.from; position <= gap.to && searches < searchesAtMost; position += 1) {
      const before = fixed.get(position - 1);
      const previous =
        before === undefined && position === gap.from ? gap.previous : before === undefined ? [] : [before];
      if (previous.length === 0) break;
      const leadsOn = (hash: Buffer) =>
        position === gap.to &&
        successor?.event != null &&
        linkHash(hash, successor.position, successor.event).equals(successor.hash);
      const found = search(position, previous, (hash, { hash: own }) => own?.equals(hash) === true || leadsOn(hash));
      if (found === undefined) break;
      fixed.set(position, found.hash);
      if (found.candidate.position !== null) explained.add(found.candidate.position);
      faults.push(
        found.candidate.position === null
          ? deletedLink(position, found.candidate.event.id)
          : reordered(position, found.candidate),
      );
      open = position + 1;
    }
    if (open <= gap.to) faults.push(deletedRange(open, gap.to));
  };

  const places = [
    ...gaps.map((gap) => ({ position: gap.from, explain: () => explainGap(gap) })),
    ...suspects.map((suspect) => ({ position: suspect.position, explain: () => explainSuspect(suspect) })),
  ].sort((one, other) => one.position - other.position);
  for (const place of places) place.explain();
  return faults;
}

const changedEvent = ({ position, eventId }: Suspect): AuditFault => ({
  kind: 'changed',
  position,
  eventId,
  message: 'The event is not as the service wrote it.',
});
const changedLink = ({ position, eventId, event }: Suspect): AuditFault => ({
  kind: 'changed',
  position,
  eventId,
  message:
    event?.isAuthentic === true
      ? 'The link does not follow from its event and the link before it; the event itself is as it was written.'
      : 'The event or its link is not as it was written.',
});
const relabeled = ({ position, eventId }: Suspect, rightId: string): AuditFault => ({
  kind: 'changed',
  position,
  eventId,
  message: `The link names another event than the one that was linked here, ${rightId}.`,
});
const reordered = (position: number, { event, position: foundAt }: Candidate): AuditFault => ({
  kind: 'reordered',
  position,
  eventId: event.id,
  message: `The event that belongs here stands at position ${foundAt}.`,
});
const deletedEvent = ({ position, eventId }: Suspect): AuditFault => ({
  kind: 'deleted',
  position,
  eventId,
  message: 'The event was deleted; its link remains.',
});
const deletedLink = (position: number, eventId: string): AuditFault => ({
  kind: 'deleted',
  position,
  eventId,
  message: 'The link of this event was deleted; the event remains.',
});
const deletedRange = (from: number, to: number): AuditFault => ({
  kind: 'deleted',
  position: from,
  eventId: null,
  message:
    from === to ? 'The link at this position was deleted.' : `The links at positions ${from} to ${to} were deleted.`,
});
