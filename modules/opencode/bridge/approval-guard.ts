import type { Decision } from '../../contract.ts';
import { beforeScripts, type HarnessAsk, type HarnessEvent, type HarnessPart } from './harness.ts';

/** Sees what the harness does with its questions, and says when it does something else than was decided here. */
export interface ApprovalGuard {
  asked(ask: HarnessAsk): void;
  /** Said before the reply leaves, so that its echo is known. */
  replying(askId: string, decision: Decision): void;
  take(event: HarnessEvent): void;
}

export interface GuardParts {
  /** Tools that may not come to an end without an allowed question. */
  readonly asking: readonly string[];
  /** A question that nobody can answer any more: the harness rejected it together with another one. */
  readonly onDropped: (askId: string) => void;
  /** Says what was seen, for people. */
  readonly onBypassed: (what: string) => void;
}

/**
 * Watches one attempt.
 *
 * Bypassed  a question was answered `once` or `always` and not by us; a tool that must ask came to an end without its
 *           question being allowed here; a command that ran is not the one that was allowed.
 * Place     this is the workspace's own word: whoever got at the harness can also silence it. What holds against that
 *           is outside: gateway, git proxy, network.
 */
export function makeApprovalGuard({ asking, onDropped, onBypassed }: GuardParts): ApprovalGuard {
  const asks = new Map<string, HarnessAsk>();
  const replies = new Map<string, Set<Decision>>();
  const allowedCommands = new Map<string, string | null>();

  function takeReply({ requestID: id, reply }: Readonly<Record<string, unknown>>): void {
    if (typeof id !== 'string') return;
    const isOurs = replies.get(id)?.has(reply as Decision) === true;
    if (isOurs) return;
    if (reply === 'reject') return onDropped(id);
    onBypassed(`A question of the harness was answered "${String(reply)}", and not by a decision of the service.`);
  }

  function takePart({ type, tool = '', callID = '', state }: HarnessPart): void {
    if (type !== 'tool' || state?.status !== 'completed' || !asking.includes(tool)) return;
    if (!allowedCommands.has(callID)) return onBypassed(`Tool ${tool} ran without its question being allowed.`);
    const allowed = allowedCommands.get(callID);
    const ran = state.input?.['command'];
    // The harness keeps what the model wrote; its adapter may have put a line before it.
    if (tool === 'bash' && allowed !== ran && allowed !== beforeScripts + String(ran))
      onBypassed('A command ran that is not the one that was allowed.');
  }

  return {
    asked: (ask) => void asks.set(ask.id, ask),
    replying(askId, decision) {
      replies.set(askId, (replies.get(askId) ?? new Set()).add(decision));
      const ask = asks.get(askId);
      if (decision !== 'once' || !ask?.tool) return;
      // A tool may ask twice, first for a folder and then for its command.
      const command = ask.metadata?.['command'];
      if (typeof command === 'string' || !allowedCommands.has(ask.tool.callID))
        allowedCommands.set(ask.tool.callID, typeof command === 'string' ? command : null);
    },
    take({ type, properties }) {
      if (type === 'permission.replied') takeReply(properties);
      else if (type === 'message.part.updated') takePart(properties['part'] as HarnessPart);
    },
  };
}
