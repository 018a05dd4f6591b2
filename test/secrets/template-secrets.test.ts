import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { makeSeal } from '../../service/platform/seal.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { makeTemplateSecrets, type TemplateSecrets } from '../../service/secrets/template-secrets.ts';
import { openAuditWorld, chainAll, type AuditWorld } from '../audit/audit-harness.ts';

const organizationId = '33333333-3333-4333-8333-333333333333';
const subject = {
  organizationId,
  workspaceId: 'a0000000-0000-4000-8000-000000000001',
  ownerId: 'b0000000-0000-4000-8000-000000000002',
  agentId: 'c0000000-0000-4000-8000-000000000003',
};
const actor = 'user:admin';

let world: AuditWorld;
let secrets: TemplateSecrets;
beforeEach(async () => {
  world = await openAuditWorld();
  const seal = makeSeal({ keyring: new Map([['1', Buffer.alloc(32, 3)]]), current: '1' });
  secrets = makeTemplateSecrets({ database: world.database, seal, audit: world.audit, clock: world.clock });
});
afterEach(() => world.drop());

const mint = (templateName = 'docker') =>
  world.database.transaction((tx) => secrets.mintTemplateSecret(tx, { organizationId, templateName, actor }));
const proofOf = (secret: string, of = subject) => deriveProof(secret, of.workspaceId, of.ownerId, of.agentId);

describe('S-21 The registration proof', () => {
  it('is <kid>.sha256(secret:sha256(secret:workspace_id:owner_id:agent_id)), as Terraform computes it', () => {
    const secret = `ors_0123456789ab_${'x'.repeat(43)}`;
    const hash = (text: string) => createHash('sha256').update(text).digest('hex');
    const { workspaceId, ownerId, agentId } = subject;

    expect(proofOf(secret)).toBe(
      `0123456789ab.${hash(`${secret}:${hash(`${secret}:${workspaceId}:${ownerId}:${agentId}`)}`)}`,
    );
  });

  it('is a known value for known ids', () => {
    expect(deriveProof('ors_0123456789ab_secret', 'w', 'o', 'a')).toBe(
      '0123456789ab.1c5b5552b19950d72c3136b3f8e4133a113e9b8ee107899e5d827bed38885fc1',
    );
  });

  it('gives its kid for the ids it was made from', async () => {
    const { kid, secret } = await mint();

    expect(secret).toMatch(new RegExp(`^ors_${kid}_[A-Za-z0-9_-]{43}$`));
    expect(await secrets.verifyProof(proofOf(secret), subject)).toBe(kid);
  });

  it.each(['workspaceId', 'ownerId', 'agentId', 'organizationId'] as const)(
    'is worth nothing for another %s',
    async (field) => {
      const { secret } = await mint();

      expect(
        await secrets.verifyProof(proofOf(secret), { ...subject, [field]: 'd0000000-0000-4000-8000-000000000004' }),
      ).toBeNull();
    },
  );

  it('is worth nothing when it is not whole, unknown, or another text', async () => {
    const { secret } = await mint();
    const proof = proofOf(secret);
    const flipped = proof.slice(0, -1) + (proof.endsWith('0') ? '1' : '0');
    const foreign = proofOf(`ors_ffffffffffff_${'x'.repeat(43)}`);

    for (const wrong of [
      '',
      '.',
      secret,
      proof.slice(1),
      `${proof}0`,
      proof.toUpperCase(),
      flipped,
      foreign,
      `${proof}\n`,
    ])
      expect(await secrets.verifyProof(wrong, subject)).toBeNull();
  });

  it('of an older secret still counts after the next was minted, until that kid is retired', async () => {
    const older = await mint();
    const newer = await mint();
    expect(await secrets.verifyProof(proofOf(older.secret), subject)).toBe(older.kid);
    expect(await secrets.verifyProof(proofOf(newer.secret), subject)).toBe(newer.kid);

    await world.database.transaction((tx) => secrets.retire(tx, older.kid, actor));

    expect(await secrets.verifyProof(proofOf(older.secret), subject)).toBeNull();
    expect(await secrets.verifyProof(proofOf(newer.secret), subject)).toBe(newer.kid);
  });

  it('of a secret for one template says nothing about another: each has its own', async () => {
    const docker = await mint('docker');
    const kata = await mint('kata');

    expect(docker.secret).not.toBe(kata.secret);
    const { rows } = await world.database.pool.query(
      'select template_name, superseded_at from template_secret order by 1',
    );
    expect(rows).toEqual([
      { template_name: 'docker', superseded_at: null },
      { template_name: 'kata', superseded_at: null },
    ]);
  });
});

describe('S-60 A sealed template secret', () => {
  it.each([
    ['another template', `update template_secret set template_name = 'kata'`],
    ['another organization', `update template_secret set organization_id = 'x'`],
    ['one flipped byte', `update template_secret set sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)`],
  ])('does not open after its row was given %s', async (_what, statement) => {
    const { secret } = await mint();
    await world.database.pool.query(statement);

    await expect(secrets.verifyProof(proofOf(secret), subject)).rejects.toMatchObject({ code: 'seal_broken' });
  });

  it('does not open in the row of another kid', async () => {
    const one = await mint();
    const other = await mint();
    await world.database.pool.query(
      'update template_secret set sealed = (select sealed from template_secret where kid = $1) where kid = $2',
      [one.kid, other.kid],
    );

    await expect(secrets.verifyProof(proofOf(other.secret), subject)).rejects.toMatchObject({ code: 'seal_broken' });
  });
});

describe('S-62 What happens to a template secret', () => {
  it('is audited: minted, attached to its version, retired', async () => {
    const { kid } = await mint();
    await world.database.transaction(async (tx) => {
      await secrets.attachVersion(tx, kid, 'version-1', actor);
      await secrets.retire(tx, kid, actor);
    });

    const { rows } = await world.database.pool.query(
      'select actor, action, target_id, data from audit_event order by id',
    );
    expect(rows).toEqual([
      {
        actor,
        action: 'template_secret.minted',
        target_id: kid,
        data: { template_name: 'docker', template_version_id: null },
      },
      {
        actor,
        action: 'template_secret.attached',
        target_id: kid,
        data: { template_name: 'docker', template_version_id: 'version-1' },
      },
      {
        actor,
        action: 'template_secret.retired',
        target_id: kid,
        data: { template_name: 'docker', template_version_id: 'version-1' },
      },
    ]);
  });

  it('is refused for a kid that is not there', async () => {
    const attach = world.database.transaction((tx) => secrets.attachVersion(tx, 'ffffffffffff', 'version-1', actor));

    await expect(attach).rejects.toMatchObject({ kind: 'not_found' });
  });
});

describe('P-81 A minted secret', () => {
  it('is in no row of the database, in no form, and in no log line', async () => {
    const { secret } = await mint();
    await secrets.verifyProof(proofOf(secret), subject);
    await chainAll(world);

    const dump = (await dumpDatabase()) + world.lines.join('');

    expect(dump).toContain('template_secret.minted');
    const value = secret.slice(-43);
    for (const form of [
      value,
      Buffer.from(value).toString('hex'),
      Buffer.from(value, 'base64url').toString('hex'),
      Buffer.from(secret).toString('base64'),
    ])
      expect(dump).not.toContain(form);
  });

  const dumpDatabase = async (): Promise<string> => {
    const { rows: tables } = await world.database.pool.query<{ name: string }>(
      `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
       where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
    );
    const texts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await world.database.pool.query<{ row: string }>(`select t::text as row from ${name} t`);
      texts.push(name, ...rows.map(({ row }) => row));
    }
    return texts.join('\n');
  };
});
