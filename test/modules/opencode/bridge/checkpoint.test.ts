import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../../../modules/contract.ts';
import { saveCheckpoint, type Checkpoint } from '../../../../modules/opencode/bridge/checkpoint.ts';
import { makeOwnGit } from '../../../../modules/opencode/bridge/own-git.ts';
import { prepareWorkTree, type WorkTree } from '../../../../modules/opencode/bridge/worktree.ts';
import {
  aLease,
  installTools,
  isRunning,
  makeWorkspace,
  processesOf,
  until,
  type TestWorkspace,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

const git = (agentDir: string) =>
  makeOwnGit({ agentDir, path: process.env['PATH'] ?? '', spared: new Set(), log: () => undefined });

/** The harness and its first tool, on a busy machine. */
const startMs = 150_000;

/** Everything of a repository that a checkpoint must leave as it is. */
const stateOf = (workspace: TestWorkspace): readonly string[] => [
  workspace.git('for-each-ref', 'refs/heads'),
  workspace.git('rev-parse', 'HEAD'),
  workspace.git('status', '--porcelain'),
];

describe('a checkpoint', () => {
  let workspace: TestWorkspace;
  let taskDir: string;
  let lease: Lease;
  let workTree: WorkTree;
  beforeEach(async () => {
    workspace = makeWorkspace({ 'README.md': 'hello\n', 'gone.txt': 'old\n', '.gitignore': 'ignored\n' });
    taskDir = mkdtempSync(join(tmpdir(), 'outrigger-task-'));
    lease = aLease('');
    workTree = await prepareWorkTree(
      {
        git: git(workspace.agentDir),
        workspaceDir: workspace.directory,
        gitRoot: workspace.directory,
        repositoryDir: null,
        subpath: '',
        taskDir,
      },
      lease,
    );
  });
  afterEach(() => {
    workspace.remove();
    rmSync(taskDir, { recursive: true, force: true });
  });

  const inTree = (name: string): string => join(workTree.path, name);
  const save = (): Promise<Checkpoint | null> =>
    saveCheckpoint({ git: git(workspace.agentDir), workTree, lease, taskDir });
  const show = (commit: string, name: string): string => workspace.git('show', `${commit}:${name}`);

  it('holds changed, new and removed files in a commit that no branch has, and leaves everything else as it is', async () => {
    writeFileSync(inTree('README.md'), 'half done\n');
    writeFileSync(inTree('new.txt'), 'new\n');
    writeFileSync(inTree('ignored'), 'secret\n');
    rmSync(inTree('gone.txt'));
    writeFileSync(join(workspace.repository, 'mine.txt'), 'the person’s\n');
    const before = stateOf(workspace);
    const index = join(workspace.git('rev-parse', '--absolute-git-dir'), 'worktrees');
    const indexOf = (): Buffer => readFileSync(join(index, readdirSync(index)[0] ?? '', 'index'));
    const indexBefore = indexOf();

    const saved = await save();

    expect(saved).toEqual({
      number: 1,
      isNew: true,
      left_out: 0,
      ref: `refs/checkpoints/${lease.task_id}/1`,
      commit: workspace.git('rev-parse', `refs/checkpoints/${lease.task_id}/1`),
    });
    const commit = saved?.commit ?? '';
    expect(workspace.git('ls-tree', '-r', '--name-only', commit).split('\n')).toEqual([
      '.gitignore',
      'README.md',
      'new.txt',
    ]);
    expect(show(commit, 'README.md')).toBe('half done');
    expect(workspace.git('rev-parse', `${commit}^`)).toBe(workTree.base);
    expect(workspace.git('log', '-1', '--format=%an%n%s%n%(trailers:key=Agent-Task,valueonly)', commit)).toBe(
      `Ada Agent\nCheckpoint: Do the thing\n${lease.task_id}`,
    );
    expect(stateOf(workspace)).toEqual(before);
    expect(indexOf()).toEqual(indexBefore);
    expect(readFileSync(inTree('README.md'), 'utf8')).toBe('half done\n');
    expect(readdirSync(taskDir).sort()).toEqual(['base', 'worktree']);
  });

  it('is made only where something is unsaved, and numbered on where one is there', async () => {
    const nothing = await save();
    writeFileSync(inTree('one.txt'), '1\n');
    const first = await save();
    writeFileSync(inTree('one.txt'), '2\n');
    const second = await save();

    expect(nothing).toBeNull();
    expect([first?.ref, second?.ref]).toEqual([1, 2].map((n) => `refs/checkpoints/${lease.task_id}/${n}`));
    expect([show(first?.commit ?? '', 'one.txt'), show(second?.commit ?? '', 'one.txt')]).toEqual(['1', '2']);
  });

  it('sees a change that a flag in the index hides, and runs nothing that the repository names', async () => {
    const marker = join(workspace.directory, 'pwned');
    const evil = join(workspace.directory, 'evil.sh');
    writeFileSync(evil, `#!/bin/sh\ntouch ${marker}\ncat\n`, { mode: 0o755 });
    writeFileSync(join(workspace.directory, 'reference-transaction'), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
    const directory = workTree.path;
    await git(workspace.agentDir)(['update-index', '--assume-unchanged', 'README.md'], { directory });
    for (const [name, value] of [
      ['core.hooksPath', workspace.directory],
      ['core.fsmonitor', evil],
      ['filter.evil.clean', evil],
      ['gpg.program', evil],
      ['commit.gpgSign', 'true'],
    ] as const)
      workspace.git('config', name, value);
    writeFileSync(join(workspace.repository, '.git/info/attributes'), '* filter=evil\n');
    writeFileSync(inTree('README.md'), 'hidden\n');

    const saved = await save();

    expect(show(saved?.commit ?? '', 'README.md')).toBe('hidden');
    expect(existsSync(marker)).toBe(false);
  });

  it('says why where git cannot make it, and leaves nothing half done', async () => {
    writeFileSync(inTree('one.txt'), '1\n');
    rmSync(join(workTree.path, '.git'));

    await expect(save()).rejects.toThrow('not a git repository');
    expect(workspace.git('for-each-ref', 'refs/checkpoints')).toBe('');
    expect(readdirSync(taskDir).sort()).toEqual(['base', 'worktree']);
  });
});

describe('a bridge whose container stops', () => {
  let tools: Tools;
  let world: World;
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  beforeEach(async () => {
    world = await startWorld({ tools });
  });
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)(
    'saves a running attempt’s work on %s, tells the service where, and leaves (part of D12)',
    async (signal) => {
      const { service, workspace, bridge } = world;
      const command =
        'echo half > half.txt; echo kept > "$ARTIFACTS_DIR/report.txt"; (trap "" TERM; sleep 311); sleep 312';
      const lease = aLease(`SCENARIO:bash ARG:${command}`, { profile: 'trusted' });
      service.offer(lease);
      await until('the tool to run', () => isRunning('sleep 311'), startMs);
      const branches = workspace.git('for-each-ref', 'refs/heads');

      bridge.kill(signal);

      expect(await bridge.exited).toBe(0);
      const ref = `refs/checkpoints/${lease.task_id}/1`;
      expect(workspace.git('show', `${ref}:half.txt`)).toBe('half');
      expect(workspace.git('for-each-ref', 'refs/heads')).toBe(branches);
      expect(service.eventsOf(lease).at(-1)).toMatchObject({
        type: 'checkpoint.created',
        data: { number: 1, ref, commit: workspace.git('rev-parse', ref) },
      });
      expect(service.artifacts.get('report.txt')?.toString()).toBe('kept\n');
      expect(service.resultOf(lease)).toMatchObject({
        failure: { reason: 'BridgeLost', retryable: true },
        stop: { processes_left: 0 },
      });
      await until('the connection to be gone', () => !service.isConnected);
      expect(processesOf('sleep 311', 'sleep 312')).toEqual([]);
    },
    2 * startMs,
  );
});
