import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemRandomness, type Randomness } from './clock.ts';
import { ServiceError, type FieldError } from './errors.ts';

/** What signs the audit. All replicas of one service share it. */
export interface AuditKeys {
  /** Key of each event's HMAC, derived from the signing key so that one variable carries both. */
  readonly hmac: Buffer;
  /** Ed25519, signs checkpoints. */
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** First 16 hex digits of the SHA-256 of the public key (SPKI, DER). */
  readonly keyId: string;
}

export interface Keys {
  /** Version id → 32 bytes, for `makeSeal`. */
  readonly keyring: ReadonlyMap<string, Buffer>;
  /** The version that seals new values. */
  readonly current: string;
  readonly auditKeys: AuditKeys;
}

export interface KeyOptions {
  /** `<data directory>/keys`; made with mode 0700 when a key is written. */
  readonly directory: string;
  /** CREDENTIAL_ENCRYPTION_KEYRING: `{"1":"<32 bytes as base64>"}`. Wins over the file. */
  readonly keyring?: string | undefined;
  /** CREDENTIAL_ENCRYPTION_KEY_VERSION: which key seals. Needed when the ring holds more than one. */
  readonly keyVersion?: string | undefined;
  /** AUDIT_SIGNING_KEY: 32 bytes as base64, or an Ed25519 private key in PEM. Wins over the file. */
  readonly auditSigningKey?: string | undefined;
  /** False where other replicas must hold the same keys: then a missing key is an error. Default true. */
  readonly mayGenerate?: boolean | undefined;
  readonly randomness?: Randomness;
}

export const keyFiles = { keyring: 'keyring.json', auditSigningKey: 'audit-signing-key' } as const;
const keyringVariable = 'CREDENTIAL_ENCRYPTION_KEYRING';
const versionVariable = 'CREDENTIAL_ENCRYPTION_KEY_VERSION';
const signingVariable = 'AUDIT_SIGNING_KEY';

/**
 * The keys of this service: from the environment, else from `directory`, else made once and kept there.
 *
 * Files   mode 0600, created whole or not at all; two processes that start at once end with the same keys.
 * Errors  one `invalid` (`keys_invalid`) that names every bad or missing variable or file in `errors`, never a value.
 */
export async function loadOrCreateKeys(options: KeyOptions): Promise<Keys> {
  const errors: FieldError[] = [];
  const attempt = async <Value>(work: () => Promise<Value>): Promise<Value | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      errors.push(...error.errors);
      return undefined;
    }
  };
  const ring = await attempt(() => loadKeyring(options));
  const auditKeys = await attempt(() => loadAuditKeys(options));
  if (ring === undefined || auditKeys === undefined) throw keysInvalid(errors);
  return { ...ring, auditKeys };
}

async function loadKeyring(options: KeyOptions): Promise<Pick<Keys, 'keyring' | 'current'>> {
  const configured = options.keyring;
  if (configured === undefined && options.keyVersion !== undefined)
    throw fault(keyringVariable, `is not set although ${versionVariable} is. Set both, or neither.`);
  if (configured !== undefined) return parseKeyring(configured, options.keyVersion, keyringVariable);
  const path = join(options.directory, keyFiles.keyring);
  const make = (bytes: Buffer) => JSON.stringify({ '1': bytes.toString('base64') });
  return parseKeyring(await readOrCreate(path, keyringVariable, options, make), undefined, path);
}

/** The audit's keys alone, for whoever verifies and needs no key ring. Errors as `loadOrCreateKeys`. */
export async function loadAuditKeys(
  options: Pick<KeyOptions, 'directory' | 'auditSigningKey' | 'mayGenerate' | 'randomness'>,
): Promise<AuditKeys> {
  if (options.auditSigningKey !== undefined) return parseSigningKey(options.auditSigningKey, signingVariable);
  const path = join(options.directory, keyFiles.auditSigningKey);
  const make = (bytes: Buffer) => bytes.toString('base64');
  return parseSigningKey(await readOrCreate(path, signingVariable, options, make), path);
}

