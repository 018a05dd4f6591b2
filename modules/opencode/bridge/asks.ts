import { createHash } from 'node:crypto';
import type { Ask, Decision } from '../../contract.ts';
import type { ApprovalGuard } from './approval-guard.ts';
import type { HarnessAsk, HarnessClient } from './harness.ts';

/** The open questions of one attempt. */
export interface Asks {
  /** Passes a question of the harness on, once; one that is too long to be read is rejected here. */
  raise(ask: HarnessAsk): void;
  /** Asks for itself and resolves with the decision. */
  ask(ask: Ask): Promise<{ decision: Decision; message?: string }>;
  /** False when the question is not open here (any more). */
  decide(askId: string, decision: Decision, message?: string): Promise<boolean>;
  /** Forgets a question that the harness took back; false where it was not open. */
  drop(askId: string): boolean;
  /** From now on nothing is allowed any more: what is answered is for another attempt. */
  end(): void;
  readonly openCount: number;
  readonly rejectedCount: number;
}

/** As much as a person is asked to read, and a frame carries with ease. */
const detailBytes = 256 * 1024;
const tries = 3;
/** Without a text a rejection ends the turn; with one the model learns of it and goes on. */
const defaultRejection = 'This was not allowed. Do without it, or say what you would need.';

export function makeAsks(
  send: (ask: Ask) => void,
  harness: () => HarnessClient | null,
  guard?: Pick<ApprovalGuard, 'asked' | 'replying'>,
): Asks {
  const open = new Map<string, (decision: Decision, message?: string) => Promise<boolean>>();
  const seen = new Set<string>();
  let rejectedCount = 0;
  let isOver = false;

  async function answer(askId: string, decision: Decision, message?: string): Promise<boolean> {
    const client = harness();
    if (!client) return false;
    guard?.replying(askId, decision);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await (decision === 'once'
          ? client.reply(askId, 'once')
          : client.reply(askId, 'reject', message ?? defaultRejection));
      } catch (error) {
        // The service counts an answered command as done, so a busy harness is asked again from here.
        if (attempt === tries) throw error;
      }
    }
  }

  /** Nobody is asked about a part: they would approve what they never saw. */
  async function refuse(askId: string, bytes: number): Promise<void> {
    try {
      if (await answer(askId, 'reject', tooLong(bytes))) rejectedCount += 1;
    } catch {
      // The harness lists its open questions when it is connected again.
      seen.delete(askId);
    }
  }

  return {
    raise(ask) {
      if (seen.has(ask.id)) return;
      seen.add(ask.id);
      guard?.asked(ask);
      const detail = detailOf(ask);
      const bytes = Buffer.byteLength(JSON.stringify(detail));
      if (bytes > detailBytes) return void refuse(ask.id, bytes);
      open.set(ask.id, (decision, message) => answer(ask.id, decision, message));
      send({ ask_id: ask.id, kind: 'permission', title: titleOfAsk(ask), detail });
    },
    ask: (ask) =>
      new Promise((resolve) => {
        open.set(ask.ask_id, (decision, message) => {
          resolve({ decision, ...(message === undefined ? {} : { message }) });
          return Promise.resolve(true);
        });
        send(ask);
      }),
    async decide(askId, decision, message) {
      const settle = open.get(askId);
      if (!settle || (isOver && decision === 'once')) return false;
      const applied = await settle(decision, message);
      open.delete(askId);
      if (applied && decision === 'reject') rejectedCount += 1;
      return applied;
    },
    drop: (askId) => open.delete(askId),
    end: () => void (isOver = true),
    get openCount() {
      return open.size;
    },
    get rejectedCount() {
      return rejectedCount;
    },
  };
}

const titleOfAsk = ({ permission, patterns = [], metadata = {} }: HarnessAsk): string => {
  const subject = [metadata['command'], metadata['filepath'], metadata['url'], patterns.join(', ')].find(
    (value) => typeof value === 'string' && value !== '',
  );
  return `${permission}: ${String(subject ?? 'anything')}`.replace(/\s+/g, ' ').slice(0, 500);
};

const tooLong = (bytes: number): string =>
  `Nobody was asked: this takes ${kib(bytes)} KiB to show, and a person is shown ${kib(detailBytes)} KiB at most. Do it in smaller steps.`;
const kib = (bytes: number): string => String(Math.ceil(bytes / 1024));

/**
 * Exactly what would be done, whole: bound to the call, so that an approval of one command approves no other.
 *
 * The names of the metadata are the harness's choice; ours come last, so that none of them can be replaced. What has
 * parts is too much to show, so that its hash stands for it.
 */
function detailOf(ask: HarnessAsk): Record<string, unknown> {
  const metadata = Object.entries(ask.metadata ?? {});
  return {
    ...Object.fromEntries(
      metadata.map(([name, value]) => [
        name,
        typeof value === 'object' && value !== null ? { sha256: hashOf(value) } : value,
      ]),
    ),
    permission: ask.permission,
    patterns: ask.patterns ?? [],
    session_id: ask.sessionID,
    call_id: ask.tool?.callID ?? null,
  };
}

const hashOf = (value: object): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
