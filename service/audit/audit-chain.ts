import { sign, verify, type KeyObject } from 'node:crypto';
import type { AuditKeys } from '../platform/keys.ts';
import { frame, sha256 } from './audit-frame.ts';

/** What stands before the first link. */
export const genesis = Buffer.alloc(32);

/** What a link takes from its event; the content counts by its digest alone. */
export interface LinkedEvent {
  readonly id: string;
  readonly digest: Buffer;
  readonly mac: Buffer;
}

/** The hash of the link at `position` (from 1, without gaps). */
export const linkHash = (previous: Buffer, position: number, event: LinkedEvent): Buffer =>
  sha256(frame(['outrigger audit link v1', previous, String(position), event.id, event.digest, event.mac]));

/** A signed statement: the chain up to `position` ends with `hash`. Each batch of links ends with one. */
export interface Checkpoint {
  /** Counts from 1 without gaps. */
  readonly sequence: number;
  readonly position: number;
  readonly hash: Buffer;
  /** Seconds since 1970 with six decimals, as in `StoredFields`. */
  readonly at: string;
  readonly keyId: string;
  /** Ed25519 over all of the above. */
  readonly signature: Buffer;
}

const statement = (checkpoint: Omit<Checkpoint, 'signature'>): Buffer =>
  frame([
    'outrigger audit checkpoint v1',
    String(checkpoint.sequence),
    String(checkpoint.position),
    checkpoint.hash,
    checkpoint.at,
    checkpoint.keyId,
  ]);

export function signCheckpoint(keys: AuditKeys, checkpoint: Omit<Checkpoint, 'signature' | 'keyId'>): Checkpoint {
  const unsigned = { ...checkpoint, keyId: keys.keyId };
  return { ...unsigned, signature: sign(null, statement(unsigned), keys.privateKey) };
}

/** Whether `checkpoint` was signed with this key and is unchanged since. */
export const isSigned = (
  keys: { readonly publicKey: KeyObject; readonly keyId: string },
  checkpoint: Checkpoint,
): boolean =>
  checkpoint.keyId === keys.keyId && verify(null, statement(checkpoint), keys.publicKey, checkpoint.signature);
