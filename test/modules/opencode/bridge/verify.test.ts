import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Ask, Lease } from '../../../../modules/contract.ts';
import { makeAsks } from '../../../../modules/opencode/bridge/asks.ts';
import { commitWork } from '../../../../modules/opencode/bridge/commit.ts';
import { globalConfigText, makeGit, type Git } from '../../../../modules/opencode/bridge/git.ts';
import { runCommand } from '../../../../modules/opencode/bridge/runner-exec.ts';
import type { ExecCommand, ExecResult } from '../../../../modules/opencode/bridge/runner-protocol.ts';
import type { Runner } from '../../../../modules/opencode/bridge/runner-client.ts';
import { verifyWork, type Verified } from '../../../../modules/opencode/bridge/verify.ts';
import { prepareWorkTree, type WorkTree } from '../../../../modules/opencode/bridge/worktree.ts';
import { aLease } from '../../../support/bridge/bridge-process.ts';

const path = process.env['PATH'] ?? '';
let root: string;
let workspaceDir: string;
let repository: string;
let taskDir: string;
let git: Git;
let workTree: WorkTree;
let asked: Ask[];

const exec = (command: ExecCommand): Promise<ExecResult> => runCommand(command, new Set());
const lease = (script: string, more: Partial<Lease> = {}): Lease =>
  aLease('x', {
    task_id: 'task',
    profile: 'trusted',
    verify: { argv: ['/bin/sh', '-c', script], timeout_seconds: 20 },
    ...more,
  });
const prepare = (): Promise<WorkTree> =>
  prepareWorkTree(
    { git, workspaceDir, gitRoot: workspaceDir, repositoryDir: null, subpath: '', taskDir },
    lease('true'),
  );
const inTree = (...args: string[]): string =>
  execFileSync('git', args, { cwd: workTree.path, encoding: 'utf8' }).trimEnd();
const write = (name: string, text: string): void => writeFileSync(join(workTree.path, name), text);
const recordsOf = (): string[] => readdirSync(join(repository, '.git', 'worktrees'));

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-verify-'));
  workspaceDir = join(root, 'workspace');
  repository = join(workspaceDir, 'app');
  taskDir = join(root, 'agent', 'tasks', 'task');
  asked = [];
  for (const directory of [repository, taskDir, join(root, 'home')]) mkdirSync(directory, { recursive: true });
  const globalConfig = join(root, 'gitconfig');
  writeFileSync(globalConfig, globalConfigText);
  git = makeGit({ exec, path, home: join(root, 'home'), globalConfig });
  const identity = { name: 'Ada', email: 'ada@example.com' };
  await git(['init', '--quiet', '--initial-branch=main'], { directory: repository });
  writeFileSync(join(repository, 'check.sh'), 'exit 1\n');
  writeFileSync(join(repository, '.gitignore'), 'node_modules\n');
  await git(['add', '--all'], { directory: repository });
  await git(['commit', '--quiet', '-m', 'first'], { directory: repository, identity });
  workTree = await prepare();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Commits and verifies as an attempt does; a person who is asked says yes. */
async function check(script: string, more: Partial<Lease> = {}, run: Runner['exec'] = exec): Promise<Verified> {
  const itsLease = lease(script, more);
  const asks = makeAsks(
    (ask) => {
      asked.push(ask);
      queueMicrotask(() => void asks.decide(ask.ask_id, 'once'));
    },
    () => null,
  );
  return verifyWork({
    lease: itsLease,
    git,
    runner: { exec: run } as Runner,
    asks,
    emit: () => undefined,
    workTree,
    work: await commitWork(git, workTree, itsLease),
    path,
    taskDir,
  });
}

