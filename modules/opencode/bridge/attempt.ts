import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import {
  timing,
  type AttemptRef,
  type Decision,
  type Evidence,
  type Lease,
  type Reason,
  type StopReceipt,
  type TaskMessage,
} from '../../contract.ts';
import { makeApprovalGuard } from './approval-guard.ts';
import { makeAsks } from './asks.ts';
import { evidenceOf, failureOf, noProgress } from './attempt-evidence.ts';
import { collectArtifacts, makeArtifactsDir } from './artifacts.ts';
import type { AttemptParts, Story } from './attempt-parts.ts';
import { commitWork } from './commit.ts';
import { converse } from './converse.ts';
import { endHarness } from './end-harness.ts';
import { makeEndSwitch, type Ending } from './ending.ts';
import type { Git } from './git.ts';
import type { HarnessClient } from './harness.ts';
import { handOver } from './hand-over.ts';
import { nixEnvironment } from './harness-nix.ts';
import { runLeasedCommand } from './leased-command.ts';
import { textOf } from './log.ts';
import { makeFreshGit } from './own-git.ts';
import { originOf } from './push-work.ts';
import { saveWork } from './save-work.ts';
import { startRunner } from './runner-client.ts';
import { makeSteering } from './steering.ts';
import { taskDirectories } from './task-directories.ts';
import { writeTaskFiles } from './task-file.ts';
import { verifyWork } from './verify.ts';
import { prepareWorkTree } from './worktree.ts';

/** One attempt as the rest of the bridge sees it. */
export interface Attempt {
  readonly ref: AttemptRef;
  /** Resolves when nothing of it runs and its report is in the outbox (or dropped, when fenced). */
  readonly done: Promise<void>;
  stop(reason: Reason): Promise<StopReceipt>;
  end(ending: Ending): Promise<void>;
  decide(askId: string, decision: Decision, message?: string): Promise<boolean>;
  /** Says something to its session; false where that says nothing any more. */
  tell(message: TaskMessage): Promise<boolean>;
  /** What its harness has loaded; rejects while that does not answer. */
  readonly inventory: HarnessClient['inventory'];
}

/**
 * Runs one attempt: runner → worktree → harness → session → turn → commit → verify → evidence.
 *
 * However it ends, everything below the runner is gone before the report is handed over.
 */
export function startAttempt(parts: AttemptParts, lease: Lease): Attempt {
  const ref = { task_id: lease.task_id, attempt: lease.attempt };
  const endSwitch = makeEndSwitch();
  const progress = noProgress();
  const guard = makeApprovalGuard({
    asking: parts.harness.asking(lease.profile),
    onDropped: (askId) => {
      // A stop takes every question back; the person may still answer it for the next attempt.
      if (endSwitch.ending === null && asks.drop(askId)) parts.outbox.event('approval.withdrawn', { ask_id: askId });
    },
    onBypassed: (message) => endSwitch.request({ kind: 'limit', reason: 'ApprovalBypassed', message }),
  });
  const asks = makeAsks(parts.outbox.ask, () => progress.client, guard);
  const steering = makeSteering(lease.messages ?? []);
  endSwitch.signal.addEventListener('abort', asks.end);
  const story = { parts, lease, progress, asks, guard, steering, endSwitch };
  const limits = watchLimits(story);

  async function run(): Promise<StopReceipt> {
    let failure: Evidence['failure'] = null;
    try {
      await endSwitch.guard(work(story, limits.msLeft));
    } catch (error) {
      failure = failureOf(error, endSwitch.ending);
      parts.log(endSwitch.ending ? 'info' : 'warn', 'attempt ended early', {
        ...ref,
        reason: failure?.reason ?? endSwitch.ending?.kind,
        error: textOf(error),
      });
    }
    limits.stop();
    steering.end();
    const receipt = await endEverything(story);
    if (endSwitch.ending?.kind === 'fence') parts.outbox.drop();
    else {
      await keepArtifacts(story);
      parts.outbox.finish(
        evidenceOf(progress, { failure, receipt, ending: endSwitch.ending, rejectedAsks: asks.rejectedCount }),
      );
    }
    return receipt;
  }

  const receipt = run();
  const done = receipt.then(
    () => undefined,
    (error: unknown) => parts.log('error', 'an attempt could not be ended', { ...ref, error: textOf(error) }),
  );
  return {
    ref,
    done,
    stop: (reason) => {
      endSwitch.request({ kind: 'stop', reason });
      return receipt;
    },
    end: (ending) => {
      endSwitch.request(ending);
      return done;
    },
    decide: asks.decide,
    tell: steering.tell,
    inventory: (folders) =>
      progress.client?.inventory(folders) ??
      Promise.reject(new Error('OpenCode is just starting for a task. Ask again soon.')),
  };
}

const harnessGone = { state: 'finishing', port: null } as const;

