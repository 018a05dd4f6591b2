import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../../../modules/contract.ts';
import { saveCheckpoint } from '../../../../modules/opencode/bridge/checkpoint.ts';
import { forgetWorkTrees } from '../../../../modules/opencode/bridge/forget-worktrees.ts';
import { makeOwnGit } from '../../../../modules/opencode/bridge/own-git.ts';
import { makeWorkCommands } from '../../../../modules/opencode/bridge/work-commands.ts';
import { prepareWorkTree, type WorkTree } from '../../../../modules/opencode/bridge/worktree.ts';
import { aLease, makeWorkspace, type TestWorkspace } from '../../../support/bridge/bridge-process.ts';

let workspace: TestWorkspace;
let taskDir: string;
let lease: Lease;
let workTree: WorkTree;
beforeEach(async () => {
  workspace = makeWorkspace({
    'README.md': 'hello\n',
    'gone.txt': 'old\n',
    '.gitignore': 'ignored\n',
    // What makes of a file in a commit something else than what lies in the work tree.
    '.gitattributes': '*.crlf text eol=crlf\n*.auto text=auto\n*.ident ident\n*.utf16 working-tree-encoding=UTF-16\n',
  });
  await renewLease();
});
afterEach(() => workspace.remove());

const git = () =>
  makeOwnGit({
    agentDir: workspace.agentDir,
    path: process.env['PATH'] ?? '',
    spared: new Set(),
    log: () => undefined,
  });

async function renewLease(): Promise<void> {
  lease = aLease('');
  taskDir = join(workspace.agentDir, 'tasks', lease.task_id);
  const parts = { workspaceDir: workspace.directory, gitRoot: workspace.directory, repositoryDir: null, subpath: '' };
  workTree = await prepareWorkTree({ ...parts, git: git(), taskDir }, lease);
}

const isRunning = new Set<string>();
const parts = () => ({
  git: git(),
  workspaceDir: workspace.directory,
  gitRoot: workspace.directory,
  repositoryDir: null,
  agentDir: workspace.agentDir,
  isRunning: (id: string) => isRunning.has(id),
  alone: <Value>(work: () => Promise<Value>) => work(),
});
const commands = () => makeWorkCommands(parts());
const save = () => saveCheckpoint({ git: git(), workTree, lease, taskDir });
const restore = (number: number, force = false) =>
  commands().restoreCheckpoint({
    task_id: lease.task_id,
    branch: lease.branch,
    number,
    force,
    identity: lease.identity,
  });
const put = (name: string, data: string | Buffer, mode = 0o644): void => {
  const path = join(workTree.path, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
  chmodSync(path, mode);
};

/** Every byte, mode and link of a work tree but git's own. */
function contentOf(path: string, below = ''): Record<string, string> {
  const all: Record<string, string> = {};
  for (const entry of readdirSync(join(path, below), { withFileTypes: true })) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (name === '.git') continue;
    const whole = join(path, name);
    if (entry.isDirectory()) Object.assign(all, contentOf(path, name));
    else if (entry.isSymbolicLink()) all[name] = `-> ${readlinkSync(whole)}`;
    else all[name] = `${(lstatSync(whole).mode & 0o111) === 0 ? '-' : 'x'} ${readFileSync(whole).toString('base64')}`;
  }
  return all;
}

/** What makes it hard: names, modes, links, and bytes that attributes of the repository would change. */
function fillWithEverything(): void {
  put('run.sh', '#!/bin/sh\n', 0o755);
  put('README.md', 'changed\r\nmixed\n');
  put('windows.crlf', 'one\r\ntwo\nthree\r\n');
  put('some.auto', 'one\r\ntwo\r\n');
  put('keyword.ident', 'at $Id: 0123456789 $ here\n');
  put('wide.utf16', Buffer.from('\uFEFFhello\n', 'utf16le'));
  put('bytes.bin', Buffer.from([0, 255, 10, 13, 10, 254]));
  put('empty', '');
  put('deep/er/and/ deeper ', 'x');
  put('"quoted"\n and\ttab', 'y');
  put('-dash', 'z');
  put('größe 🛶', 'u');
  put('gone.txt/now a folder', 'v');
  symlinkSync('/etc/passwd', join(workTree.path, 'outside'));
  symlinkSync('missing\nnowhere', join(workTree.path, 'dangling'));
}

