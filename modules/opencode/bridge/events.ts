import { relative } from 'node:path';
import type { BridgeEventType } from '../../contract.ts';
import type { HarnessEvent, HarnessPart, ToolState } from './harness.ts';

export type EventData = Readonly<Record<string, unknown>>;
export type Emit = (type: BridgeEventType, data: EventData) => void;

export interface EventMapper {
  take(event: HarnessEvent): void;
  /** Sends text that still waits for company. */
  flush(): void;
}

/** At most eight pieces of text a second and part; a token alone is no event worth storing. */
const flushMs = 125;
const flushBytes = 8 * 1024;
const titleLength = 300;
const commandLength = 2_000;

interface PendingText {
  readonly messageId: string;
  text: string;
}

/** A word longer than this is cut; so is a key that does not end. */
const longestWord = 1_024;
const longestKey = 16 * 1024;

/** How much of a text can be sent without cutting a word, or a private key, in two. */
function endOfWords(text: string): number {
  const end = text.search(/\S*$/);
  const key = text.lastIndexOf('-----BEGIN ');
  const closing = key === -1 ? null : /-----END [A-Z ]*-----/.exec(text.slice(key));
  if (key !== -1 && (closing === null || end < key + closing.index + closing[0].length))
    return text.length - key > longestKey ? text.length : key;
  return text.length - end > longestWord ? text.length : end;
}

/**
 * Turns the harness's events into ours.
 *
 * Only what a person follows: text of assistants, tools as they start and finish, files, retries. Tool output
 * and provider texts stay here: they may hold what a transcript must not.
 */
export function makeEventMapper(emit: Emit, workTree: string, schedule = setTimeout): EventMapper {
  const partTypes = new Map<string, string>();
  const pending = new Map<string, PendingText>();
  const toolStatus = new Map<string, ToolState['status']>();
  let timer: NodeJS.Timeout | null = null;

  function flush(): void {
    if (timer) clearTimeout(timer);
    timer = null;
    for (const [partId, { messageId, text }] of pending) {
      emit('message.text', { message_id: messageId, part_id: partId, text });
    }
    pending.clear();
  }

  /** Sends whole words: the service looks for secrets in each event, and would not know one by its half. */
  function flushWords(): void {
    if (timer) clearTimeout(timer);
    timer = null;
    for (const [partId, { messageId, text }] of pending) {
      const end = endOfWords(text);
      if (end === 0) continue;
      emit('message.text', { message_id: messageId, part_id: partId, text: text.slice(0, end) });
      if (end === text.length) pending.delete(partId);
      else pending.set(partId, { messageId, text: text.slice(end) });
    }
  }

  function takeDelta({ partID, messageID, field, delta }: Record<string, unknown>): void {
    if (typeof partID !== 'string' || typeof delta !== 'string' || field !== 'text') return;
    if (partTypes.get(partID) !== 'text') return;
    const entry = pending.get(partID) ?? { messageId: String(messageID), text: '' };
    entry.text += delta;
    pending.set(partID, entry);
    if (entry.text.length >= flushBytes) flushWords();
    else timer ??= schedule(flushWords, flushMs);
  }

  function takePart(part: HarnessPart): void {
    partTypes.set(part.id, part.type);
    if (part.type !== 'tool' || !part.state || !part.callID) return;
    const { status } = part.state;
    if (toolStatus.get(part.callID) === status) return;
    toolStatus.set(part.callID, status);
    if (status === 'running') {
      flush();
      emit('tool.started', { ...toolFacts(part, part.state), ...subjectOf(part.state, workTree) });
    }
    if (status === 'completed' || status === 'error') {
      flush();
      emit('tool.finished', {
        ...toolFacts(part, part.state),
        status,
        exit: part.state.metadata?.exit ?? null,
        duration_ms: (part.state.time?.end ?? 0) - (part.state.time?.start ?? 0),
      });
    }
  }

  const takers: Readonly<Record<string, (properties: Readonly<Record<string, unknown>>) => void>> = {
    'message.part.delta': takeDelta,
    'message.part.updated': ({ part }) => takePart(part as HarnessPart),
    'file.edited': ({ file }) => {
      if (typeof file === 'string') emit('file.edited', { path: relative(workTree, file).slice(0, commandLength) });
    },
    'session.status': ({ status }) => {
      const { type, attempt, next } = status as { type: string; attempt?: number; next?: number };
      if (type === 'retry')
        emit('model.retry', { retry: attempt ?? null, next_at: next ? new Date(next).toISOString() : null });
    },
  };

  return { take: (event) => takers[event.type]?.(event.properties), flush };
}

const toolFacts = (part: HarnessPart, state: ToolState): EventData => ({
  call_id: part.callID,
  tool: part.tool ?? '',
  title: titleOf(part.tool ?? '', state),
});

/** What a person calls this tool call: its own title, else what it was asked to do. */
export function titleOf(tool: string, state: ToolState): string {
  const input = state.input ?? {};
  const candidates = [state.title, input['description'], input['command'], input['filePath'], input['pattern'], tool];
  const found = candidates.find((value) => typeof value === 'string' && value !== '') as string | undefined;
  return (found ?? tool).slice(0, titleLength);
}

function subjectOf(state: ToolState, workTree: string): EventData {
  const { command, filePath } = state.input ?? {};
  return {
    ...(typeof command === 'string' ? { command: command.slice(0, commandLength) } : {}),
    ...(typeof filePath === 'string' ? { path: relative(workTree, filePath).slice(0, commandLength) } : {}),
  };
}
