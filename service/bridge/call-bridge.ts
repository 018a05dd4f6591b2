import { z } from 'zod';
import { harnessPartsBounds, type ServiceRequests, type ServiceRequestType } from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Listener } from '../platform/listener.ts';
import { pause } from '../platform/pause.ts';
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
  listFiles: z.object({ files: z.array(z.object({ path: text.max(4_096), bytes: count })).max(1_000) }),
  readFile: z.object({ text }),
  plugins: harnessParts,
  searchCode: z.object({
    matches: z.array(z.object({ path: text.max(4_096), line: count, text: text.max(500) })).max(200),
  }),
} satisfies { [Type in ServiceRequestType]?: z.ZodType<ServiceRequests[Type]['data']> };

export type CallType = keyof typeof answers;

/** Commands whose answer somebody waits for. */
export const callTypes: ReadonlySet<string> = new Set(Object.keys(answers));

/**
 * Asks the bridge of a workspace, through whichever replica holds its connection, and answers what it said.
 *
 * Errors  `unavailable` where no bridge answers in time; `unprocessable` with the bridge's own words where it refuses.
 */
export type CallBridge = <Type extends CallType>(
  workspaceId: string,
  type: Type,
  payload: ServiceRequests[Type]['payload'],
  signal?: AbortSignal,
) => Promise<ServiceRequests[Type]['data']>;

const answerMs = 30_000;
/** A word of the database that was missed costs as long. */
const lookAnywayMs = 2_000;

export function makeCallBridge(parts: {
  readonly database: Database;
  readonly listener: Pick<Listener, 'on'>;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}): CallBridge {
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
    const late = AbortSignal.timeout(timeoutMs);
    try {
      const reply = await replyTo(frameId, signal ? AbortSignal.any([signal, late]) : late);
      if (!reply) throw notAnswered(type);
      if (!reply.success) throw refused(type, reply.error);
      const data = answers[type].safeParse(reply.data);
      if (!data.success) throw refused(type, 'its answer has a form that nobody knows');
      return data.data;
    } finally {
      waiting.delete(frameId);
      await forgetFrame(database, frameId);
    }
  };
}

const notAnswered = (type: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'bridge_silent',
    `The bridge of the workspace did not answer ${type} in time. See that the workspace runs, and try again.`,
  );

const refused = (type: string, why: string): ServiceError =>
  new ServiceError('unprocessable', 'bridge_refused', `The workspace did not answer ${type}: ${why.slice(0, 500)}`);
