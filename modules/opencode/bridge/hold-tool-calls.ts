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
  /** The rest, once the provider's answer has ended; null when a held answer never came to its finish. */
  end(): string | null;
}

interface StreamChunk {
  readonly error?: unknown;
  readonly choices?: readonly {
    readonly delta?: { readonly tool_calls?: unknown };
    readonly finish_reason?: unknown;
  }[];
}

const separator = /\r?\n\r?\n/;

export function makeToolCallHold(): ToolCallHold {
  let rest = '';
  let held: string | null = null;

  function judge(event: string): string {
    const chunk = parse(event);
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

  return {
    take(text) {
      rest += text;
      let passed = '';
      for (let match = separator.exec(rest); match; match = separator.exec(rest)) {
        const end = match.index + match[0].length;
        passed += judge(rest.slice(0, end));
        rest = rest.slice(end);
      }
      return passed;
    },
    end() {
      const last = rest === '' ? '' : judge(rest);
      rest = '';
      return held === null ? last : null;
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