describe('a restored checkpoint', () => {
  it('is bit-identical to what was saved, in bytes, modes, links and names (part of D12)', async () => {
    rmSync(join(workTree.path, 'gone.txt'));
    fillWithEverything();
    put('ignored', 'a cache\n');
    const index = () =>
      readFileSync(
        join(workspace.git('rev-parse', '--absolute-git-dir'), 'worktrees', lease.branch.replaceAll('/', '-'), 'index'),
      );
    const before = { files: contentOf(workTree.path), index: index(), head: workspace.git('rev-parse', lease.branch) };
    const saved = await save();
    put('README.md', 'ruined\n');
    put('windows.crlf', 'ruined\n');
    chmodSync(join(workTree.path, 'run.sh'), 0o644);
    rmSync(join(workTree.path, 'gone.txt'), { recursive: true });
    put('gone.txt', 'a file again\n');
    rmSync(join(workTree.path, 'outside'));
    mkdirSync(join(workTree.path, 'outside'));
    put('outside/new.txt', 'new\n');

    const refused = await restore(1);
    const untouched = readFileSync(join(workTree.path, 'README.md'), 'utf8');
    const restored = await restore(1, true);

    expect(saved).toMatchObject({ number: 1, left_out: 0 });
    expect([refused.applied, refused.saved?.number, untouched]).toEqual([false, 2, 'ruined\n']);
    expect(restored).toMatchObject({ applied: true, commit: saved?.commit, saved: { number: 2 } });
    expect(contentOf(workTree.path)).toEqual(before.files);
    expect(index()).toEqual(before.index);
    expect(workspace.git('rev-parse', lease.branch)).toBe(before.head);
    const { checkpoints } = await commands().checkpoints({ task_id: lease.task_id });
    expect(checkpoints.map(({ number }) => number)).toEqual([1, 2]);

    // And what was there before is not lost.
    await restore(2, true);
    expect(readFileSync(join(workTree.path, 'outside/new.txt'), 'utf8')).toBe('new\n');
  });

  it('comes back where the work tree is gone, and not while the task runs or where there is none', async () => {
    put('a.txt', 'half\n');
    await save();
    rmSync(workTree.path, { recursive: true });

    isRunning.add(lease.task_id);
    await expect(restore(1)).rejects.toThrow('This task runs');
    isRunning.clear();
    await expect(restore(7)).rejects.toThrow('has no checkpoint 7');
    await expect(commands().checkpoints({ task_id: '../heads' })).rejects.toThrow('must be the id of a task');

    expect(await restore(1)).toMatchObject({ applied: true, saved: null });
    expect(readFileSync(join(workTree.path, 'a.txt'), 'utf8')).toBe('half\n');
  });

  it('leaves out a new file that is too large, says so, and is made once for the same state', async () => {
    put('a.txt', 'half\n');
    put('huge.bin', '');
    truncateSync(join(workTree.path, 'huge.bin'), 65 * 1024 * 1024);

    const [first, second] = [await save(), await save()];

    expect(first).toMatchObject({ number: 1, isNew: true, left_out: 1 });
    expect(second).toMatchObject({ number: 1, isNew: false });
    expect(workspace.git('ls-tree', '--name-only', first?.commit ?? '').split('\n')).not.toContain('huge.bin');
  });
});

