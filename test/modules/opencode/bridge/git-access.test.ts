import { describe, expect, it } from '@jest/globals';
import { accessTo, isPushedByHand, relaySettings } from '../../../../modules/opencode/bridge/git-access.ts';
import { settingsAsVariables } from '../../../../modules/opencode/bridge/git.ts';

const access = [
  { repository: 'github.com/acme/app', mayPush: true },
  { repository: 'git.example.com:8443/group/sub/two', mayPush: false },
];

describe('a repository that the service reaches', () => {
  it.each([
    ['https://github.com/acme/app.git', 'github.com/acme/app'],
    ['https://github.com/Acme/App/', 'github.com/acme/app'],
    ['git@github.com:acme/app.git\n', 'github.com/acme/app'],
    ['ssh://git@github.com/acme/app', 'github.com/acme/app'],
    ['https://git.example.com:8443/group/sub/two', 'git.example.com:8443/group/sub/two'],
  ])('is known under %j', (remote, repository) => {
    expect(accessTo(remote, access)?.repository).toBe(repository);
  });

  it.each(['', 'https://github.com/acme/app-two', 'https://evil.example/github.com/acme/app', '/workspace/app'])(
    'is not %j',
    (remote) => expect(accessTo(remote, access)).toBeUndefined(),
  );

  it('is led to the relay by settings that git takes from its environment', () => {
    const variables = settingsAsVariables(relaySettings('http://127.0.0.1:3001/git/k', access.slice(0, 1)));
    expect(variables).toMatchObject({
      GIT_CONFIG_COUNT: '4',
      GIT_CONFIG_KEY_0: 'url.http://127.0.0.1:3001/git/k/github.com/acme/app.insteadOf',
      GIT_CONFIG_VALUE_0: 'https://github.com/acme/app',
      GIT_CONFIG_VALUE_3: 'git@github.com:acme/app',
    });
  });
});

describe('autoPush in REPOS_JSON (part of C-10)', () => {
  const repos = JSON.stringify([
    { url: 'https://github.com/acme/app.git', autoPush: false },
    { url: 'https://github.com/acme/two', autoPush: true },
  ]);
  it.each([
    ['https://github.com/acme/app', repos, true],
    ['https://github.com/acme/two.git', repos, false],
    ['https://github.com/acme/three', repos, false],
    ['https://github.com/acme/app', undefined, false],
    ['https://github.com/acme/app', 'no list', false],
    ['https://github.com/acme/app', '[null]', false],
  ])('keeps %s back with %j: %j', (remote, list, expected) => {
    expect(isPushedByHand(remote, list)).toBe(expected);
  });
});
