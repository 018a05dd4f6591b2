import type { Conversation } from './conversation.ts';
import type { Step, ToolCall } from './step.ts';

export interface Scenario {
  readonly name: string;
  readonly argument: string;
}

/** `SCENARIO:name`, optionally followed on the same line by `ARG:` and anything. */
export function scenarioIn(text: string): Scenario | undefined {
  const match = /SCENARIO:([a-z0-9]+)(?:[ \t]+ARG:([^\n]*))?/.exec(text);
  const name = match?.[1];
  return name === undefined ? undefined : { name, argument: (match?.[2] ?? '').trim() };
}

type Play = (argument: string, conversation: Conversation, earlierCalls: number) => Step;

const words = (argument: string): Step => ({ text: argument === '' ? 'All done here.' : argument });

/** A tool at step 0 and a word of text after it. */
const once =
  (call: (argument: string) => Step): Play =>
  (argument, { step }) =>
    step === 0 ? call(argument) : words('');

const bash = (command: string): ToolCall => ({
  tool: 'bash',
  arguments: { command, description: 'Runs the scripted command' },
});

const write = (argument: string): Step => {
  const [filePath, ...content] = argument === '' ? ['hello.txt', 'hello\n'] : argument.split('|');
  return { tool: 'write', arguments: { filePath, content: content.join('|') } };
};

/** `NAME {json}` */
const anyTool = (argument: string): Step => {
  const space = argument.indexOf(' ');
  const [tool, json] = space === -1 ? [argument, '{}'] : [argument.slice(0, space), argument.slice(space + 1)];
  return { tool, arguments: JSON.parse(json) as Record<string, unknown> };
};

const refusal =
  (status: number, message: string, headers: Record<string, string> = {}): Play =>
  () => ({ status, message, headers });

/**
 * What the model does for `SCENARIO:<name> ARG:<argument>`.
 *
 * Texts of the 4xx answers avoid `server_error` and the like: OpenCode decides by such words whether to try again.
 */
export const scenarios: Readonly<Record<string, Play>> = {
  text: (argument) => words(argument),
  /** Argument: milliseconds between words. */
  slow: (argument) => ({ text: 'This answer takes its time to come.', delayMs: Number(argument || '200') }),
  reason: (argument) => ({ text: argument || 'Thought about it.', reasoning: 'Let me think about this first.' }),
  /** Argument: the `finish_reason`. */
  finish: (argument) => ({ text: 'Ended for a reason of its own.', finish: argument }),
  length: () => ({ text: 'This answer is cut off in the', finish: 'length' }),

  tools: once(write),
  /** Argument: `path|content`. */
  write: once(write),
  /** Argument: the command. */
  bash: once((command) => bash(command || 'echo hello')),
  /** Argument: `{"filePath", "oldString", "newString"}`. */
  edit: once((argument) => anyTool(`edit ${argument}`)),
  /** Argument: commands separated by ` ;; `. */
  parallel: once((argument) => ({ tools: (argument || 'echo one ;; echo two').split(' ;; ').map(bash) })),
  /** Argument: `NAME {json}`. */
  any: once(anyTool),
  badtool: once(() => ({ tool: 'no_such_tool', arguments: { anything: true } })),
  /** Argument: the prompt of the child, itself naming a scenario as `CHILD:<name>`. */
  task: once((argument) => ({
    tool: 'task',
    arguments: {
      description: 'Scripted child',
      prompt: (argument || 'CHILD:text').replace('CHILD:', 'SCENARIO:'),
      subagent_type: 'general',
    },
  })),
  /** A tool at every step, for ever. */
  loop: (command) => bash(command || 'true'),

  err400: refusal(400, 'The request has an unsupported parameter: temperature.'),
  err401: refusal(401, 'Incorrect API key provided.'),
  err402: refusal(402, 'Insufficient credits. Add more and try again.'),
  err429: refusal(429, 'Rate limit reached. Slow down.', { 'retry-after': '2' }),
  err500: refusal(500, 'Internal error'),
  /** Two calls of three fail. The only scenario that remembers: `earlierCalls` with the same prompt. */
  flaky: (argument, _conversation, earlierCalls) =>
    earlierCalls % 3 === 2 ? words(argument) : { status: 503, message: 'Overloaded' },
  ctx: refusal(400, "This model's maximum context length is 128000 tokens. Please reduce the length of the messages."),

  malformed: () => ({ fault: 'malformed' }),
  cut: () => ({ fault: 'cut' }),
  eofclean: () => ({ fault: 'eofclean' }),
  html: () => ({ fault: 'html' }),
  hang: () => ({ fault: 'hang' }),
  hangmid: () => ({ fault: 'hangmid' }),
  errchunk: () => ({ fault: 'errchunk' }),
  toolless: () => ({ fault: 'toolless' }),
};
