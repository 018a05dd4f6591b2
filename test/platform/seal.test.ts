import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { makeSeal } from '../../service/platform/seal.ts';

const one = Buffer.alloc(32, 1);
const two = Buffer.alloc(32, 2);
const seal = makeSeal({ keyring: new Map([['1', one]]), current: '1' });

describe('S-60 A sealed value', () => {
  it('opens in its own context, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (plaintext, context) => {
        expect(seal.open(seal.seal(Buffer.from(plaintext), context), context)).toEqual(Buffer.from(plaintext));
      }),
    );
  });

  it('does not open after any one byte was flipped', () => {
    const sealed = seal.seal('a secret', 'org/owner/workspace/name');

    for (let index = 0; index < sealed.length; index += 1)
      for (const mask of [0x01, 0x80]) {
        const flipped = Buffer.from(sealed);
        flipped.writeUInt8(flipped.readUInt8(index) ^ mask, index);
        expect(() => seal.open(flipped, 'org/owner/workspace/name')).toThrow(/does not open|not in the key ring/);
      }
  });

  it('does not open when its end is cut off or something is added', () => {
    const sealed = seal.seal('a secret', 'context');

    for (let length = 0; length < sealed.length; length += 1)
      expect(() => seal.open(sealed.subarray(0, length), 'context')).toThrow('does not open');
    expect(() => seal.open(Buffer.concat([sealed, Buffer.from([0])]), 'context')).toThrow('does not open');
  });

  it('does not open in another context: a moved row stays shut', () => {
    const sealed = seal.seal('a secret', 'org/alice/workspace/name');

    expect(() => seal.open(sealed, 'org/mallory/workspace/name')).toThrow(
      expect.objectContaining({ code: 'seal_broken' }),
    );
  });

  it('shows neither its plaintext nor whether two are the same', () => {
    const sealed = seal.seal('a secret', 'context');

    expect(sealed.includes('secret')).toBe(false);
    expect(seal.seal('a secret', 'context').equals(sealed)).toBe(false);
  });
});

describe('S-60 A ring of keys', () => {
  const both = makeSeal({
    keyring: new Map([
      ['1', one],
      ['2', two],
    ]),
    current: '2',
  });

  it('opens what an older version sealed, and says that it should be sealed again', () => {
    const old = seal.seal('a secret', 'context');

    expect(both.open(old, 'context').toString()).toBe('a secret');
    expect(both.needsRewrap(old)).toBe(true);
    expect(both.needsRewrap(both.seal('a secret', 'context'))).toBe(false);
  });

  it('names the version that is missing', () => {
    const recent = both.seal('a secret', 'context');

    expect(() => seal.open(recent, 'context')).toThrow(/key version 2.*CREDENTIAL_ENCRYPTION_KEYRING/);
  });

  it('opens nothing when a version holds another key than it held', () => {
    const replaced = makeSeal({ keyring: new Map([['1', two]]), current: '1' });

    expect(() => replaced.open(seal.seal('a secret', 'context'), 'context')).toThrow('does not open');
  });
});
