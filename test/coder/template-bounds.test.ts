import { describe, expect, it } from '@jest/globals';
import { readBounds } from '../../service/coder/template-bounds.ts';

const pin = `@sha256:${'a'.repeat(64)}`;
const base = `registry.example.com/base:1${pin}`;

/** What a pushed template of ours says, as Coder answers it. */
const variables = {
  executor_images: JSON.stringify([base]),
  allowed_images: '["registry.example.com/team/"]',
  allow_unpinned_images: 'false',
  allowed_models: '["house/small", "house/large"]',
  max_profile: 'ask',
  agent_modes: '["sidecar"]',
  max_cpu: '4',
  max_memory_mb: '8192',
  max_disk_gb: '20',
};

/** What the form gives when nobody changes anything. */
const parameters = {
  executor_image: base,
  cpu: '1',
  memory: '2048',
  disk: '10',
  permission_profile: 'ask',
  model: 'house/large',
  git_repository: '',
};

const bounds = (chosen: Record<string, string> = {}, set: Record<string, string> = {}) =>
  readBounds(new Map(Object.entries({ ...variables, ...set })), new Map(Object.entries({ ...parameters, ...chosen })));

describe('the bounds of a workspace', () => {
  it('are what its template says, with the choices of its owner', () => {
    expect(bounds()).toEqual({
      models: ['house/small', 'house/large'],
      maxProfile: 'ask',
      model: 'house/large',
      profile: 'ask',
      breach: null,
    });
  });

  const team = `registry.example.com/team/tools:2${pin}`;
  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['an image of one’s own under an allowed prefix', { executor_image: 'own', own_image: team }, {}],
    [
      'the same without a digest where the admin allows that',
      { executor_image: 'own', own_image: 'registry.example.com/team/tools:2' },
      { allow_unpinned_images: 'true' },
    ],
    ['a left-over own image behind an offered one', { own_image: 'elsewhere.example.com/x' }, {}],
    ['no model where the template asks for none', { model: '' }, {}],
    ['the largest of everything', { cpu: '4', memory: '8192', disk: '20' }, {}],
    ['a list as an admin types it in HCL', {}, { allowed_models: '["house/small", "house/large",]' }],
  ])('allow %s', (_what, chosen, set) => {
    expect(bounds(chosen, set).breach).toBeNull();
  });

  it.each<[string, Record<string, string>, Record<string, string>, RegExp]>([
    ['executor_image', { executor_image: `evil.example.com/x${pin}` }, {}, /registry\.example\.com\/base/],
    ['executor_image', { executor_image: 'own', own_image: team }, { allowed_images: '[]' }, /base$/],
    ['own_image', { executor_image: 'own', own_image: `evil.example.com/team/x${pin}` }, {}, /team\/$/],
    ['own_image', { executor_image: 'own', own_image: 'registry.example.com/team/x:1' }, {}, /pinned by digest/],
    ['own_image', { executor_image: 'own', own_image: `registry.example.com/team/x y${pin}` }, {}, /pinned by digest/],
    ['permission_profile', { permission_profile: 'trusted' }, {}, /^read-only, ask$/],
    ['permission_profile', { permission_profile: 'root' }, { max_profile: 'trusted' }, /trusted$/],
    ['model', { model: 'house/huge' }, {}, /^house\/small, house\/large$/],
    ['agent_mode', { agent_mode: 'process' }, {}, /^sidecar$/],
    ['cpu', { cpu: '5' }, {}, /^at most 4 cores$/],
    ['cpu', { cpu: '-1' }, {}, /^at most 4 cores$/],
    ['memory', { memory: '8193' }, {}, /^at most 8192 MB$/],
    ['memory', { memory: 'all' }, {}, /^at most 8192 MB$/],
    ['disk', { disk: '1e9' }, {}, /^at most 20 GB$/],
    ['agent_cpu', { agent_cpu: '64' }, {}, /^at most 4 cores$/],
    ['agent_memory', { agent_memory: '65536' }, {}, /^at most 8192 MB$/],
    ['agent_memory', { agent_memory: '4096', memory: '2000' }, { max_memory_mb: '2000' }, /^at most 2000 MB$/],
  ])('name a forged %s and what would be allowed', (parameter, chosen, set, allowed) => {
    const { breach } = bounds(chosen, set);

    expect(breach?.parameter).toBe(parameter);
    expect(breach?.value).toBe({ ...parameters, ...chosen }[parameter as keyof typeof parameters]);
    expect(breach?.allowed).toMatch(allowed);
  });

  it('are the strictest for a template that is not ours: ask, and the models of the service', () => {
    expect(readBounds(new Map([['docker_host', '']]), new Map([['cpu', '64']]))).toEqual({
      models: [],
      maxProfile: 'ask',
      model: null,
      profile: null,
      breach: null,
    });
    expect(readBounds(new Map(), new Map([['permission_profile', 'trusted']])).breach?.allowed).toBe('read-only, ask');
  });

  it.each([
    ['allowed_models', 'house/small'],
    ['allowed_images', '*redacted*'],
    ['max_profile', 'everything'],
    ['max_cpu', 'many'],
    ['agent_modes', '[1]'],
  ])('do not pass for absent when %s cannot be read', (name, value) => {
    const chosen = { agent_mode: 'sidecar', executor_image: 'own', own_image: team };

    expect(() => bounds(chosen, { [name]: value })).toThrow(new RegExp(`variable ${name} .*is not`));
  });
});
