import { createCipheriv, createDecipheriv } from 'node:crypto';
import { systemRandomness, type Randomness } from './clock.ts';
import { ServiceError } from './errors.ts';

/** Encrypts values for the database. What is sealed for one context opens in no other. */
export interface Seal {
  /** `context` names the place the value is stored, such as `template_secret/<organization>/<kid>`. */
  seal(plaintext: string | Buffer, context: string): Buffer;
  /** Throws `seal_broken` when a byte or the context differs, `seal_key_missing` when its key left the ring. */
  open(sealed: Buffer, context: string): Buffer;
  /** Whether `sealed` was made with a key that is no longer the current one. */
  needsRewrap(sealed: Buffer): boolean;
}

const format = 1;
const nonceBytes = 12;
const tagBytes = 16;

const sealBroken = (): ServiceError =>
  new ServiceError(
    'internal',
    'seal_broken',
    'A stored secret does not open: it was changed or moved since it was sealed. Restore the row from a backup or set the secret again.',
  );

const sealKeyMissing = (version: string): ServiceError =>
  new ServiceError(
    'internal',
    'seal_key_missing',
    `A stored secret was sealed with key version ${version}, which is not in the key ring. Add that version to CREDENTIAL_ENCRYPTION_KEYRING.`,
  );

/**
 * AES-256-GCM with a ring of keys: all of them open, the current one seals.
 *
 * Shape   format (1 byte) · length of the version id (1) · version id · nonce (12) · ciphertext · tag (16).
 * Safety  format, version id and context are additional data, so neither a flipped byte nor a moved row opens.
 *         Nonces are random: one key is good for 2^32 values (NIST SP 800-38D §8.3), far beyond what is stored here.
 */
export function makeSeal(options: {
  readonly keyring: ReadonlyMap<string, Buffer>;
  readonly current: string;
  readonly randomness?: Randomness;
}): Seal {
  const randomness = options.randomness ?? systemRandomness;
  const currentKey = options.keyring.get(options.current);
  if (currentKey === undefined) throw sealKeyMissing(options.current);

  return {
    seal(plaintext, context) {
      const header = headerOf(options.current);
      const nonce = randomness.bytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', currentKey, nonce, { authTagLength: tagBytes });
      cipher.setAAD(additionalData(header, context));
      const bytes = typeof plaintext === 'string' ? Buffer.from(plaintext, 'utf8') : plaintext;
      return Buffer.concat([header, nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    },

    open(sealed, context) {
      const { header, version, nonce, ciphertext, tag } = partsOf(sealed);
      const key = options.keyring.get(version);
      if (key === undefined) throw sealKeyMissing(version);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
      decipher.setAAD(additionalData(header, context));
      decipher.setAuthTag(tag);
      try {
        return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
      } catch {
        throw sealBroken();
      }
    },

    needsRewrap: (sealed) => partsOf(sealed).version !== options.current,
  };
}

function headerOf(version: string): Buffer {
  const id = Buffer.from(version, 'utf8');
  return Buffer.concat([Buffer.from([format, id.length]), id]);
}

/** The header carries its own length, so no header and context run into each other. */
const additionalData = (header: Buffer, context: string): Buffer =>
  Buffer.concat([header, Buffer.from(context, 'utf8')]);

function partsOf(sealed: Buffer) {
  const headerBytes = 2 + (sealed[1] ?? 0);
  if (sealed[0] !== format || sealed.length < headerBytes + nonceBytes + tagBytes) throw sealBroken();
  const header = sealed.subarray(0, headerBytes);
  const version = header.subarray(2).toString('utf8');
  // An unprintable id is a damaged header, not a key that somebody could add to the ring.
  if (!/^[\w.-]{1,32}$/.test(version)) throw sealBroken();
  return {
    header,
    version,
    nonce: sealed.subarray(headerBytes, headerBytes + nonceBytes),
    ciphertext: sealed.subarray(headerBytes + nonceBytes, sealed.length - tagBytes),
    tag: sealed.subarray(sealed.length - tagBytes),
  };
}
