import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  timing,
  type AttemptRef,
  type Decision,
  type Evidence,
  type Lease,
  type Reason,
  type StopReceipt,
} from '../../contract.ts';
import { makeAsks, type Asks } from './asks.ts';
import { commitWork, nothingDone, type WorkDone } from './commit.ts';
import { endHarness } from './end-harness.ts';
import { makeEndSwitch, type Ending } from './ending.ts';
import { makeEventMapper } from './events.ts';
import { AttemptFailure } from './failure.ts';
import { globalConfigText, makeGit, type Git } from './git.ts';
import { startHarness } from './harness.ts';
import type { HarnessClient } from './harness-client.ts';
import { harnessEnvironment, harnessPassword, taskDirectories, writeHarnessFiles } from './harness-config.ts';
import { textOf, type Log } from './log.ts';
import type { AttemptOutbox } from './outbox.ts';
import type { SweepResult } from './process-tree.ts';
import type { Relay, RelayPlace } from './relay.ts';
import { startRunner, type Runner } from './runner-client.ts';
import { nextPrompt, openSession } from './session.ts';
import type { BridgeSettings } from './settings.ts';
import { writeTaskFiles } from './task-file.ts';
import { readMessage, runTurn, toolExitsOf, type LastMessage } from './turn.ts';
import { verifyWork, type Verified } from './verify.ts';
import { prepareWorkTree, type WorkTree } from './worktree.ts';

export interface AttemptParts {
  readonly settings: BridgeSettings;
  readonly relay: Relay;
  readonly outbox: AttemptOutbox;
  readonly log: Log;
  readonly now: () => Date;
  /** Hides a value from every log line. */
  readonly keepSecret: (secret: string) => void;
  readonly execPath: string;
  readonly bundle: string;
  /** Told of each runner, so that what an orphaned one leaves can be told from what the others run. */
  readonly runners: Set<number>;
  readonly sweepOrphans: (termMs: number) => Promise<SweepResult>;
  /** One at a time: two worktrees of one repository must not be made at once. */
  readonly alone: <Value>(work: () => Promise<Value>) => Promise<Value>;
}

/** One attempt as the rest of the bridge sees it. */
export interface Attempt {
  readonly ref: AttemptRef;
  /** Resolves when nothing of it runs and its report is in the outbox (or dropped, when fenced). */
  readonly done: Promise<void>;
  stop(reason: Reason): Promise<StopReceipt>;
  end(ending: Ending): Promise<void>;
  decide(askId: string, decision: Decision, message?: string): Promise<boolean>;
}

/** What is known so far; whatever ends the attempt, this is what its evidence is made of. */
interface Progress {
  runner: Runner | null;
  client: HarnessClient | null;
  place: RelayPlace | null;
  sessionId: string | null;
  lastMessage: LastMessage | null;
  toolExits: Evidence['tool_exits'];
  workTree: WorkTree | null;
  work: WorkDone;
  verified: Verified;
  /** True from the moment the turn is over: the harness is meant to be gone. */
  harnessEnded: boolean;
}

/**
 * Runs one attempt: runner → worktree → harness → session → turn → commit → verify → evidence.
 *
 * However it ends, everything below the runner is gone before the report is handed over.
 */
export function startAttempt(parts: AttemptParts, lease: Lease): Attempt {
  const ref = { task_id: lease.task_id, attempt: lease.attempt };
  const endSwitch = makeEndSwitch();
  const progress: Progress = {
    runner: null,
    client: null,
    place: null,
    sessionId: null,
    lastMessage: null,
    toolExits: [],
    workTree: null,
    work: nothingDone,
    verified: { verify: null, isRejected: false },
    harnessEnded: false,
  };
  const asks = makeAsks(parts.outbox.ask, () => progress.client);
  const story = { parts, lease, progress, asks, endSwitch };
  const limits = watchLimits(story);

  async function run(): Promise<StopReceipt> {
    let failure: Evidence['failure'] = null;
    try {
      await endSwitch.guard(work(story));
    } catch (error) {
      failure = failureOf(error, endSwitch.ending);
      parts.log(endSwitch.ending ? 'info' : 'warn', 'attempt ended early', {
        ...ref,
        reason: failure?.reason ?? endSwitch.ending?.kind,
        error: textOf(error),
      });
    }
    clearInterval(limits);
    const receipt = await endEverything(story);
    if (endSwitch.ending?.kind === 'fence') parts.outbox.drop();
    else parts.outbox.finish(evidenceOf(story, failure, receipt));
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
  };
}

export interface Story {
  readonly parts: AttemptParts;
  readonly lease: Lease;
  readonly progress: Progress;
  readonly asks: Asks;
  readonly endSwitch: ReturnType<typeof makeEndSwitch>;
}

async function work(story: Story): Promise<void> {
  const { parts, lease, progress, asks } = story;
  const { settings } = parts;
  const path = `${settings.toolsDir}:${settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}`;
  const directories = taskDirectories(settings.agentDir, lease.task_id);
  parts.keepSecret(lease.task_token);
  writeTaskFiles(settings.workspaceDir, lease);

  const runner = await startRunner({ execPath: parts.execPath, bundle: parts.bundle, path });
  progress.runner = runner;
  parts.runners.add(runner.pid);
  void runner.exited.then(() => parts.runners.delete(runner.pid));
  if (story.endSwitch.ending) return void (await runner.close());
  if (!runner.subreaper)
    parts.outbox.event('bridge.notice', { notice: 'No child subreaper: a tool that daemonizes can outlive a stop.' });
  const git = prepareGit(runner, path, directories.root);
  const workTree = await parts.alone(() =>
    prepareWorkTree(
      { git, workspaceDir: settings.workspaceDir, repositoryDir: settings.repositoryDir, taskDir: directories.root },
      lease,
    ),
  );
  progress.workTree = workTree;

  progress.lastMessage = await converse(story, runner, workTree, path);
  await endHarness(progress, { termMs: timing.stopTermMs, sweepOrphans: parts.sweepOrphans });
  progress.harnessEnded = true;
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
    path,
    taskDir: directories.root,
  });
}

