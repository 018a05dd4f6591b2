import { describe, expect, it } from '@jest/globals';
import { isOwnAddress, mayBeLocal, ownNetworksOnly, type Resolve } from '../../service/platform/own-networks.ts';

const answering =
  (...addresses: string[]): Resolve =>
  (_host, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
const dialled = (resolve: Resolve): Promise<string> =>
  new Promise((done) =>
    ownNetworksOnly(resolve)('ollama', {}, (error, address) =>
      done(error ? `refused: ${error.message}` : String(address)),
    ),
  );

describe('one’s own networks (part of P-49)', () => {
  it.each(['127.0.0.1', '10.1.2.3', '172.31.0.1', '192.168.1.1', '100.64.0.1', '::1', 'fd00::1', '::ffff:10.0.0.1'])(
    'hold %s',
    (address) => expect(isOwnAddress(address)).toBe(true),
  );

  it.each(['8.8.8.8', '172.32.0.1', '104.18.2.115', '2606:4700::1', '::ffff:8.8.8.8', '169.254.169.254', 'ollama', ''])(
    'do not hold %s',
    (address) => expect(isOwnAddress(address)).toBe(false),
  );

  it.each([
    ['http://ollama:11434', true],
    ['http://ollama.models.svc.cluster.local:11434', true],
    ['http://127.0.0.1:11434', true],
    ['https://openrouter.ai/api/v1', false],
    ['http://8.8.8.8/v1', false],
  ])('may be meant by %s: %s', (url, may) => expect(mayBeLocal(url)).toBe(may));

  it('are all that a name may lead to', async () => {
    expect(await dialled(answering('10.0.0.5'))).toBe('10.0.0.5');
    expect(await dialled(answering('104.18.2.115'))).toContain('outside the networks');
    expect(await dialled(answering('10.0.0.5', '104.18.2.115'))).toContain('outside the networks');
  });
});
