import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AttemptRef, Lease, StopReceipt } from '../../contract.ts';
import { startAttempt, type Attempt } from './attempt.ts';
import type { AttemptParts } from './attempt-parts.ts';
import { forgetOldTasks } from './forget-tasks.ts';
import { keepGitFacts } from './git-facts.ts';
import type { Harness } from './harness.ts';
import { makeHarnessParts } from './harness-parts.ts';
import { makeIde } from './ide.ts';
import { proxyFor } from './proxy-for.ts';
import { openLink, type Commands, type Link } from './link.ts';
import { textOf, type SecretKeeper } from './log.ts';
import { keyOf, makeOutbox } from './outbox.ts';
import { makeOwnGit } from './own-git.ts';
import { outboxKey } from './stored-results.ts';
import { sweep } from './process-tree.ts';
import { makeRegistrar } from './register.ts';
import type { Relay } from './relay.ts';
import { forgetWorkTrees } from './forget-worktrees.ts';
import { makeWorkCommands } from './work-commands.ts';
import { makeRepositoryFiles } from './repository-files.ts';
import { makeSender } from './sender.ts';
import type { BridgeSettings } from './settings.ts';
import type { StatusFile } from './status-file.ts';
import type { System } from './system.ts';
import { makeTools } from './tools/make-tools.ts';
import { watchWorker } from './worker-ready.ts';

export interface BridgeParts {
  readonly settings: BridgeSettings;
  readonly harness: Harness;
  readonly keeper: SecretKeeper;
  readonly relay: Relay;
  readonly statusFile: StatusFile;
  readonly system: System | null;
  readonly harnessVersion: string;
  readonly execPath: string;
  readonly bundle: string;
  readonly now: () => Date;
}

export interface Bridge {
  /** Resolves when a newer registration took over and nothing runs any more. */
  readonly superseded: Promise<void>;
  /** Ends every attempt, reports what the service still takes, and closes. */
  end(): Promise<void>;
}

/** The service answers a `lease` request within 25 s, with work or without. */
const leaseMs = 60_000;
const leasePauseMs = 1_000;
/** How long an ending bridge tries to be heard; what is not heard stays on disk. */
const farewellMs = 5_000;
const keptReceipts = 50;
/** For one piece of a file. */
const artifactMs = 10_000;
const tidyEveryMs = 6 * 3_600_000;

