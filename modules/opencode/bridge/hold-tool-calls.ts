/**
 * Keeps tool calls of a streamed answer back until the answer is whole.
 *
 * The harness runs a tool as soon as its call has arrived, and asks the model again when the stream breaks after
 * that: the same tool then runs twice. Text still passes as it comes.
 *
 * Source: measured with OpenCode 1.18.33 when the service was killed in the middle of an answer.
 */
export interface ToolCallHold {
  /** What may be passed on now. */
  take(text: string): string;
  /** The rest, once the provider's answer has ended; null when a held answer never came to its finish or was too long. */
  end(): string | null;
  /** Whether the answer has come to its finish: what breaks after that has lost nothing the harness needs. */
  isWhole(): boolean;
}

interface StreamChunk {
  readonly error?: unknown;
  readonly choices?: readonly {
    readonly delta?: { readonly tool_calls?: unknown };
    readonly finish_reason?: unknown;
  }[];
}

const separator = /\r?\n\r?\n/g;
/** Longest separator less one: so much of one may have arrived. */
const carriedChars = 3;
/** More than any whole tool call; an answer that holds back more is cut, so that it cannot fill the memory. */
const maxHeldChars = 8 * 1024 * 1024;

export function makeToolCallHold(): ToolCallHold {
  /** Pieces of an event that is not whole. Joined only once, because joining at each piece costs their square. */
  let pieces: string[] = [];
  let pendingChars = 0;
  let carried = '';
  let held: string | null = null;
  let isCut = false;
  let isWhole = false;

  function judge(event: string): string {
    const chunk = parse(event);
    if (chunk?.choices?.some((choice) => choice.finish_reason)) isWhole = true;
    if (chunk?.error !== undefined) {
      held = null;
      return event;
    }
    if (held === null && !chunk?.choices?.some((choice) => choice.delta?.tool_calls)) return event;
    held = (held ?? '') + event;
    if (!chunk?.choices?.some((choice) => choice.finish_reason)) return '';
    const whole = held;
    held = null;
    return whole;
  }

  function pend(text: string): void {
    pieces.push(text);
    pendingChars += text.length;
    carried = (carried + text).slice(-carriedChars);
  }

  function takePending(): string {
    const event = pieces.join('');
    pieces = [];
    pendingChars = 0;
    carried = '';
    return event;
  }

  function cut(): void {
    isCut = true;
    held = null;
    takePending();
  }

  return {
    take(text) {
      if (isCut) return '';
      const searched = carried + text;
      const offset = carried.length;
      let passed = '';
      let start = 0;
      for (const match of searched.matchAll(separator)) {
        const end = match.index + match[0].length - offset;
        pend(text.slice(start, end));
        passed += judge(takePending());
        start = end;
      }
      if (start < text.length) pend(text.slice(start));
      if (pendingChars + (held?.length ?? 0) > maxHeldChars) cut();
      return passed;
    },
    isWhole: () => isWhole && !isCut,
    end() {
      const event = takePending();
      const last = event === '' ? '' : judge(event);
      return isCut || held !== null ? null : last;
    },
  };
}

function parse(event: string): StreamChunk | null {
  const data = event
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5))
    .join('\n');
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
