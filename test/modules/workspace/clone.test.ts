import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneScriptUrl } from '../../../modules/workspace/clone-repository.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const script = fileURLToPath(cloneScriptUrl);
let root: string;
let workspace: string;
let state: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-clone-'));
  workspace = join(root, 'workspace');
  state = join(root, 'state');
  mkdirSync(workspace);
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/** Runs the script as the workspace agent does, with what the owner typed. */
const clone = async (repository: string, ref = '', environment: Record<string, string> = {}): Promise<Finished> =>
  await run('bash', [script], {
    cwd: root,
    environment: {
      REPOSITORY_BASE64: Buffer.from(repository).toString('base64'),
      REF_BASE64: Buffer.from(ref).toString('base64'),
      WORKSPACE_DIR: workspace,
      CLONE_STATE_DIR: state,
      CLONE_RETRY_SECONDS: '0',
      ...environment,
    },
  });

function makeRepository(name: string): string {
  const path = join(root, name);
  const git = (...argv: string[]): void => {
    execFileSync('git', ['-C', path, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...argv], {
      stdio: 'ignore',
    });
  };
  mkdirSync(path);
  git('init', '--quiet', '--initial-branch=main');
  writeFileSync(join(path, 'README'), 'main\n');
  git('add', '.');
  git('commit', '--quiet', '-m', 'first');
  git('checkout', '--quiet', '-b', 'feature/x');
  writeFileSync(join(path, 'README'), 'feature\n');
  git('commit', '--quiet', '-am', 'second');
  git('checkout', '--quiet', 'main');
  return path;
}

/** A `git` that writes down its arguments and fails. */
function failingGit(): Record<string, string> {
  const bin = join(root, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'git'), `#!/bin/sh\nprintf '%s\\n' "$*" >> '${join(root, 'argv')}'\nexit 128\n`, {
    mode: 0o755,
  });
  return { PATH: `${bin}:${process.env.PATH ?? ''}` };
}

describe('modules/workspace/clone.sh', () => {
  it('clones into a folder named after the repository, on the branch that was asked for', async () => {
    const finished = await clone(makeRepository('project.git'), 'feature/x');

    expect(finished.code).toBe(0);
    expect(readFileSync(join(workspace, 'project', 'README'), 'utf8')).toBe('feature\n');
    expect(readdirSync(workspace)).toEqual(['project']);
    expect(readdirSync(state)).toEqual(['cloned-project']);
  });

  it('leaves a folder that exists alone and runs no git in it', async () => {
    mkdirSync(join(workspace, 'project'));

    const finished = await clone('https://git.example.com/project.git', '', failingGit());

    expect(finished.stdout).toContain('is left alone');
    expect(finished.code).toBe(0);
    expect(existsSync(join(root, 'argv'))).toBe(false);
  });

  it('does not follow a link that the agent left where the clone should go', async () => {
    const home = join(root, 'home');
    mkdirSync(home);
    symlinkSync(join(home, 'gone'), join(workspace, 'project'));

    const finished = await clone(makeRepository('project.git'));

    expect(finished.stdout).toContain('is left alone');
    expect(readdirSync(home)).toEqual([]);
  });

  it('clones once in the life of a workspace', async () => {
    const repository = makeRepository('project.git');
    await clone(repository);
    rmSync(join(workspace, 'project'), { recursive: true });

    const finished = await clone(repository);

    expect(finished.stdout).toContain('was cloned before');
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('tries three times, then fails and leaves nothing behind', async () => {
    const finished = await clone('https://git.example.com/project.git', '', failingGit());

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('three tries failed');
    expect(readFileSync(join(root, 'argv'), 'utf8').trim().split('\n')).toHaveLength(3);
    expect(readdirSync(workspace)).toEqual([]);
    expect(readdirSync(state)).toEqual([]);
  });

  it('passes what the owner typed as one argument, behind the end of the options', async () => {
    const hostile = '$(touch pwned); `touch pwned` "quoted" \'x\'/project.git';

    await clone(hostile, '', failingGit());

    expect(readFileSync(join(root, 'argv'), 'utf8')).toContain(` -- ${hostile} `);
    expect(readdirSync(root)).not.toContain('pwned');
  });

  it.each([
    ['a token in the address', 'https://token@git.example.com/a.git', '', 'holds a user name or token'],
    ['an option in place of the address', '--upload-pack=/bin/sh', '', 'begins with a dash'],
    ['an option in place of the branch', 'https://git.example.com/a.git', '--orphan', 'begins with a dash'],
    ['a repository named ..', 'https://git.example.com/..', '', 'no usable name'],
    ['a repository named like a hidden file', 'https://git.example.com/.ssh', '', 'no usable name'],
  ])('refuses %s before git sees it', async (_what, repository, ref, message) => {
    const finished = await clone(repository, ref, failingGit());

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain(message);
    expect(finished.stderr).not.toContain('token@');
    expect(existsSync(join(root, 'argv'))).toBe(false);
  });

  it('says so when there is no such branch, and leaves nothing behind', async () => {
    const finished = await clone(makeRepository('project.git'), 'nowhere');

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('there is no branch, tag or commit "nowhere"');
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('begins with an empty workspace when no repository was chosen', async () => {
    expect(await clone('')).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(workspace)).toEqual([]);
  });
});
