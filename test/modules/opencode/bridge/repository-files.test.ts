import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeOwnGit } from '../../../../modules/opencode/bridge/own-git.ts';
import { makeRepositoryFiles } from '../../../../modules/opencode/bridge/repository-files.ts';

let directory: string;
let repository: string;
let files: ReturnType<typeof makeRepositoryFiles>;

const git = (...words: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...words], {
    cwd: repository,
    stdio: 'pipe',
    encoding: 'utf8',
  }).trim();

function write(path: string, text: string): void {
  mkdirSync(dirname(join(repository, path)), { recursive: true });
  writeFileSync(join(repository, path), text);
}

/** Commits on a new branch from `main`, and answers the commit. */
function branch(name: string, path: string, text: string): string {
  git('checkout', '-q', '-b', name, 'main');
  write(path, text);
  git('add', '-A');
  git('commit', '-qm', name);
  const commit = git('rev-parse', 'HEAD');
  git('checkout', '-q', 'main');
  return commit;
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-files-'));
  repository = join(directory, 'workspace', 'app');
  const agentDir = join(directory, 'agent');
  for (const made of [repository, agentDir]) mkdirSync(made, { recursive: true });
  git('init', '-q', '-b', 'main');
  write('deploy/app.yaml', 'kind: ConfigMap\n');
  write('deploy/readme.md', 'text\n');
  write('deploy/more/inner.yaml', 'kind: Secret\n');
  write('binary', 'a\0b');
  write('latin', '');
  writeFileSync(join(repository, 'latin'), Buffer.from([0x6b, 0xe4, 0x6c]));
  symlinkSync('/etc/passwd', join(repository, 'deploy', 'link.yaml'));
  symlinkSync('deploy', join(repository, 'elsewhere'));
  git('add', '-A');
  git('commit', '-qm', 'first');
  write('deploy/uncommitted.yaml', 'kind: Pod\n');
  const log = (): void => undefined;
  files = makeRepositoryFiles({
    git: makeOwnGit({ agentDir, path: process.env['PATH'] ?? '', spared: new Set(), log }),
    gitRoot: dirname(repository),
    repositoryDir: null,
  });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const head = { commits: [] };

describe('what a bridge shows of the repository', () => {
  it('are the files that lie in a folder and were committed, and no links', async () => {
    const { files: found } = await files.listCommitted({ ...head, folder: 'deploy' });

    expect(found).toEqual([
      { path: 'deploy/app.yaml', bytes: 16 },
      { path: 'deploy/readme.md', bytes: 5 },
    ]);
    expect(await files.listCommitted({ ...head, folder: 'nowhere' })).toEqual({ files: [] });
    expect(await files.readCommitted({ ...head, path: 'deploy/app.yaml' })).toEqual({ text: 'kind: ConfigMap\n' });
  });

  it.each([
    ['a link', 'deploy/link.yaml', /no file deploy\/link.yaml/],
    ['a file behind a linked folder', 'elsewhere/app.yaml', /no file/],
    ['a folder', 'deploy', /no file/],
    ['what was not committed', 'deploy/uncommitted.yaml', /no file/],
    ['a path out of the repository', '../../etc/passwd', /relative/],
    ['an absolute path', '/etc/passwd', /relative/],
    ['a path that means more than one file', 'deploy/*.yaml', /no file/],
    ['bytes that are no text', 'binary', /no text/],
    ['text of another encoding', 'latin', /no text/],
  ])('is never %s', async (_title, path, words) => {
    await expect(files.readCommitted({ ...head, path })).rejects.toThrow(words);
  });

  it('is what several commits come to together, without moving a branch, and nothing where they contradict', async () => {
    const [one, two] = [branch('one', 'deploy/one.yaml', '1\n'), branch('two', 'deploy/two.yaml', '2\n')];
    const other = branch('other', 'deploy/one.yaml', 'other\n');
    const before = git('for-each-ref');

    const { files: found } = await files.listCommitted({ commits: [one, two], folder: 'deploy' });
    expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(['deploy/one.yaml', 'deploy/two.yaml']));
    expect(
      (await files.readCommitted({ commits: [git('rev-parse', 'main'), one], path: 'deploy/one.yaml' })).text,
    ).toBe('1\n');
    await expect(files.readCommitted({ commits: [one, other], path: 'deploy/one.yaml' })).rejects.toThrow(
      /could not merge/,
    );
    expect(git('for-each-ref')).toBe(before);
  });

  it.each([
    ['a name', ['main']],
    ['an option', ['--output=/tmp/x']],
    ['a commit that is not there', ['a'.repeat(40)]],
    ['too many', Array.from({ length: 11 }, () => 'a'.repeat(40))],
  ])('is not read at %s', async (_title, commits) => {
    await expect(files.listCommitted({ commits, folder: 'deploy' })).rejects.toThrow();
  });

  it('can be searched for a text, which is no pattern', async () => {
    expect(await files.searchCommitted({ ...head, text: 'kind: C' })).toEqual({
      matches: [{ path: 'deploy/app.yaml', line: 1, text: 'kind: ConfigMap' }],
    });
    expect(await files.searchCommitted({ ...head, text: 'k.nd' })).toEqual({ matches: [] });
    await expect(files.searchCommitted({ ...head, text: '' })).rejects.toThrow(/one line/);
  });
});
