import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeProviderKey } from '../../service/agents/provider-key.ts';
import { saveEntry } from '../../service/agents/agent-entry-store.ts';
import { isProviderKey, providerKeyName } from '../../service/gateway/provider-keys.ts';
import { makeTestClock } from '../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const acme = randomUUID();
let data: TestDatabase;
beforeEach(async () => {
  data = await createTestDatabase();
});
afterEach(() => data.drop());

const clock = makeTestClock();
const values: Readonly<Record<string, string>> = { first: 'key-1', second: 'key-2\n', broken: 'key\nwith: header' };

const keyFor = (upstreamUrl = 'https://openrouter.ai/api/v1') =>
  makeProviderKey({
    database: data.database,
    secrets: { open: (_places, { key }) => Promise.resolve(values[key] ?? null) },
    upstreamUrl,
    clock,
  })({ organizationId: acme });

const write = (name: string, key: string, rest: Record<string, unknown> = {}, organizationId = acme): Promise<void> =>
  data.database.transaction((tx) =>
    saveEntry(tx, {
      organizationId,
      name,
      spec: { credentials: [{ name: 'k', secretRef: { name: 's', key }, env: 'OPENROUTER_API_KEY', ...rest }] },
      updatedAt: clock.now(),
      updatedBy: 'user:x',
    }),
  );

describe('the key of an organization', () => {
  it('is that of the entry opencode before any other, then by name', async () => {
    expect(await keyFor()).toBeNull();
    await write('b-agent', 'second');
    expect(await keyFor()).toBe('key-2');
    await write('opencode', 'first');
    expect(await keyFor()).toBe('key-1');
  });

  it('is never one that has expired, is not stored, or belongs to another organization', async () => {
    await write('expired', 'first', { expiresAt: new Date(clock.now().getTime() - 1).toISOString() });
    await write('missing', 'nowhere');
    await write('opencode', 'first', {}, randomUUID());

    expect(await keyFor()).toBeNull();
  });

  it('is never shown to another provider', async () => {
    await write('opencode', 'first');

    expect(await keyFor('https://api.anthropic.com/v1')).toBeNull();
    await write('other', 'second', { env: 'ANTHROPIC_API_KEY' });
    expect(await keyFor('https://api.anthropic.com/v1')).toBe('key-2');
    expect(await keyFor()).toBe('key-1');
  });

  it('is refused, and not replaced by another, when it cannot stand in a header', async () => {
    await write('opencode', 'broken');
    await write('other', 'first');

    await expect(keyFor()).rejects.toMatchObject({ code: 'provider_key_unusable' });
    await expect(keyFor()).rejects.not.toThrow(/with: header/);
  });
});

describe('names of keys', () => {
  it.each([
    ['https://openrouter.ai/api/v1', 'OPENROUTER_API_KEY'],
    ['https://api.anthropic.com/v1', 'ANTHROPIC_API_KEY'],
    ['https://api.openai.com/v1', 'OPENAI_API_KEY'],
    ['https://evil-anthropic.com/v1', 'OPENROUTER_API_KEY'],
    ['http://127.0.0.1:9/v1', 'OPENROUTER_API_KEY'],
  ])('%s takes %s', (url, name) => {
    expect(providerKeyName(url)).toBe(name);
  });

  it('tell a provider’s key from everything else', () => {
    expect(['ANTHROPIC_API_KEY', 'OPENROUTER_API_KEY', 'OPENAI_API_KEY'].every(isProviderKey)).toBe(true);
    expect(['GITHUB_TOKEN', 'toString', ''].some(isProviderKey)).toBe(false);
  });
});