describe('D4 the verify command sees the commit and nothing else', () => {
  it('finds no ignored file that the agent left', async () => {
    mkdirSync(join(workTree.path, 'node_modules'));
    write('node_modules/fake', 'exit 0\n');
    write('made.txt', 'made\n');

    const { verify } = await check('cat made.txt; ls -A; test -e node_modules/fake');

    expect(verify).toEqual({ exit: 1, timed_out: false, output: 'made\n.git\n.gitignore\ncheck.sh\nmade.txt\n' });
  });

  it.each(['--skip-worktree', '--assume-unchanged'])('is not fooled by a file hidden with %s', async (flag) => {
    inTree('update-index', flag, 'check.sh');
    write('check.sh', 'exit 0\n');
    write('made.txt', 'made\n');

    expect((await check('sh check.sh')).verify?.exit).toBe(1);
  });

  it('sees what a replaced object hides, and files outside of a sparse checkout', async () => {
    write('check.sh', 'exit 3\n');
    inTree('commit', '--quiet', '--all', '-m', 'x', '--author=A <a@b>');
    const good = execFileSync('git', ['hash-object', '-w', '--stdin'], {
      cwd: workTree.path,
      input: 'exit 0\n',
      encoding: 'utf8',
    }).trim();
    inTree('replace', inTree('rev-parse', 'HEAD:check.sh'), good);
    inTree('config', 'core.sparseCheckout', 'true');
    const info = join(inTree('rev-parse', '--absolute-git-dir'), 'info');
    mkdirSync(info, { recursive: true });
    writeFileSync(join(info, 'sparse-checkout'), '/.gitignore\n');

    expect((await check('sh check.sh')).verify?.exit).toBe(3);
  });

  it('does not leave the commit where the folder it begins in became a link', async () => {
    mkdirSync(join(root, 'elsewhere'));
    mkdirSync(join(workTree.path, 'part'));
    write('part/made.txt', 'made\n');
    workTree = { ...workTree, folder: join(workTree.path, 'part') };
    expect((await check('cat made.txt')).verify).toMatchObject({ exit: 0, output: 'made\n' });

    rmSync(join(workTree.path, 'part'), { recursive: true });
    symlinkSync(join(root, 'elsewhere'), join(workTree.path, 'part'));

    expect((await check('exit 0')).verify).toMatchObject({
      exit: null,
      output: expect.stringContaining('the repository has no such folder') as unknown,
    });
  });

  it('checks the base where nothing was committed', async () => {
    expect((await check('git rev-parse HEAD; test -e check.sh')).verify).toEqual({
      exit: 0,
      timed_out: false,
      output: `${workTree.base}\n`,
    });
  });

  it('starts no hook and no filter that the repository names', async () => {
    const marker = join(root, 'pwned');
    const evil = join(root, 'post-checkout');
    writeFileSync(evil, `#!/bin/sh\ntouch ${marker}\ncat\n`, { mode: 0o755 });
    inTree('config', 'core.hooksPath', root);
    inTree('config', 'filter.evil.smudge', evil);
    write('.gitattributes', '* filter=evil\n');

    expect((await check('test -s check.sh')).verify?.exit).toBe(0);
    expect(existsSync(marker)).toBe(false);
  });
});

describe('D4 a verify run has a place of its own', () => {
  it('gets an empty HOME and TMPDIR with a new name each time, and leaves nothing', async () => {
    mkdirSync(join(taskDir, 'verify-1'));
    writeFileSync(join(taskDir, 'verify-1', '.npmrc'), 'script-shell=/evil\n');
    const before = recordsOf();
    const script =
      'ls -A "$HOME" "$TMPDIR" | grep -c .; echo "$HOME $TMPDIR"; mkdir "$HOME/a"; >"$HOME/a/b"; chmod 555 "$HOME/a"; >x';

    const outputs = [await check(script), await check(script)].map(({ verify }) => verify?.output ?? '');

    for (const output of outputs) expect(output).toMatch(/^2\n\S+\/verify-\w{6}\/home \S+\/verify-\w{6}\/tmp\n$/);
    expect(new Set(outputs).size).toBe(2);
    expect(readdirSync(taskDir).filter((name) => name.startsWith('verify'))).toEqual([]);
    expect(recordsOf()).toEqual(before);
  });

  it('leaves nothing when the attempt ends in the middle and no program can be run any more', async () => {
    const before = recordsOf();

    const { verify } = await check('true', {}, ({ directory }) => {
      expect(recordsOf()).toHaveLength(before.length + 1);
      expect(existsSync(join(directory, 'check.sh'))).toBe(true);
      return Promise.reject(new Error('The runner of the attempt is gone.'));
    });

    expect(verify).toMatchObject({ exit: null, output: expect.stringContaining('is gone') });
    expect(readdirSync(taskDir).filter((name) => name.startsWith('verify'))).toEqual([]);
    expect(recordsOf()).toEqual(before);
  });
});

describe('D4 the change that a person is shown', () => {
  it('is the commit’s: no attribute, no later commit and no control character hides a line', async () => {
    write('.gitattributes', '*.sh -diff\n');
    write('check.sh', 'exit 0 # \u001b[2Aharmless\n');

    await check('true', { profile: 'ask' });

    expect(asked[0]?.detail).toMatchObject({
      patch: expect.stringContaining('-exit 1\n+exit 0 # \u241b[2Aharmless\n'),
      patch_truncated: false,
      changed_files: ['.gitattributes', 'check.sh'],
    });
  });
});

describe('the base that the task remembers', () => {
  it('comes back for a later attempt', async () => {
    expect(await prepare()).toEqual(workTree);
  });

  it.each(['--output=pwned', 'HEAD', 'main', '0123abc', ''])('is a commit’s id, not %j', async (text) => {
    writeFileSync(join(taskDir, 'base'), text);

    expect((await prepare()).base).toBe(workTree.base);
  });

  it('may be a directory without stopping the attempt', async () => {
    rmSync(join(taskDir, 'base'));
    mkdirSync(join(taskDir, 'base', 'deep'), { recursive: true });

    expect((await prepare()).base).toBe(workTree.base);
  });
});