function prepareGit(runner: Runner, path: string, taskDir: string): Git {
  const home = join(taskDir, 'git-home');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const globalConfig = join(taskDir, 'gitconfig');
  writeFileSync(globalConfig, globalConfigText);
  return makeGit({ exec: runner.exec, path, home, globalConfig });
}

/** Starts the harness and holds the conversation of this attempt. */
async function converse(story: Story, runner: Runner, workTree: WorkTree, path: string): Promise<LastMessage> {
  const { parts, lease, progress, asks, endSwitch } = story;
  const { settings, outbox } = parts;
  const directories = taskDirectories(settings.agentDir, lease.task_id);
  const password = harnessPassword(settings.harnessKey, lease);
  parts.keepSecret(password);
  progress.place = parts.relay.open({
    taskToken: lease.task_token,
    callLimit: settings.callLimit,
    onLimit: () =>
      endSwitch.request({
        kind: 'limit',
        reason: 'LoopDetected',
        message: `The attempt made ${settings.callLimit} model calls without coming to an end.`,
      }),
  });
  mkdirSync(dirname(directories.root), { recursive: true, mode: 0o700 });
  writeHarnessFiles({ lease, directories, workTree: workTree.path, modelUrl: progress.place.url });
  const client = await startHarness({
    runner,
    program: parts.execPath,
    environment: harnessEnvironment({ inherited: settings.inherited, directories, path, password, lease }),
    password,
    directory: workTree.path,
    prefersKnownPort: settings.slots === 1,
  });
  progress.client = client;
  const death = runner.serveEnded().then((exit) => {
    if (progress.harnessEnded || endSwitch.ending) return new Promise<never>(() => undefined);
    throw new AttemptFailure(
      'AgentError',
      `OpenCode ended unexpectedly (code ${exit.code}) in the middle of its work.`,
      true,
    );
  });
  const conversation = async (): Promise<LastMessage> => {
    progress.sessionId = await openSession(client, lease, outbox.event);
    const before = await client.messages(progress.sessionId);
    const prompt = nextPrompt(before, lease);
    const last = prompt
      ? await runTurn(
          {
            client,
            sessionId: progress.sessionId,
            mapper: makeEventMapper(outbox.event, workTree.path),
            asks,
            emit: outbox.event,
            log: parts.log,
            signal: endSwitch.signal,
          },
          prompt,
        )
      : readMessage(before.at(-1) as (typeof before)[number]);
    progress.toolExits = toolExitsOf(await client.messages(progress.sessionId));
    progress.harnessEnded = true;
    return last;
  };
  return Promise.race([conversation(), death]);
}

/** The clock of an attempt stands still while it waits for a person. The service's own limit comes first. */
const graceMs = 5_000;
const tickMs = 500;

function watchLimits({ lease, asks, endSwitch }: Story): NodeJS.Timeout {
  let activeMs = 0;
  let last = performance.now();
  return setInterval(() => {
    const now = performance.now();
    if (asks.openCount === 0) activeMs += now - last;
    last = now;
    if (activeMs > lease.timeout_ms + graceMs)
      endSwitch.request({ kind: 'limit', reason: 'Timeout', message: 'The task ran out of time.' });
  }, tickMs);
}

async function endEverything({ progress, parts, endSwitch }: Story): Promise<StopReceipt> {
  const termMs = endSwitch.ending?.kind === 'fence' ? 500 : timing.stopTermMs;
  const ended = await endHarness(progress, {
    termMs,
    abortMs: endSwitch.ending ? timing.stopAbortMs : 0,
    sweepOrphans: parts.sweepOrphans,
  });
  await progress.runner?.close();
  return { stopped_at: parts.now().toISOString(), ...ended };
}

function failureOf(error: unknown, ending: Ending | null): Evidence['failure'] {
  if (ending)
    switch (ending.kind) {
      case 'stop':
      case 'fence':
        return null;
      case 'shutdown':
        return { reason: 'BridgeLost', message: 'The bridge was told to end while the attempt ran.', retryable: true };
      case 'limit':
        return { reason: ending.reason, message: ending.message, retryable: false };
    }
  if (error instanceof AttemptFailure)
    return { reason: error.reason, message: error.message.slice(0, 2_000), retryable: error.retryable };
  return {
    reason: 'AgentError',
    message: `The bridge could not run the attempt: ${textOf(error)}`.slice(0, 2_000),
    retryable: true,
  };
}

function evidenceOf(
  { progress, asks, endSwitch }: Story,
  failure: Evidence['failure'],
  receipt: StopReceipt,
): Evidence {
  const wasEnded = endSwitch.ending !== null && endSwitch.ending.kind !== 'fence';
  return {
    session_id: progress.sessionId,
    last_message: progress.lastMessage,
    tool_exits: progress.toolExits,
    rejected_asks: asks.rejectedCount,
    diff: progress.work.diff,
    changed_files: progress.work.changedFiles,
    branch: progress.workTree?.branch ?? null,
    commit: progress.work.commit,
    verify: progress.verified.verify,
    verify_rejected: progress.verified.isRejected,
    failure,
    stop: wasEnded || receipt.processes_left > 0 ? receipt : null,
  };
}