async function work(story: Story, msLeft: () => number): Promise<void> {
  const { parts, progress, asks } = story;
  let { lease } = story;
  const { settings } = parts;
  const imagePath = settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  const path = `${settings.toolsDir}:${imagePath}`;
  const directories = taskDirectories(settings.agentDir, lease.task_id);
  parts.keepSecret(lease.task_token);
  writeTaskFiles(settings.workspaceDir, lease);

  const runner = await startRunner({
    execPath: parts.execPath,
    bundle: parts.bundle,
    path,
    onSpawn: (pid) => parts.runners.add(pid),
    log: parts.log,
  });
  progress.runner = runner;
  void runner.exited.then(() => parts.runners.delete(runner.pid));
  if (story.endSwitch.ending) return void (await runner.close());
  if (!runner.subreaper)
    parts.outbox.event('bridge.notice', { notice: 'No child subreaper: a tool that daemonizes can outlive a stop.' });
  mkdirSync(directories.root, { recursive: true, mode: 0o700 });
  const freshGit = (): Git => makeFreshGit({ directory: directories.root, path, exec: runner.exec });
  let git = freshGit();
  const workTree = await parts.alone(() => prepareWorkTree({ ...settings, git, taskDir: directories.root }, lease));
  progress.workTree = workTree;
  const origin = await originOf(git, workTree);
  parts.status.tell({ worktree: basename(workTree.path) });
  // What an attempt left that was killed, before this one goes on with it.
  if (lease.attempt > 1) await saveWork(story);
  const artifacts = makeArtifactsDir(settings.workspaceDir, lease.task_id);

  if (lease.command)
    return runLeasedCommand({ ...story, command: lease.command, runner, git, workTree, path, directories, msLeft });

  const nix = await nixEnvironment({
    nixDir: settings.nixDir,
    signal: story.endSwitch.signal,
    onWait: () => parts.outbox.event('bridge.notice', { notice: 'Waiting for the tools of workspace.nix.' }),
  });
  const toolPath = [settings.toolsDir, ...nix.path, imagePath].join(':');
  const folders = artifacts === null ? {} : { ARTIFACTS_DIR: artifacts };
  lease = { ...lease, environment: { ...nix.variables, ...folders, ...lease.environment } };

  progress.lastMessage = await converse({ ...story, lease }, runner, workTree, toolPath);
  parts.status.tell(harnessGone);
  await endHarness(progress, { termMs: timing.stopTermMs, sweepOrphans: parts.sweepOrphans });
  progress.harnessEnded = true;
  await saveWork(story);
  git = freshGit();
  if (progress.lastMessage.error || progress.lastMessage.finish === null) return;

  progress.work = await commitWork(git, workTree, lease);
  if (progress.work.isNewCommit)
    parts.outbox.event('commit.created', {
      commit: progress.work.commit,
      branch: workTree.branch,
      ...progress.work.diff,
    });
  if (progress.lastMessage.finish !== 'stop') return;
  progress.verified = await verifyWork({
    lease,
    git,
    runner,
    asks,
    emit: parts.outbox.event,
    workTree,
    work: progress.work,
    path: toolPath,
    taskDir: directories.root,
  });
  await handOver({
    ...parts,
    lease,
    progress,
    runner,
    path,
    workTree,
    origin,
    taskDir: directories.root,
    msLeft: msLeft(),
  });
}

/** The clock of an attempt stands still while it waits for a person. The service's own limit comes first. */
const graceMs = 5_000;
const tickMs = 500;

interface Limits {
  /** Of the time of the task. */
  msLeft(): number;
  stop(): void;
}

function watchLimits({ parts, lease, asks, endSwitch }: Story): Limits {
  let activeMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    if (asks.openCount === 0) activeMs += now - last;
    last = now;
    parts.status.tell({ waits: asks.openCount > 0 });
    if (activeMs > lease.timeout_ms + graceMs)
      endSwitch.request({ kind: 'limit', reason: 'Timeout', message: 'The task ran out of time.' });
  }, tickMs);
  return { msLeft: () => lease.timeout_ms - activeMs, stop: () => clearInterval(timer) };
}

/** How gently an attempt is ended, by who asks; a container that stops has 30 s for all of it. */
const patience: Readonly<Record<Ending['kind'], { readonly abortMs: number; readonly termMs: number }>> = {
  stop: { abortMs: timing.stopAbortMs, termMs: timing.stopTermMs },
  limit: { abortMs: timing.stopAbortMs, termMs: timing.stopTermMs },
  fence: { abortMs: timing.stopAbortMs, termMs: 500 },
  shutdown: { abortMs: 2_000, termMs: 2_000 },
};

async function endEverything(story: Story): Promise<StopReceipt> {
  const { progress, parts, endSwitch } = story;
  parts.status.tell({ ...harnessGone, waits: false });
  const { abortMs, termMs } = endSwitch.ending
    ? patience[endSwitch.ending.kind]
    : { abortMs: 0, termMs: timing.stopTermMs };
  const ended = await endHarness(progress, { termMs, abortMs, sweepOrphans: parts.sweepOrphans });
  const receipt = { stopped_at: parts.now().toISOString(), ...ended };
  // Only now, because nothing writes to the work tree any more.
  if (!endSwitch.ending || leavesWork[endSwitch.ending.kind]) await saveWork(story);
  await progress.runner?.close();
  return receipt;
}

/** How long files may take on their way; after a result they would come too late. */
const artifactMs: Readonly<Record<Ending['kind'] | 'done', number>> = {
  done: 120_000,
  stop: 15_000,
  limit: 60_000,
  shutdown: 4_000,
  fence: 0,
};

async function keepArtifacts({ parts, endSwitch }: Story): Promise<void> {
  const { outbox, settings, sendArtifact } = parts;
  const limitMs = artifactMs[endSwitch.ending?.kind ?? 'done'];
  const { files, skipped } = await collectArtifacts({ ...settings, ref: outbox.ref, send: sendArtifact, limitMs });
  if (files + skipped.length > 0)
    parts.log('info', 'artifacts collected', { ...outbox.ref, files, skipped: skipped.length });
  if (skipped.length > 0)
    outbox.event('bridge.notice', {
      notice: `${skipped.length} files in ARTIFACTS_DIR were not kept; they are still in the workspace.`,
      files: skipped.slice(0, 20),
    });
}

/** After a fence the work tree is another attempt's. */
const leavesWork: Readonly<Record<Ending['kind'], boolean>> = { stop: true, limit: true, shutdown: true, fence: false };
