import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A small Node project: its test fails until somebody writes `src/users.mjs`. */
const files: Readonly<Record<string, string>> = {
  'README.md': '# Users\n\nA tiny user service. `node --test` runs its tests.\n',
  'package.json': '{ "name": "users", "private": true, "type": "module" }\n',
  'test/users.test.mjs': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listUsers, addUser } from '../src/users.mjs';

test('a user that was added is listed', () => {
  addUser({ name: 'Ada' });
  assert.deepEqual(listUsers().map((user) => user.name), ['Ada']);
});
`,
};

/** Makes a git repository with one commit, `more` in it, in `directory` and answers that commit. */
export function makeRepository(directory: string, more: Readonly<Record<string, string>> = {}): string {
  for (const [name, content] of Object.entries({ ...files, ...more })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  git(directory, 'init', '--quiet', '--initial-branch=main');
  git(directory, 'add', '.');
  git(directory, 'commit', '--quiet', '-m', 'A user service without users');
  return git(directory, 'rev-parse', 'HEAD');
}

/** Runs git with an identity of its own and nothing of the machine's configuration. */
export function git(directory: string, ...args: readonly string[]): string {
  return execFileSync('git', ['-c', 'safe.directory=*', ...args], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: directory,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_AUTHOR_NAME: 'Demo',
      GIT_AUTHOR_EMAIL: 'demo@localhost',
      GIT_COMMITTER_NAME: 'Demo',
      GIT_COMMITTER_EMAIL: 'demo@localhost',
    },
  }).trim();
}
