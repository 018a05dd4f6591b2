import { z } from 'zod';
import {
  harnessPartsBounds,
  toolLimits,
  type RunCommand,
  type ServiceRequests,
  type ServiceRequestType,
} from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Listener } from '../platform/listener.ts';
import { pause } from '../platform/pause.ts';
import { toolAnswers } from './tool-answers.ts';
import { workAnswers } from './work-answers.ts';
import { forgetFrame, readReply, replyChannel, sendToBridge } from './bridge-store.ts';

const text = z.string();
const count = z.number().int().min(0);
const name = z.string().regex(harnessPartsBounds.name);
const entries = <Entry extends z.ZodType>(entry: Entry) => z.array(entry).max(harnessPartsBounds.entries);

/** Whatever else a bridge says of a part, a value above all, is dropped. */
export const harnessParts = z.object({
  plugins: entries(z.object({ name, kind: z.enum(['file', 'package']) })),
  skills: entries(z.object({ name, kind: z.enum(['built_in', 'installed', 'repository']) })),
  mcp_servers: entries(z.object({ name, kind: z.enum(['local', 'remote']), enabled: z.boolean() })),
  lsp_servers: entries(z.object({ name, enabled: z.boolean() })),
});

/** What a bridge may answer: a workspace is hostile ground. */
const answers = {
  plugins: harnessParts,
  listCommitted: z.object({ files: z.array(z.object({ path: text.max(4_096), bytes: count })).max(1_000) }),
  readCommitted: z.object({ text }),
  searchCommitted: z.object({
    matches: z.array(z.object({ path: text.max(4_096), line: count, text: text.max(500) })).max(200),
  }),
  ...toolAnswers,
  ...workAnswers,
} satisfies { [Type in ServiceRequestType]?: z.ZodType<ServiceRequests[Type]['data']> };

export type CallType = keyof typeof answers;

/** Commands whose answer somebody waits for. */
export const callTypes: ReadonlySet<string> = new Set(Object.keys(answers));

/** What a bridge said: data of the form that was asked for, or why it refuses. */
export type BridgeAnswer<Type extends CallType> =
  | { readonly success: true; readonly data: ServiceRequests[Type]['data'] }
  | { readonly success: false; readonly error: string };

/**
 * Asks the bridge of a workspace, through whichever replica holds its connection; a refusal is an answer.
 *
 * Errors  `unavailable` where no bridge answers in time.
 */
export type AskBridge = <Type extends CallType>(
  workspaceId: string,
  type: Type,
  payload: ServiceRequests[Type]['payload'],
  signal?: AbortSignal,
) => Promise<BridgeAnswer<Type>>;

/** The same, but answers only what the bridge did: a refusal is thrown, `unprocessable` with the bridge's own words. */
export type CallBridge = <Type extends CallType>(
  workspaceId: string,
  type: Type,
  payload: ServiceRequests[Type]['payload'],
  signal?: AbortSignal,
) => Promise<ServiceRequests[Type]['data']>;

/** How long anything may take that says nothing else. */
const answerMs = 30_000;
/** No call is waited for longer than this. */
export const longestCallMs = toolLimits.mostCommandSeconds * 1_000 + answerMs;
/** A word of the database that was missed costs as long. */
const lookAnywayMs = 2_000;

export function makeAskBridge(parts: {
  readonly database: Database;
  readonly listener: Pick<Listener, 'on'>;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}): AskBridge {
  const { database, clock, timeoutMs = answerMs } = parts;
  const waiting = new Map<string, AbortController>();
  parts.listener.on(
    replyChannel,
    (frameId) => waiting.get(frameId)?.abort(),
    () => waiting.forEach((heard) => heard.abort()),
  );

  async function replyTo(frameId: string, signal: AbortSignal) {
    while (!signal.aborted) {
      const heard = new AbortController();
      waiting.set(frameId, heard);
      const reply = await readReply(database, frameId);
      if (reply !== null) return reply;
      await pause(lookAnywayMs, AbortSignal.any([signal, heard.signal]));
    }
    return null;
  }

  return async (workspaceId, type, payload, signal) => {
    const frameId = await database.transaction((tx) => sendToBridge(tx, clock, workspaceId, type, payload));
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs + secondsOf(type, payload) * 1_000);
    try {
      const reply = await replyTo(frameId, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
      if (!reply) throw notAnswered(type);
      if (!reply.success) return reply;
      const data = answers[type].safeParse(reply.data);
      if (!data.success) return { success: false, error: 'its answer has a form that nobody knows' };
      return { success: true, data: data.data as never };
    } finally {
      clearTimeout(timer);
      waiting.delete(frameId);
      await forgetFrame(database, frameId);
    }
  };
}

export const makeCallBridge = (parts: Parameters<typeof makeAskBridge>[0]): CallBridge =>
  throughAsking(makeAskBridge(parts));

export const throughAsking =
  (ask: AskBridge): CallBridge =>
  async (workspaceId, type, payload, signal) => {
    const answer = await ask(workspaceId, type, payload, signal);
    if (!answer.success) throw refused(type, answer.error);
    return answer.data;
  };

/** What a call may take beside the usual time, as the bridge bounds it. */
function secondsOf(type: CallType, payload: object): number {
  if (type === 'gitPush') return toolLimits.mostCommandSeconds;
  if (type !== 'runCommand') return 0;
  const { timeoutSeconds: asked } = payload as RunCommand;
  return Math.min(Math.max(asked ?? toolLimits.commandSeconds, 0), toolLimits.mostCommandSeconds);
}

const notAnswered = (type: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'bridge_silent',
    `The bridge of the workspace did not answer ${type} in time. See that the workspace runs, and try again.`,
  );

const refused = (type: string, why: string): ServiceError =>
  new ServiceError('unprocessable', 'bridge_refused', `The workspace did not answer ${type}: ${why.slice(0, 500)}`);