function parseKeyring(text: string, keyVersion: string | undefined, source: string): Pick<Keys, 'keyring' | 'current'> {
  const entries = Object.entries(parseObject(text, source));
  const keyring = new Map<string, Buffer>();
  for (const [version, value] of entries) {
    const key = typeof value === 'string' ? decode32(value) : undefined;
    if (!/^[\w.-]{1,32}$/.test(version))
      throw fault(source, 'holds a version id that is not 1 to 32 letters, digits, "_", "." or "-".');
    if (key === undefined)
      throw fault(
        source,
        `holds a key (version ${version}) that is not 32 bytes in base64. Make one with: openssl rand -base64 32`,
      );
    keyring.set(version, key);
  }
  if (keyring.size === 0) throw fault(source, 'holds no key. It looks like {"1":"<32 bytes as base64>"}.');
  const current = keyVersion ?? (keyring.size === 1 ? entries[0]?.[0] : undefined);
  if (current === undefined)
    throw fault(
      versionVariable,
      `is not set although ${source} holds ${keyring.size} keys. Set it to the version that seals.`,
    );
  if (!keyring.has(current)) throw fault(versionVariable, `names a version that is not in ${source}.`);
  return { keyring, current };
}

function parseObject(text: string, source: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault(source, 'is not a JSON object. It looks like {"1":"<32 bytes as base64>"}.');
  return value as Record<string, unknown>;
}

function decode32(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text);
  return isBase64 && bytes.length === 32 ? bytes : undefined;
}

/** PKCS #8 frame of a raw Ed25519 seed. Source: RFC 8410 §7 */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

function parseSigningKey(text: string, source: string): AuditKeys {
  const trimmed = text.trim();
  const raw = decode32(trimmed);
  const privateKey = raw !== undefined ? keyFromSeed(raw) : keyFromPem(trimmed);
  if (privateKey?.asymmetricKeyType !== 'ed25519')
    throw fault(
      source,
      'is neither 32 bytes in base64 nor an Ed25519 private key in PEM. Make one with: openssl rand -base64 32',
    );
  const publicKey = createPublicKey(privateKey);
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(pkcs8Prefix.length);
  const hmac = Buffer.from(hkdfSync('sha256', seed, '', 'outrigger audit event hmac v1', 32));
  return { hmac, privateKey, publicKey, keyId: keyIdOf(publicKey) };
}

const keyFromSeed = (seed: Buffer): KeyObject =>
  createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' });

function keyFromPem(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    return undefined;
  }
}

export const keyIdOf = (publicKey: KeyObject): string =>
  createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex')
    .slice(0, 16);

/** The text of `path`; when there is none, what `make` returns is written there first. */
async function readOrCreate(
  path: string,
  variable: string,
  options: KeyOptions,
  make: (bytes: Buffer) => string,
): Promise<string> {
  const existing = await readKeyFile(path);
  if (existing !== undefined) return existing;
  if (options.mayGenerate === false)
    throw fault(
      variable,
      `is not set and no key file exists. Every replica needs the same value. Make one with: ${
        variable === keyringVariable ? `printf '{"1":"%s"}' "$(openssl rand -base64 32)"` : 'openssl rand -base64 32'
      }`,
    );
  const randomness = options.randomness ?? systemRandomness;
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  await createOnce(path, make(randomness.bytes(32)), randomness);
  const created = await readKeyFile(path);
  if (created === undefined) throw fault(path, 'vanished while it was being made. Start again.');
  return created;
}

async function readKeyFile(path: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0)
      throw fault(path, `can be read by other users (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 "${path}"`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    if (isCode(error, 'EACCES'))
      throw fault(path, 'cannot be read by this user. Give it to the user that runs the service.');
    throw error;
  }
}

/**
 * Writes `text` to `path` unless it exists; the first writer wins.
 *
 * A hard link appears with its whole content or not at all, which `O_EXCL` does not promise to a reader.
 */
async function createOnce(path: string, text: string, randomness: Randomness): Promise<void> {
  const draft = `${path}.${randomness.bytes(8).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await chmod(draft, 0o600);
    await link(draft, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
}

const isCode = (error: unknown, code: string): boolean => (error as NodeJS.ErrnoException).code === code;

const fault = (path: string, message: string): ServiceError => keysInvalid([{ path, message }]);

const keysInvalid = (errors: readonly FieldError[]): ServiceError =>
  new ServiceError('invalid', 'keys_invalid', errors.map((error) => `${error.path} ${error.message}`).join(' '), {
    errors,
  });
