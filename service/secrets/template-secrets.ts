import type { Generated } from 'kysely';
import { tokenPrefix } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { systemRandomness, type Clock, type Randomness } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import type { Seal } from '../platform/seal.ts';
import { deriveProof, isSameText, kidOfProof, type ProofSubject } from './registration-proof.ts';
import type { SealedTable } from './sealed-columns.ts';

export interface MintTemplateSecret {
  readonly organizationId: string;
  readonly templateName: string;
  /** When it is known already; otherwise `attachVersion` says it after the push. */
  readonly templateVersionId?: string | null;
  /** `user:<uuid>`, as in the audit. */
  readonly actor: string;
  readonly requestId?: string | null;
}

/**
 * Secrets of template versions, from which workspaces derive the proof they register with.
 *
 * States   current: the newest of its template · superseded: a newer one was minted, workspaces built from its version
 *          still register · retired: nobody does. Superseding never retires: a kid lives until no workspace uses its version.
 */
export interface TemplateSecrets {
  /** A new secret; the returned text exists nowhere else in the clear. Supersedes the template's older ones. */
  mintTemplateSecret(tx: Transaction, mint: MintTemplateSecret): Promise<{ kid: string; secret: string }>;
  /** Whose secret a kid is; null for an unknown one. */
  find(kid: string): Promise<{ organizationId: string; templateName: string } | null>;
  /**
   * Says for which version the secret was pushed; the same again changes nothing.
   *
   * Errors  `not_found`; `conflict` when it is retired or belongs to another version.
   */
  attachVersion(
    tx: Transaction,
    kid: string,
    templateVersionId: string,
    actor: string,
    requestId?: string,
  ): Promise<void>;
  /** From now on no proof of this kid counts. Throws `not_found`. */
  retire(tx: Transaction, kid: string, actor: string, requestId?: string): Promise<void>;
  /**
   * The kid of a proof that belongs to exactly these ids; null for any other text, unknown or retired kid, and where the
   * secret is of another organization than the workspace: who has one could derive a proof for any ids.
   */
  verifyProof(proof: string, subject: ProofSubject & { readonly organizationId: string }): Promise<string | null>;
}

export interface SecretTables {
  template_secret: {
    kid: string;
    organization_id: string;
    template_name: string;
    template_version_id: string | null;
    sealed: Buffer;
    created_at: Date;
    created_by: string;
    superseded_at: Generated<Date | null>;
    retired_at: Generated<Date | null>;
  };
}

