import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneScriptUrl } from '../../../modules/workspace/clone-repository.ts';
import { git, makeRepository } from '../../support/stage/repository.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const script = fileURLToPath(cloneScriptUrl);
const canary = 'canaryOfASecret7f31c0';
let root: string;
let workspace: string;
let home: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-git-names-'));
  [workspace, home] = [join(root, 'workspace'), join(root, 'home')];
  for (const directory of [workspace, home, join(root, 'run'), join(root, 'bin')]) mkdirSync(directory);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Runs the script with nothing from the form: every name comes from the environment. */
const clone = (environment: Record<string, string>): Promise<Finished> =>
  run('sh', [script], {
    cwd: root,
    environment: {
      PATH: `${join(root, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      WORKSPACE_DIR: workspace,
      OUTRIGGER_RUN_DIR: join(root, 'run'),
      GIT_CLONE_RETRIES: '1',
      ...environment,
    },
  });

function repository(name = 'users.git'): string {
  const path = join(root, name);
  makeRepository(path);
  git(path, 'commit', '--quiet', '--allow-empty', '-m', 'second');
  return `file://${path}`;
}

const inClone = (folder: string, ...argv: string[]): string => git(join(workspace, folder), ...argv);

describe('where a repository goes', () => {
  it('C-09 is GIT_ROOT, with GIT_LINK leading to it; the editor’s folder leads there too', async () => {
    const finished = await clone({
      GIT_REPO: repository(),
      GIT_ROOT: join(workspace, 'src/git'),
      GIT_LINK: 'repo',
      WORKSPACE_FOLDER: join(workspace, 'users'),
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(inClone('src/git/users', 'log', '--format=%s')).toBe('second');
    for (const link of ['src/git/repo', 'users'])
      expect(readlinkSync(join(workspace, link))).toBe(join(workspace, 'src/git/users'));
    expect(readdirSync(workspace).sort()).toEqual(['src', 'users']);
  });

  it('C-09 is GIT_WORKSPACE_DIR itself where that is set; GIT_REPO wins over its alias GITHUB_REPO, and HEAD is no ref', async () => {
    const finished = await clone({
      GITHUB_REPO: repository('other.git'),
      GIT_REPO: repository(),
      GIT_REF: 'HEAD',
      GIT_DEPTH: '0',
      GIT_WORKSPACE_DIR: join(workspace, 'app/'),
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(inClone('app', 'log', '--format=%s')).toBe('second\nA user service without users');
    expect(inClone('app', 'config', 'remote.origin.url')).toContain('users.git');
    expect(inClone('app', 'symbolic-ref', '--short', 'HEAD')).toBe('main');
    expect(readdirSync(workspace)).toEqual(['app']);
  });

  it('C-09 is GIT_WORKSPACE_DIR, with GIT_LINK leading to it from a GIT_ROOT that was not there', async () => {
    const place = { GIT_ROOT: join(workspace, 'src'), GIT_WORKSPACE_DIR: join(workspace, 'app'), GIT_LINK: 'repo' };

    expect(await clone({ GIT_REPO: repository(), ...place })).toMatchObject({ code: 0, stderr: '' });
    expect(readlinkSync(join(workspace, 'src/repo'))).toBe(join(workspace, 'app'));
  });

  it.each([
    ['GIT_ROOT', '/git', 'which the agent does not see'],
    ['GIT_ROOT', '$W/../home', 'Give a plain path'],
    ['GIT_ROOT', '$W/.outrigger', 'Give a plain path'],
    ['GIT_WORKSPACE_DIR', '$W', 'the workspace itself'],
    ['GIT_WORKSPACE_DIR', '/home/coder/app', 'which the agent does not see'],
    ['GIT_LINK', '../repo', 'Give one plain name'],
  ])('C-09 cannot be led out of the workspace by %s=%s', async (name, value, sentence) => {
    const finished = await clone({ GIT_REPO: repository(), [name]: value.replace('$W', workspace) });

    expect(finished).toMatchObject({ code: 1, stderr: expect.stringContaining(sentence) });
    expect([readdirSync(workspace), readdirSync(home)]).toEqual([[], expect.not.arrayContaining(['users'])]);
  });

  it('C-09 is not led out of it by links that an agent left in the way', async () => {
    mkdirSync(join(workspace, 'src'));
    symlinkSync(home, join(workspace, 'src/git'));
    symlinkSync(home, join(workspace, 'app'));
    const refused = await clone({ GIT_REPO: repository(), GIT_ROOT: join(workspace, 'src/git/deep') });
    const kept = await clone({ GIT_REPO: repository('two.git'), GIT_LINK: 'app' });
    // The repository itself lies elsewhere, so that only the link would go through the agent's.
    const linked = { GIT_ROOT: join(workspace, 'src/git'), GIT_WORKSPACE_DIR: join(workspace, 'here'), GIT_LINK: 'me' };
    const unlinked = await clone({ GIT_REPO: repository('three.git'), ...linked });

    expect(unlinked).toMatchObject({ code: 1, stderr: expect.stringContaining('is a link and is not followed') });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('is a link and is not followed') });
    expect(kept).toMatchObject({ code: 0 });
    expect(readlinkSync(join(workspace, 'app'))).toBe(home);
    expect(readdirSync(home)).toEqual(['.local']);
  });
});

describe('a repository over SSH', () => {
  /** As ssh, but the host is this machine: keeps its words, and runs what git asks for. */
  const standIn = (): void => {
    const path = join(root, 'bin/ssh');
    writeFileSync(
      path,
      `#!/bin/sh\nprintf '%s\\n' "$@" >> '${join(root, 'words')}'\nfor last; do :; done\nexec sh -c "$last"\n`,
    );
    chmodSync(path, 0o755);
  };
  const words = (): string => readFileSync(join(root, 'words'), 'utf8').replaceAll('\n', ' ');
  const address = (): string => repository().replace('file://', 'ssh://git@git.example.com');

  it('C-09 is cloned in the worker with the key at GIT_SSH_KEY, from a host that GIT_SSH_KNOWN_HOSTS knows', async () => {
    standIn();
    for (const file of ['key', 'hosts']) writeFileSync(join(home, file), canary, { mode: 0o600 });

    const finished = await clone({
      GIT_REPO: address(),
      GIT_SSH_KEY: join(home, 'key'),
      GIT_SSH_KNOWN_HOSTS: join(home, 'hosts'),
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(inClone('users', 'log', '--format=%s')).toBe('second');
    expect(words()).toContain(
      `-i ${join(home, 'key')} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=${join(home, 'hosts')}`,
    );
    expect(words()).not.toContain(canary);
    // Neither stays behind: what fetches later is the person's own, or the broker.
    expect(inClone('users', 'config', '--list')).not.toMatch(/sshcommand|key/i);
  });

  it('C-09 takes the key that Coder keeps for the person where no other is named, and hosts as text', async () => {
    standIn();
    const key = 'git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample';
    const coder = join(root, 'bin/coder');
    writeFileSync(coder, '#!/bin/sh\nshift 2\nexec ssh "$@"\n', { mode: 0o755 });

    const finished = await clone({
      GIT_REPO: address(),
      GIT_SSH_COMMAND: 'coder gitssh --',
      GIT_SSH_KNOWN_HOSTS: key,
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    const hosts = join(home, '.local/state/outrigger/known-hosts');
    expect(readFileSync(hosts, 'utf8')).toBe(`${key}\n`);
    expect(words()).toContain(`-o StrictHostKeyChecking=yes -o UserKnownHostsFile=${hosts}`);
  });

  it('says how its host becomes known where a clone does not come', async () => {
    writeFileSync(join(root, 'bin/ssh'), '#!/bin/sh\necho "Host key verification failed." >&2\nexit 255\n', {
      mode: 0o755,
    });

    const finished = await clone({ GIT_REPO: 'git@git.example.com:acme/users.git', WORKSPACE_DIR: `${workspace}/` });

    expect(finished).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/verification failed.*GIT_SSH_KNOWN_HOSTS/s),
    });
  });

  it.each([
    ['GIT_SSH_KEY', `-----BEGIN OPENSSH PRIVATE KEY-----\n${canary}`, 'is no path'],
    ['GIT_SSH_KEY', '/nowhere/key', 'no such file'],
    ['GIT_SSH_KEY', '$W/key', 'which the agent can reach'],
    ['GIT_SSH_KEY', '$H/leading', 'which the agent can reach'],
    ['GIT_SSH_KNOWN_HOSTS', '$W/key', 'which the agent can reach'],
    ['GIT_SSH_KEY', '$H/a key -o ProxyCommand=id', 'characters'],
  ])('C-09 is not cloned where %s is %j', async (name, value, sentence) => {
    standIn();
    writeFileSync(join(workspace, 'key'), '');
    symlinkSync(join(workspace, 'key'), join(home, 'leading'));

    const finished = await clone({
      GIT_REPO: address(),
      [name]: value.replace('$W', workspace).replace('$H', home),
    });

    expect(finished).toMatchObject({ code: 1, stderr: expect.stringContaining(sentence) });
    expect(finished.stdout + finished.stderr).not.toContain(canary);
    expect(existsSync(join(root, 'words'))).toBe(false);
  });
});

describe('what is said and not done', () => {
  it('C-09 is a password in the environment, which git does not even inherit, and fetching unasked', async () => {
    const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
    const seen = join(root, 'seen');
    writeFileSync(join(root, 'bin/git'), `#!/bin/sh\nenv >> '${seen}'\nexec ${real} "$@"\n`, { mode: 0o755 });

    const finished = await clone({
      GIT_REPO: repository(),
      GIT_USERNAME: 'ada',
      GIT_PASSWORD: canary,
      GIT_SYNC_INTERVAL: '300',
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(finished.stdout).toMatch(/GIT_USERNAME and GIT_PASSWORD are not used.*external authentication/);
    expect(finished.stdout).toMatch(/GIT_SYNC_INTERVAL is not used.*Fetch in a terminal/);
    expect(finished.stdout + readFileSync(seen, 'utf8')).not.toContain(canary);
    expect((await clone({ GIT_SYNC_INTERVAL: '0' })).stdout).not.toContain('GIT_SYNC_INTERVAL');
  });
});
