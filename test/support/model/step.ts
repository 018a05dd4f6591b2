import type { Conversation } from './conversation.ts';

export interface ToolCall {
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Ways in which a provider fails without an HTTP status saying so. */
export type Fault =
  /** A data line that is no JSON. */
  | 'malformed'
  /** The socket is destroyed after one word. */
  | 'cut'
  /** The body ends properly after one word, but no `finish_reason` was sent. */
  | 'eofclean'
  /** 200 with a web page. */
  | 'html'
  /** Nothing is ever answered. */
  | 'hang'
  /** One word, then nothing for ever. */
  | 'hangmid'
  /** An error object inside the stream, as OpenRouter sends it. */
  | 'errchunk'
  /** Finishes with `tool_calls` although no tool was called. */
  | 'toolless';

/** What the model does in one answer. */
export type Step =
  | {
      readonly text: string;
      readonly finish?: string;
      readonly delayMs?: number;
      readonly reasoning?: string;
    }
  | (ToolCall & { readonly text?: string })
  | { readonly tools: readonly ToolCall[] }
  | { readonly fault: Fault }
  | {
      readonly status: number;
      readonly message: string;
      readonly type?: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** A step, or a function that decides it from what was said so far. */
export type PlayStep = Step | ((conversation: Conversation) => Step);

/**
 * One natural prompt and the answers to it.
 *
 * `match` is tried on the text of user messages; `steps` are given in order, the last one again and again after that.
 */
export interface Play {
  readonly match: RegExp;
  readonly steps: readonly PlayStep[];
}

/** Plays in the order in which they are tried. */
export const script = (plays: readonly Play[]): readonly Play[] => plays;
