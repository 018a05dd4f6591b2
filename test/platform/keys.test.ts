import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadOrCreateKeys, type KeyOptions, type Keys } from '../../service/platform/keys.ts';
import type { ServiceError } from '../../service/platform/errors.ts';

const key = (fill: number) => Buffer.alloc(32, fill).toString('base64');
const ring = JSON.stringify({ '1': key(1), '2': key(2) });
let folder: string;
let directory: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outrigger-keys-'));
  directory = join(folder, 'data', 'keys');
});
afterEach(() => rm(folder, { recursive: true }));

const shape = (keys: Keys) => ({
  keyring: [...keys.keyring].map(([version, bytes]) => [version, bytes.toString('hex')]),
  current: keys.current,
  hmac: keys.auditKeys.hmac.toString('hex'),
  keyId: keys.auditKeys.keyId,
});
const refusal = async (options: Partial<KeyOptions>): Promise<ServiceError> => {
  try {
    await loadOrCreateKeys({ directory, ...options });
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error('The keys were taken.');
};

describe('P-81 Keys of a one-command start', () => {
  it('are made once, in files that only this user can read, and are the same ever after', async () => {
    const first = await loadOrCreateKeys({ directory });
    const later = await loadOrCreateKeys({ directory });

    expect(shape(later)).toEqual(shape(first));
    expect((await readdir(directory)).sort()).toEqual(['audit-signing-key', 'keyring.json']);
    for (const name of await readdir(directory)) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('are random, and the key of HMACs is none of the others', async () => {
    const one = shape(await loadOrCreateKeys({ directory }));
    const other = shape(await loadOrCreateKeys({ directory: join(folder, 'other') }));

    const values = [one.hmac, other.hmac, one.keyring[0]?.[1], other.keyring[0]?.[1], one.keyId, other.keyId];
    expect(new Set(values).size).toBe(values.length);
  });

  it('are the same for processes that start at once', async () => {
    const script = `
      import { loadOrCreateKeys } from ${JSON.stringify(join(import.meta.dirname, '../../service/platform/keys.ts'))};
      const keys = await loadOrCreateKeys({ directory: ${JSON.stringify(directory)} });
      process.stdout.write([...keys.keyring.values()].map((bytes) => bytes.toString('hex')).join() + keys.auditKeys.keyId);`;
    const run = () => promisify(execFile)(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script]);

    const answers = await Promise.all([run(), run(), run()]);

    expect(new Set(answers.map((answer) => answer.stdout)).size).toBe(1);
    expect(await readdir(directory)).toHaveLength(2);
  });

  it('are the same for starts that race in one process', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateKeys({ directory })));

    expect(new Set(all.map((keys) => JSON.stringify(shape(keys)))).size).toBe(1);
  });

  it('are refused when other users can read the file', async () => {
    await loadOrCreateKeys({ directory });
    await chmod(join(directory, 'keyring.json'), 0o644);

    expect((await refusal({})).message).toMatch(
      /keyring\.json can be read by other users \(mode 644\)\. Run: chmod 600/,
    );
  });

  it('are refused, not replaced, when a file is damaged', async () => {
    await loadOrCreateKeys({ directory });
    await writeFile(join(directory, 'audit-signing-key'), 'half');

    expect((await refusal({})).message).toContain('audit-signing-key is neither');
    expect(await readFile(join(directory, 'audit-signing-key'), 'utf8')).toBe('half');
  });
});

describe('C-26 Keys from the environment', () => {
  it('win over the files, and no file is made', async () => {
    const keys = await loadOrCreateKeys({ directory, keyring: ring, keyVersion: '2', auditSigningKey: key(9) });

    expect(shape(keys)).toMatchObject({
      keyring: [
        ['1', '01'.repeat(32)],
        ['2', '02'.repeat(32)],
      ],
      current: '2',
    });
    await expect(readdir(directory)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('need no version when there is but one key', async () => {
    expect((await loadOrCreateKeys({ directory, keyring: `{"v":"${key(1)}"}` })).current).toBe('v');
  });

  it('take the signing key as 32 bytes in base64 or as PEM', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32).toString('base64');

    const fromPem = await loadOrCreateKeys({ directory, keyring: ring, keyVersion: '1', auditSigningKey: pem });
    const fromSeed = await loadOrCreateKeys({ directory, keyring: ring, keyVersion: '1', auditSigningKey: seed });

    expect(shape(fromSeed)).toEqual(shape(fromPem));
    expect(verify(null, Buffer.from('x'), publicKey, sign(null, Buffer.from('x'), fromSeed.auditKeys.privateKey))).toBe(
      true,
    );
  });

  it.each<[string, Partial<KeyOptions>, string]>([
    ['a ring that is not JSON', { keyring: 'CANARY' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['a ring that is a list', { keyring: '["CANARY"]' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['an empty ring', { keyring: '{}' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['a short key', { keyring: '{"1":"CANARY"}' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['a key that is no text', { keyring: '{"1":7}' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['a version id with a space', { keyring: `{"CANARY 1":"${key(1)}"}` }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['several keys and no version', { keyring: ring }, 'CREDENTIAL_ENCRYPTION_KEY_VERSION'],
    ['a version that is not in the ring', { keyring: ring, keyVersion: 'CANARY' }, 'CREDENTIAL_ENCRYPTION_KEY_VERSION'],
    ['a version without a ring', { keyVersion: '1' }, 'CREDENTIAL_ENCRYPTION_KEYRING'],
    ['a signing key that is neither', { auditSigningKey: 'CANARY' }, 'AUDIT_SIGNING_KEY'],
  ])('refuse %s: the variable is named, its value is not', async (_what, options, variable) => {
    const error = await refusal(options);

    expect(error).toMatchObject({ kind: 'invalid', code: 'keys_invalid' });
    expect(error.errors.map((fault) => fault.path)).toEqual([variable]);
    expect(error.message).toContain(variable);
    expect(JSON.stringify([error.message, error.errors])).not.toContain('CANARY');
  });

  it('refuse an RSA key as signing key', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const error = await refusal({ auditSigningKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() });

    expect(error.errors.map((fault) => fault.path)).toEqual(['AUDIT_SIGNING_KEY']);
  });

  it('are demanded, all at once, where no start may make them', async () => {
    const error = await refusal({ mayGenerate: false });

    expect(error.errors.map((fault) => fault.path)).toEqual(['CREDENTIAL_ENCRYPTION_KEYRING', 'AUDIT_SIGNING_KEY']);
    await expect(readdir(directory)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('may come from files that exist where no start may make them', async () => {
    const made = await loadOrCreateKeys({ directory });

    expect(shape(await loadOrCreateKeys({ directory, mayGenerate: false }))).toEqual(shape(made));
  });
});