describe('a work tree that nobody has used for a week', () => {
  const later = () => new Date(Date.now() + 8 * 24 * 3_600_000);
  const forget = (now: Date) => forgetWorkTrees({ ...parts(), log: () => undefined, now: () => now });

  it('is removed once all of it is in a checkpoint, commits on no branch among it', async () => {
    put('a.txt', 'half\n');
    expect(await forget(new Date())).toEqual([]);
    isRunning.add(lease.task_id);
    expect(await forget(later())).toEqual([]);
    isRunning.clear();

    expect(await forget(later())).toEqual([lease.branch.replaceAll('/', '-')]);

    expect(existsSync(workTree.path)).toBe(false);
    expect(workspace.git('show', `refs/checkpoints/${lease.task_id}/1:a.txt`)).toBe('half');

    await renewLease();
    const inTree = (...args: string[]) =>
      execFileSync('git', ['-C', workTree.path, '-c', 'safe.directory=*', ...args], { encoding: 'utf8' }).trim();
    inTree('checkout', '--quiet', '--detach');
    put('b.txt', 'on no branch\n');
    inTree('add', '--all');
    inTree('-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '--quiet', '-m', 'lost?');
    const commit = inTree('rev-parse', 'HEAD');
    expect(await forget(later())).toHaveLength(1);
    expect(workspace.git('rev-parse', `refs/checkpoints/${lease.task_id}/1`)).toBe(commit);
  });

  it('stays where not all of it could be saved, and where a file of the agent’s names another place', async () => {
    const kept = mkdtempSync(join(tmpdir(), 'outrigger-kept-'));
    put('huge.bin', '');
    truncateSync(join(workTree.path, 'huge.bin'), 65 * 1024 * 1024);
    expect(await forget(later())).toEqual([]);
    rmSync(join(workTree.path, 'huge.bin'));
    writeFileSync(join(taskDir, 'worktree'), '../../../../tmp');
    utimesSync(taskDir, new Date(), new Date());
    expect(await forget(later())).toEqual([]);
    expect(existsSync(workTree.path)).toBe(true);
    rmSync(kept, { recursive: true });
  });
});

describe('what only this workspace has', () => {
  const unpushed = async () => (await commands().unpushedWork({})).repositories;

  it('is told by repository: files, commits, stashes and checkpoints, and nothing once it is pushed', async () => {
    const remote = mkdtempSync(join(tmpdir(), 'outrigger-remote-'));
    execFileSync('chmod', ['777', remote]);
    const before = await unpushed();
    workspace.git('init', '--quiet', '--bare', join(remote, 'r.git'));
    workspace.git('remote', 'add', 'origin', join(remote, 'r.git'));
    workspace.git('push', '--quiet', 'origin', '--all');
    const clean = await unpushed();
    put('a.txt', 'half\n');
    await save();
    const dirty = await unpushed();
    rmSync(join(workTree.path, 'a.txt'));
    const onlyCheckpoint = await unpushed();
    await restore(1);
    execFileSync('git', ['-C', workTree.path, '-c', 'safe.directory=*', 'add', '--all']);
    execFileSync('git', [
      '-C',
      workTree.path,
      '-c',
      'safe.directory=*',
      '-c',
      'user.name=A',
      '-c',
      'user.email=a@b.c',
      'commit',
      '-qm',
      'it',
    ]);
    const committed = await unpushed();
    workspace.git('push', '--quiet', 'origin', '--all');
    const pushed = await unpushed();

    expect(before).toMatchObject([{ path: workspace.repository, files: 0, commits: 1 }]);
    expect(clean).toEqual([]);
    expect(dirty).toMatchObject([{ files: 1, commits: 0, checkpoints: 1 }]);
    expect(onlyCheckpoint).toMatchObject([{ files: 0, checkpoints: 1 }]);
    expect(committed).toMatchObject([{ files: 0, commits: 1, branches: [lease.branch] }]);
    expect(pushed).toEqual([]);
    rmSync(remote, { recursive: true });
  });

  it('is told, too, where HEAD is on a branch without a commit', async () => {
    workspace.git('checkout', '--quiet', '--orphan', 'empty');
    workspace.git('rm', '-rq', '--force', '.');

    expect(await unpushed()).toMatchObject([{ files: 0, commits: 1 }]);
  });
});