export function makeTemplateSecrets(options: {
  readonly database: Database;
  readonly seal: Seal;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly randomness?: Randomness;
}): TemplateSecrets {
  const { database, seal, audit, clock } = options;
  const randomness = options.randomness ?? systemRandomness;
  // What an unknown kid is compared with, so that it takes as long as a known one.
  const decoy = `${tokenPrefix.templateSecret}000000000000_${randomness.bytes(32).toString('base64url')}`;

  const update = async (
    tx: Transaction,
    kid: string,
    change: Partial<Pick<SecretTables['template_secret'], 'template_version_id'>> & { retired_at?: Date },
    event: { actor: string; action: string; requestId: string | null },
  ): Promise<void> => {
    const row = await tx
      .as<SecretTables>()
      .updateTable('template_secret')
      .set(change)
      .where('kid', '=', kid)
      .returning(['organization_id', 'template_name', 'template_version_id'])
      .executeTakeFirst();
    if (row === undefined) throw notFound(`Template secret ${kid}`);
    await audit.append(tx, {
      ...event,
      target: { type: 'template_secret', id: kid },
      outcome: 'success',
      organizationId: row.organization_id,
      data: { template_name: row.template_name, template_version_id: row.template_version_id },
    });
  };

  return {
    async mintTemplateSecret(tx, mint) {
      const kid = randomness.bytes(6).toString('hex');
      const secret = `${tokenPrefix.templateSecret}${kid}_${randomness.bytes(32).toString('base64url')}`;
      const { organizationId, templateName } = mint;
      const now = clock.now();
      const db = tx.as<SecretTables>();
      await db
        .updateTable('template_secret')
        .set({ superseded_at: now })
        .where('organization_id', '=', organizationId)
        .where('template_name', '=', templateName)
        .where('superseded_at', 'is', null)
        .execute();
      await db
        .insertInto('template_secret')
        .values({
          kid,
          organization_id: organizationId,
          template_name: templateName,
          template_version_id: mint.templateVersionId ?? null,
          sealed: seal.seal(secret, sealContext(organizationId, templateName, kid)),
          created_at: now,
          created_by: mint.actor,
        })
        .execute();
      await audit.append(tx, {
        actor: mint.actor,
        action: 'template_secret.minted',
        target: { type: 'template_secret', id: kid },
        outcome: 'success',
        organizationId,
        requestId: mint.requestId ?? null,
        data: { template_name: templateName, template_version_id: mint.templateVersionId ?? null },
      });
      return { kid, secret };
    },

    async find(kid) {
      const row = await database
        .as<SecretTables>()
        .selectFrom('template_secret')
        .select(['organization_id', 'template_name'])
        .where('kid', '=', kid)
        .executeTakeFirst();
      return row === undefined ? null : { organizationId: row.organization_id, templateName: row.template_name };
    },

    async attachVersion(tx, kid, templateVersionId, actor, requestId) {
      const row = await lock(tx, kid);
      if (row.template_version_id === templateVersionId) return;
      if (row.retired_at !== null) throw isRetired(kid);
      if (row.template_version_id !== null) throw isAttached(kid, row.template_version_id);
      const change = { template_version_id: templateVersionId };
      await update(tx, kid, change, { actor, action: 'template_secret.attached', requestId: requestId ?? null });
    },

    async retire(tx, kid, actor, requestId) {
      if ((await lock(tx, kid)).retired_at !== null) return;
      const change = { retired_at: clock.now() };
      await update(tx, kid, change, { actor, action: 'template_secret.retired', requestId: requestId ?? null });
    },

    async verifyProof(proof, { workspaceId, ownerId, agentId, organizationId }) {
      const kid = kidOfProof(proof);
      if (kid === null) return null;
      const row = await database
        .as<SecretTables>()
        .selectFrom('template_secret')
        .selectAll()
        .where('kid', '=', kid)
        .where('retired_at', 'is', null)
        .executeTakeFirst();
      const secret =
        row === undefined
          ? decoy
          : seal.open(row.sealed, sealContext(row.organization_id, row.template_name, kid)).toString('utf8');
      const isRight = isSameText(proof, deriveProof(secret, workspaceId, ownerId, agentId));
      return isRight && row?.organization_id === organizationId ? kid : null;
    },
  };
}

/** The row, held until the transaction ends, so that two who change it follow one another. */
async function lock(tx: Transaction, kid: string) {
  const row = await tx
    .as<SecretTables>()
    .selectFrom('template_secret')
    .select(['template_version_id', 'retired_at'])
    .where('kid', '=', kid)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw notFound(`Template secret ${kid}`);
  return row;
}

const isRetired = (kid: string): ServiceError =>
  new ServiceError(
    'conflict',
    'template_secret_retired',
    `Template secret ${kid} is retired, so it can belong to no version. Push the template again to have the next one.`,
  );

const isAttached = (kid: string, versionId: string): ServiceError =>
  new ServiceError(
    'conflict',
    'template_secret_attached',
    `Template secret ${kid} belongs to version ${versionId} already, and each version has its own. Push the template again to have the next one.`,
  );

const sealContext = (organizationId: string, templateName: string, kid: string): string =>
  ['template_secret', organizationId, templateName, kid].map(encodeURIComponent).join('/');

export const templateSecretSealed: SealedTable = {
  table: 'template_secret',
  columns: ['kid', 'organization_id', 'template_name'],
  contextOf: ({ kid = '', organization_id = '', template_name = '' }) =>
    sealContext(organization_id, template_name, kid),
};
