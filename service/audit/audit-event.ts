import { createHmac, timingSafeEqual } from 'node:crypto';
import { ServiceError } from '../platform/errors.ts';
import { frame, sha256 } from './audit-frame.ts';

/** A past-tense fact about to be written. No tokens, prompts, model output, bodies or query strings. */
export interface AuditEntry {
  /** `user:<uuid>`, `service` or `bridge:<workspace id>`. */
  readonly actor: string;
  /** `noun.verb_past`. */
  readonly action: string;
  readonly target: { readonly type: string; readonly id: string };
  /** `intent` is written before a call that changes something elsewhere; its outcome follows as a second event. */
  readonly outcome: AuditOutcome;
  /** Coder user id of the person on whose behalf it happened; that person may read the event. */
  readonly ownerId?: string | null;
  readonly organizationId?: string | null;
  readonly workspaceId?: string | null;
  readonly requestId?: string | null;
  readonly data?: Readonly<Record<string, string | number | boolean | null>>;
}

export const auditOutcomes = ['success', 'failure', 'denied', 'intent'] as const;
export type AuditOutcome = (typeof auditOutcomes)[number];

/**
 * The stored fields of an event as text, exactly as the database gives them back.
 *
 * `at` is seconds since 1970 with six decimals (`1763724000.123000`): Postgres keeps microseconds, so a text with
 * milliseconds would let three digits be changed unseen. `data` is a `json` column, which keeps its bytes.
 */
export interface StoredFields {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly target_type: string;
  readonly target_id: string;
  readonly outcome: string;
  readonly owner_id: string | null;
  readonly organization_id: string | null;
  readonly workspace_id: string | null;
  readonly request_id: string | null;
  readonly data: string;
}

const actorPattern = /^(user:.+|service|bridge:.+)$/s;
const actionPattern = /^[a-z][a-z_]*(\.[a-z][a-z_]*)+$/;

/** The order of fields in the serialisation; part of the format. */
export const eventFields = [
  'id',
  'at',
  'actor',
  'action',
  'target_type',
  'target_id',
  'outcome',
  'owner_id',
  'organization_id',
  'workspace_id',
  'request_id',
  'data',
] as const satisfies readonly (keyof StoredFields)[];

const eventDomain = 'outrigger audit event v1';

/** The bytes of an event that its HMAC and its digest cover. */
export const serialize = (event: StoredFields): Buffer =>
  frame([eventDomain, ...eventFields.map((field) => event[field])]);

export const digestOf = (event: StoredFields): Buffer => sha256(serialize(event));

export const macOf = (hmacKey: Buffer, event: StoredFields): Buffer =>
  createHmac('sha256', hmacKey).update(serialize(event)).digest();

export function isMacOf(hmacKey: Buffer, event: StoredFields, mac: Buffer): boolean {
  const expected = macOf(hmacKey, event);
  return mac.length === expected.length && timingSafeEqual(mac, expected);
}

/**
 * An entry as it is stored. Text that Postgres cannot hold (NUL, half a surrogate pair) becomes U+FFFD.
 *
 * Errors   `internal` for an actor or action that the table would refuse: one such row must not hold up a whole
 *          batch of others.
 */
export function fieldsOf(entry: AuditEntry, id: string, at: Date): StoredFields {
  if (!actorPattern.test(entry.actor) || !actionPattern.test(entry.action))
    throw new ServiceError(
      'internal',
      'audit_entry_malformed',
      `Audit action "${entry.action}" or its actor is malformed. Actions are noun.verb_past; actors user:<id>, service or bridge:<id>.`,
    );
  return {
    id,
    at: epochText(at),
    actor: storable(entry.actor),
    action: storable(entry.action),
    target_type: storable(entry.target.type),
    target_id: storable(entry.target.id),
    outcome: entry.outcome,
    owner_id: orNull(entry.ownerId),
    organization_id: orNull(entry.organizationId),
    workspace_id: orNull(entry.workspaceId),
    request_id: orNull(entry.requestId),
    data: JSON.stringify(entry.data ?? {}, (_key, value: unknown) =>
      typeof value === 'string' ? storable(value) : value,
    ),
  };
}

export function epochText(at: Date): string {
  const milliseconds = at.getTime();
  const fraction = String(milliseconds % 1000).padStart(3, '0');
  return `${Math.floor(milliseconds / 1000)}.${fraction}000`;
}

const storable = (text: string): string => Buffer.from(text, 'utf8').toString('utf8').replaceAll('\0', '\uFFFD');
const orNull = (text: string | null | undefined): string | null => (text == null ? null : storable(text));
