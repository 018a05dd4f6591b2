import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { noProgress, type Progress } from '../../../../modules/opencode/bridge/attempt-evidence.ts';
import { nothingDone } from '../../../../modules/opencode/bridge/commit.ts';
import { handOver, type HandOverParts } from '../../../../modules/opencode/bridge/hand-over.ts';
import type { Git } from '../../../../modules/opencode/bridge/git.ts';
import { makeFreshGit } from '../../../../modules/opencode/bridge/own-git.ts';
import { takeSettings } from '../../../../modules/opencode/bridge/settings.ts';
import { runCommand } from '../../../../modules/opencode/bridge/runner-exec.ts';
import type { ExecCommand, ExecResult } from '../../../../modules/opencode/bridge/runner-protocol.ts';
import { aLease } from '../../../support/bridge/bridge-process.ts';
import { startGitForge, type GitForge } from '../../../support/git-forge.ts';

const path = process.env['PATH'] ?? '';
const repository = 'github.com/acme/app';
const lease = aLease('x');
const exec = (command: ExecCommand): Promise<ExecResult> => runCommand(command, new Set());

let root: string;
let taskDir: string;
let tree: string;
let forge: GitForge;
let commit: string;
let git: Git;
let told: Record<string, unknown>[];
let swept: number;
let isClosed: boolean;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-hand-over-'));
  [taskDir, tree] = [join(root, 'task'), join(root, 'tree')];
  for (const directory of [taskDir, tree]) mkdirSync(directory);
  [told, swept, isClosed] = [[], 0, false];
  forge = await startGitForge({ username: 'relay', password: 'key' });
  for (const name of [repository, 'evil.example/app']) forge.addRepository(name);
  git = makeFreshGit({ directory: taskDir, path, exec });
  const identity = { name: 'Ada', email: 'ada@example.com' };
  await git(['init', '--quiet', '--initial-branch=main'], { directory: tree });
  await git(['commit', '--quiet', '--allow-empty', '-m', 'work'], { directory: tree, identity });
  commit = (await git(['rev-parse', 'HEAD'], { directory: tree })).stdout.trim();
});
afterEach(async () => {
  await forge.close();
  rmSync(root, { recursive: true, force: true });
});

function hand(run: (command: ExecCommand) => Promise<ExecResult>, more: Partial<HandOverParts> = {}): Promise<void> {
  const progress: Progress = {
    ...noProgress(),
    access: [{ repository, mayPush: true }],
    work: { ...nothingDone, commit },
  };
  const sweep = (): Promise<never> => {
    swept += 1;
    return Promise.resolve({} as never);
  };
  const place = { gitUrl: `http://relay:key@${forge.host}`, close: () => ((isClosed = true), 0) };
  return handOver({
    relay: { open: () => place } as never,
    outbox: { event: (_type: string, data: Record<string, unknown>) => void told.push(data) } as never,
    settings: { inherited: {} } as never,
    lease,
    progress,
    runner: { exec: run, sweep } as never,
    path,
    workTree: { path: tree, folder: tree, base: commit, branch: lease.branch },
    origin: `https://${repository}.git`,
    taskDir,
    msLeft: 600_000,
    ...more,
  });
}

const branches = (name: string): string => forge.git(name, 'for-each-ref', '--format=%(refname)', 'refs/heads/agent');

describe('finished work', () => {
  it('goes where the repository was cloned from, whatever the agent wrote into settings meanwhile', async () => {
    const relay = `http://relay:key@${forge.host}`;
    const elsewhere = `[url "${relay}/evil.example/app"]\n\tinsteadOf = ${relay}/${repository}\n`;
    for (const place of readdirSync(taskDir)) writeFileSync(join(taskDir, place, 'config'), elsewhere);
    writeFileSync(join(taskDir, 'gitconfig'), elsewhere);
    await git(['config', 'remote.origin.url', 'https://evil.example/app.git'], { directory: tree });

    await hand(exec);

    expect(told).toEqual([{ notice: 'The work was pushed.', branch: lease.branch, commit, repository }]);
    expect(branches(repository)).toBe(`refs/heads/${lease.branch}`);
    expect(branches('evil.example/app')).toBe('');
    // What the verify command left running was ended first.
    expect([swept, isClosed]).toEqual([1, true]);
    expect(readdirSync(taskDir).filter((name) => name.startsWith('push-'))).toEqual([]);
  });

  it('stays finished when git cannot be started for the push', async () => {
    await hand(() => Promise.reject(new Error('The runner of the attempt is gone.')));

    expect(told).toMatchObject([
      { notice: expect.stringMatching(/could not be pushed/), problem: expect.stringMatching(/gone/) },
    ]);
    expect(isClosed).toBe(true);
  });

  it('stays finished when its push takes longer than is left of the time of the task', async () => {
    await hand(() => new Promise(() => undefined), { msLeft: 15_050 });
    await hand(exec, { msLeft: 1_000 });

    expect(swept).toBe(1);
    expect(told.map(({ problem }) => problem)).toEqual(Array(2).fill('there was no time left'));
  });

  it.each([
    [false, ''],
    [true, `refs/heads/${lease.branch}`],
  ])('C-10 goes to the branch agent/<task> where autoPush is %j: %j', async (autoPush, expected) => {
    const list = JSON.stringify([{ url: `https://${repository}`, name: 'app', branch: 'main', autoPush }]);
    const settings = takeSettings({
      ...{ OUTRIGGER_URL: 'https://outrigger.example', OUTRIGGER_PROOF: 'kid.proof', OUTRIGGER_HARNESS_KEY: 'key' },
      ...{ OUTRIGGER_WORKSPACE_ID: 'w', OUTRIGGER_WORKSPACE_AGENT_ID: 'a', REPOS_JSON: list },
    });

    await hand(exec, { settings });

    expect(lease.branch).toMatch(/^agent\//);
    expect(branches(repository)).toBe(expected);
  });

  it('is not pushed where its verify command did not accept it', async () => {
    const verify = { exit: 1, timed_out: false, output: '' };
    const progress = { ...noProgress(), access: [{ repository, mayPush: true }], work: { ...nothingDone, commit } };
    await hand(exec, { progress: { ...progress, verified: { verify, isRejected: false } } });

    expect([told, branches(repository)]).toEqual([[], '']);
  });
});
