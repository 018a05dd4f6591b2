import type { EarlierSecret } from './earlier-secrets.ts';
import type { SecretValueRow } from './secret-store.ts';

/** All that a secret shows of itself. */
export interface SecretMetadata {
  readonly name: string;
  readonly keys: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly updatedBy: string;
  /** When its values should have been replaced; null where nobody said. */
  readonly rotateAfter: Date | null;
  readonly isOverdue: boolean;
}

/** Puts the rows of values together to secrets, by name. Of a value that is there twice the newer counts. */
export function describeSecrets(
  rows: readonly SecretValueRow[],
  earlier: readonly EarlierSecret[],
  now: Date,
): readonly SecretMetadata[] {
  const values = new Map<string, SecretValueRow>();
  for (const one of earlier)
    values.set(`${one.name}/${one.key}`, {
      name: one.name,
      key: one.key,
      rotate_after: null,
      created_at: one.createdAt,
      updated_at: one.updatedAt,
      updated_by: one.updatedBy,
    });
  for (const row of rows) {
    const known = values.get(`${row.name}/${row.key}`);
    if (!known || known.updated_at <= row.updated_at) values.set(`${row.name}/${row.key}`, row);
  }
  const secrets = new Map<string, SecretValueRow[]>();
  for (const row of values.values()) secrets.set(row.name, [...(secrets.get(row.name) ?? []), row]);
  return [...secrets.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, all]) => describe(name, all, now));
}

function describe(name: string, rows: readonly SecretValueRow[], now: Date): SecretMetadata {
  const newest = rows.reduce((one, other) => (other.updated_at > one.updated_at ? other : one));
  const createdAt = new Date(Math.min(...rows.map(({ created_at }) => created_at.getTime())));
  const rotateAfter = newest.rotate_after;
  return {
    name,
    keys: rows.map(({ key }) => key).sort(),
    createdAt,
    updatedAt: newest.updated_at,
    updatedBy: newest.updated_by,
    rotateAfter,
    isOverdue: rotateAfter !== null && rotateAfter <= now,
  };
}
