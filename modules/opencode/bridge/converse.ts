import type { Story } from './attempt-parts.ts';
import { contextFile } from './context-file.ts';
import { makeEventMapper } from './events.ts';
import { AttemptFailure } from './failure.ts';
import { askForAccess, relaySettings } from './git-access.ts';
import type { HarnessClient, HarnessMessage } from './harness.ts';
import { harnessPassword } from './harness-password.ts';
import type { Runner } from './runner-client.ts';
import { saveWork } from './save-work.ts';
import { heardBefore, openSession, promptsToSay } from './session.ts';
import { taskDirectories } from './task-directories.ts';
import { readMessage, runTurn, toolExitsOf, type LastMessage } from './turn.ts';
import type { WorkTree } from './worktree.ts';

/**
 * Starts the harness and holds the conversation of this attempt; answers its last message.
 *
 * Errors   `AgentServerNotReady` before it began, `AgentError` when OpenCode dies in the middle; both retryable.
 */
export async function converse(story: Story, runner: Runner, workTree: WorkTree, path: string): Promise<LastMessage> {
  const { progress, endSwitch } = story;
  const client = await startOwnHarness(story, runner, workTree, path);
  progress.client = client;
  const over = new AbortController();
  const death = runner.serveEnded().then((exit) => {
    if (progress.harnessEnded || endSwitch.ending) return new Promise<never>(() => undefined);
    throw new AttemptFailure(
      'AgentError',
      `OpenCode ended unexpectedly (code ${exit.code}) in the middle of its work.`,
      true,
    );
  });
  try {
    const signal = AbortSignal.any([endSwitch.signal, over.signal]);
    const beforeMessage = (): Promise<void> => saveWork(story);
    return await Promise.race([talk({ ...story, beforeMessage }, client, workTree, signal), death]);
  } finally {
    over.abort();
  }
}

async function startOwnHarness(
  { parts, lease, progress, endSwitch }: Story,
  runner: Runner,
  workTree: WorkTree,
  path: string,
): Promise<HarnessClient> {
  const { settings } = parts;
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
  const startedAt = performance.now();
  progress.access = await askForAccess({ serviceUrl: settings.url, taskToken: lease.task_token, log: parts.log });
  const gitSettings = relaySettings(progress.place.gitUrl, progress.access);
  const client = await parts.harness.start({
    ...{ runner, lease, workTree, password, path, gitSettings },
    program: parts.execPath,
    directories: taskDirectories(settings.agentDir, lease.task_id),
    modelUrl: progress.place.url,
    inherited: settings.inherited,
    context: contextFile(settings.workspaceDir),
    prefersKnownPort: settings.slots === 1,
    now: parts.now(),
  });
  parts.status.tell({ state: 'running', port: client.port });
  parts.log('info', 'harness ready', { ...parts.outbox.ref, duration_ms: Math.round(performance.now() - startedAt) });
  return client;
}

/** What a conversation needs of its attempt. */
export interface Talk extends Pick<Story, 'lease' | 'progress' | 'asks' | 'guard' | 'steering'> {
  /** Runs before a person's message is said: what came of the words before it can then be had again. */
  readonly beforeMessage?: () => Promise<void>;
  readonly parts: Pick<Story['parts'], 'log'> & {
    readonly outbox: Pick<Story['parts']['outbox'], 'event'>;
    readonly status: Pick<Story['parts']['status'], 'tell'>;
  };
}

/** Says what is to be said to a harness that runs, and answers its last message; `progress` learns of every tool. */
export async function talk(
  { parts, lease, progress, asks, guard, steering, beforeMessage }: Talk,
  client: HarnessClient,
  workTree: Pick<WorkTree, 'path'>,
  signal: AbortSignal,
): Promise<LastMessage> {
  const { event: emit } = parts.outbox;
  const sessionId = await openSession(client, lease, emit);
  progress.sessionId = sessionId;
  parts.status.tell({ session_id: sessionId });
  const before = await client.messages(sessionId);
  for (const id of heardBefore(before, lease)) emit('message.sent', { id });
  const prompts = promptsToSay(before, lease);
  const mapper = makeEventMapper(emit, workTree.path);
  const turn = { client, sessionId, mapper, asks, guard, steering, emit, log: parts.log, signal, beforeMessage };
  const last = prompts.length > 0 ? await runTurn(turn, prompts) : readMessage(before.at(-1) as HarnessMessage);
  steering.end();
  const after = await client.messages(sessionId);
  progress.toolExits = toolExitsOf(after);
  // Once more over what this attempt added: the event stream may have broken while it happened.
  const known = new Set(before.flatMap(({ parts }) => parts).map(({ callID }) => callID));
  for (const part of after.flatMap(({ parts }) => parts))
    if (!known.has(part.callID)) guard.take({ type: 'message.part.updated', properties: { part } });
  progress.harnessEnded = true;
  return last;
}