export function startBridge(parts: BridgeParts): Bridge {
  const { settings, keeper, now } = parts;
  const { log } = keeper;
  mkdirSync(settings.agentDir, { recursive: true, mode: 0o700 });
  const attempts = new Map<string, Attempt>();
  const receipts = new Map<string, StopReceipt>();
  const runners = new Set<number>();
  const outbox = makeOutbox({
    directory: join(settings.agentDir, 'outbox'),
    key: outboxKey(settings.harnessKey),
    log,
    now,
  });
  const registrar = makeRegistrar({
    settings,
    harnessVersion: parts.harnessVersion,
    log,
    now,
    keepSecret: keeper.keep,
  });
  let setup: Promise<unknown> = Promise.resolve();
  let isLeasing = false;
  let isEnding = false;
  let superseded = (): void => undefined;
  const supersession = new Promise<void>((resolve) => (superseded = resolve));

  const tools = makeTools({ ...parts, log, runners, token: registrar.token });

  const alone: AttemptParts['alone'] = (work) => {
    const mine = setup.then(work, work);
    setup = mine.catch(() => undefined);
    return mine;
  };
  const isRunning = (taskId: string): boolean => [...attempts.values()].some(({ ref }) => ref.task_id === taskId);
  const holding = (): AttemptRef[] => [...outbox.entries.values()].map(({ ref }) => ref);

  const commands: Commands = {
    async stop({ task_id, attempt, reason }) {
      const key = keyOf({ task_id, attempt });
      const running = attempts.get(key);
      if (running) receipts.set(key, await running.stop(reason));
      for (const old of [...receipts.keys()].slice(0, -keptReceipts)) receipts.delete(old);
      return { receipt: receipts.get(key) ?? nothingRuns() };
    },
    async decision({ task_id, attempt, ask_id, decision, message }) {
      const running = attempts.get(keyOf({ task_id, attempt }));
      return { applied: running ? await running.decide(ask_id, decision, message) : false };
    },
    async message({ task_id, attempt, message }) {
      const running = attempts.get(keyOf({ task_id, attempt }));
      return { applied: running ? await running.tell(message) : false };
    },
    ide: ({ enabled }) => {
      if (typeof enabled !== 'boolean') return Promise.reject(new Error('ide: enabled must be true or false.'));
      return Promise.resolve({ ide: ide.wish(enabled) });
    },
    ...tools.session('service'),
    ...makeWorkCommands({ ...settings, git: (args, given) => git(args, given), alone, isRunning }),
    ...makeRepositoryFiles({ ...settings, git: (args, given) => git(args, given) }),
    plugins: makeHarnessParts({ ...parts, runners, running: () => [...attempts.values()][0] ?? null }),
    wake: () => {
      void askForWork();
      return Promise.resolve({});
    },
  };

  const nothingRuns = (): StopReceipt => ({
    stopped_at: now().toISOString(),
    method: 'already_gone',
    processes_left: 0,
    tokens_after_stop: 0,
  });

  const link: Link = openLink({
    proxy: proxyFor(settings.url, settings.inherited),
    url: settings.url,
    registrar,
    commands,
    log,
    onSuperseded: () => void endAll('fence').then(superseded),
  });
  const sender = makeSender({ outbox, link, log, checkFence: beat });
  const ide = makeIde({
    directory: settings.runDir,
    log,
    onChange: () => {
      if (link.isOpen()) void beat();
    },
  });
  const path = settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  const git = makeOwnGit({ agentDir: settings.agentDir, path, spared: runners, log });
  const gitFacts = keepGitFacts({ ...settings, git, log, tell: parts.statusFile.tellGit });
  const worker = watchWorker({
    isAwaited: settings.awaitsWorker,
    directory: settings.runDir,
    log,
    onReady: () => {
      parts.statusFile.tellWaiting(false);
      void askForWork();
    },
    nowMs: () => performance.now(),
  });
  parts.statusFile.tellWaiting(!worker.isReady());
  const tidy = (): void => void alone(() => forgetWorkTrees({ ...settings, git, isRunning, log, now }));
  const tidying = setInterval(tidy, tidyEveryMs);
  tidy();
  outbox.onChange(() => sender.kick());

  async function beat(): Promise<void> {
    const held = holding();
    try {
      const status = attempts.size > 0 ? `running ${attempts.size}` : 'idle';
      const answer = await link.request('heartbeat', { holding: held, status, ide: ide.report() });
      if (!answer.success) return log('warn', 'the service refused a heartbeat', { error: answer.error });
      if (answer.data.token) registrar.renew(answer.data.token);
      await Promise.all(answer.data.fenced.map(fence));
    } catch (error) {
      if (!link.isOpen()) return;
      log('warn', 'a heartbeat was not answered', { error: textOf(error) });
      link.reconnect('no answer');
    }
  }

  async function fence(ref: AttemptRef): Promise<void> {
    const key = keyOf(ref);
    log('warn', 'attempt fenced', ref);
    const running = attempts.get(key);
    outbox.entries.get(key)?.close();
    await running?.end({ kind: 'fence' });
  }

  async function askForWork(): Promise<void> {
    if (isLeasing || isEnding || !worker.isReady()) return;
    isLeasing = true;
    try {
      while (link.isOpen() && !isEnding && attempts.size < settings.slots) {
        const askedAt = performance.now();
        const answer = await link.request(
          'lease',
          { slots: settings.slots - attempts.size, holding: holding() },
          leaseMs,
        );
        if (answer.success && answer.data.lease) await begin(answer.data.lease);
        else if (performance.now() - askedAt < leasePauseMs)
          await new Promise((resolve) => setTimeout(resolve, leasePauseMs));
      }
    } catch (error) {
      if (link.isOpen()) setTimeout(() => void askForWork(), leasePauseMs);
      else log('info', 'the request for work ended with the connection', { error: textOf(error) });
    } finally {
      isLeasing = false;
    }
  }

  async function begin(lease: Lease): Promise<void> {
    const key = keyOf(lease);
    if (attempts.has(key) || outbox.entries.has(key)) return;
    for (const other of attempts.values()) if (other.ref.task_id === lease.task_id) await other.end({ kind: 'fence' });
    log('info', 'attempt leased', { task_id: lease.task_id, attempt: lease.attempt, profile: lease.profile });
    const ref = { task_id: lease.task_id, attempt: lease.attempt };
    const itsOutbox = outbox.open(ref);
    const status = parts.statusFile.open(ref);
    const attempt = startAttempt({ ...attemptParts, outbox: itsOutbox, status }, lease);
    attempts.set(key, attempt);
    void attempt.done.then(() => {
      attempts.delete(key);
      status.close();
      gitFacts.refresh();
      if (attempts.size === 0) forgetOldTasks(settings.agentDir, now());
      log('info', 'attempt over', attempt.ref);
      sender.kick();
      void askForWork();
    });
  }

  const attemptParts: Omit<AttemptParts, 'outbox' | 'status'> = {
    settings,
    harness: parts.harness,
    relay: parts.relay,
    log,
    now,
    keepSecret: keeper.keep,
    execPath: parts.execPath,
    bundle: parts.bundle,
    runners,
    git,
    sweepOrphans: (termMs) =>
      sweep({ rootPid: process.pid, termMs, except: runners, reap: (pid) => parts.system?.reap(pid) }),
    alone,
    sendArtifact: (payload) => link.request('artifact', payload, artifactMs),
  };

  const endAll = (kind: 'fence' | 'shutdown'): Promise<unknown> =>
    Promise.all([...attempts.values()].map((attempt) => attempt.end({ kind })));

  let pulse: NodeJS.Timeout | undefined;
  link.onOpen(() => {
    if (worker.isReady()) log('info', 'ready for work', { free: settings.slots - attempts.size });
    schedulePulse();
    void beat().then(() => {
      sender.kick();
      void askForWork();
    });
  });
  function tick(): void {
    if (link.isOpen()) void beat();
    schedulePulse();
  }
  function schedulePulse(): void {
    clearTimeout(pulse);
    pulse = setTimeout(tick, registrar.heartbeatMs);
  }

  return {
    superseded: supersession,
    async end() {
      isEnding = true;
      await endAll('shutdown');
      sender.kick();
      const deadline = performance.now() + farewellMs;
      while (outbox.entries.size > 0 && link.isOpen() && performance.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 50));
      clearTimeout(pulse);
      clearInterval(tidying);
      gitFacts.end();
      ide.end();
      worker.end();
      registrar.end();
      link.close();
      await parts.relay.close();
    },
  };
}
