import type { KeyObject } from 'node:crypto';

/** What verification needs. Without `hmac` the chain and its signatures are checked, events not yet linked are not. */
export interface AuditVerificationKeys {
  readonly publicKey: KeyObject;
  readonly keyId: string;
  readonly hmac?: Buffer;
}

/** One thing that is not as it was written. */
export interface AuditFault {
  readonly kind: 'changed' | 'deleted' | 'inserted' | 'reordered' | 'checkpoint';
  /** Place in the chain, from 1; null for an event that is not linked. For a checkpoint: how far it reaches. */
  readonly position: number | null;
  readonly eventId: string | null;
  readonly message: string;
}

export interface AuditReport {
  readonly ok: boolean;
  /** Events read, linked or not. */
  readonly events: number;
  readonly checkpoints: number;
  /** Events not linked: written in the last second, left by a service that was killed, or kept out (then a fault too). */
  readonly unchained: number;
  /** Whether each event's HMAC was checked too. */
  readonly macsChecked: boolean;
  /** How the newest checkpoint kept outside the database compares. */
  readonly anchor: 'matches' | 'differs' | 'absent' | 'not_checked';
  /** Ordered by position; at most 1000. */
  readonly faults: readonly AuditFault[];
  readonly faultsOmitted: number;
}

const faultsAtMost = 1000;

/** Collects faults without letting a ruined table fill the memory. */
export function makeFaultList() {
  const faults: AuditFault[] = [];
  let omitted = 0;
  return {
    add(fault: AuditFault): void {
      if (faults.length < faultsAtMost) faults.push(fault);
      else omitted += 1;
    },
    omit(count: number): void {
      omitted += count;
    },
    sorted: () => faults.toSorted((one, other) => (one.position ?? Infinity) - (other.position ?? Infinity)),
    omitted: () => omitted,
  };
}

export type FaultList = ReturnType<typeof makeFaultList>;
