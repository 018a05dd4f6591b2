import { describe, expect, it } from '@jest/globals';
import { readManifest } from '../../service/agents/kubernetes/manifest.ts';
import { readYaml } from '../../service/platform/yaml-body.ts';

const keys = (count: number): string[] => Array.from({ length: count }, (_, index) => `k${index}: 1`);

describe('a text of YAML that would take the process or its time', () => {
  it.each([
    ['lists in lists that never end', '['.repeat(500_000), /deeper than 100 levels/],
    ['lists in lists', '['.repeat(50_000) + ']'.repeat(50_000), /deeper than 100 levels/],
    ['lists of blocks', `${'- '.repeat(100_000)}a`, /deeper than 100 levels/],
    ['keys that are keys', '? '.repeat(100_000), /deeper than 100 levels/],
    ['what follows a fault', `] ]\n${'['.repeat(100_000)}`, /deeper than 100 levels/],
    ['a block of many keys', keys(50_000).join('\n'), /more than 2000 keys/],
    ['a map of many keys', `a: {${keys(50_000).join(', ')}}`, /more than 2000 keys/],
  ])('is refused before it is parsed: %s', (_what, text, why) => {
    expect(() => readYaml(text)).toThrow(why);
    expect(() => readYaml(text)).toThrow(expect.objectContaining({ kind: 'invalid' }));
    expect(() => readManifest(text, 'team', { namespaces: ['team'], kinds: [] })).toThrow(why);
  });

  it('is not what is merely long', () => {
    expect(readYaml(`a: [${'1,'.repeat(3_000)}]`)).toEqual({ a: Array.from({ length: 3_000 }, () => 1) });
    expect(Object.keys(readYaml(keys(2_000).join('\n')) as object)).toHaveLength(2_000);
    expect(readYaml('{a: {b: [{c: "[[[["}]}}')).toEqual({ a: { b: [{ c: '[[[[' }] } });
  });
});
