import type { Lease, Reason } from '../../../modules/contract.ts';
import { script, type Play } from '../model/scripted-model.ts';

/** One attempt to record: what is asked, and what somebody does meanwhile. */
export interface Case {
  readonly name: string;
  readonly title: string;
  readonly prompt: string;
  readonly lease?: Partial<Lease>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly decisions?: readonly ('once' | 'reject')[];
  /** What is done once the harness is in the middle. */
  readonly then?:
    | { readonly when: RegExp; readonly stop: Reason }
    /** Somebody other than the bridge aborts the session. */
    | { readonly when: RegExp; readonly abort: true };
  readonly callLimit?: number;
  readonly limit?: { readonly reason: Reason; readonly message: string };
  /** Also asks the harness's own command line, alone or attached to a server. */
  readonly exit?: 'run' | 'run --attach';
}

const trusted = { profile: 'trusted' } as const;
const busy = /"type":"busy"/;

export const plays: readonly Play[] = script([
  {
    match: /mend the build/i,
    steps: [
      { tool: 'bash', arguments: { command: 'cat missing.txt', description: 'Looks first' } },
      { tool: 'write', arguments: { filePath: 'missing.txt', content: 'here\n' } },
      { tool: 'bash', arguments: { command: 'cat missing.txt', description: 'Looks again' } },
      { text: 'missing.txt is there now.' },
    ],
  },
  {
    match: /edit until the provider goes/i,
    steps: [
      { tool: 'write', arguments: { filePath: 'half.txt', content: 'half\n' } },
      { status: 401, message: 'Incorrect API key provided.' },
    ],
  },
  { match: /say nothing at all/i, steps: [{ text: '' }] },
]);

export const cases: readonly Case[] = [
  { name: 'edit', title: 'edits a file and finishes', prompt: 'SCENARIO:write ARG:made.txt|made', lease: trusted },
  { name: 'answer', title: 'answers and changes nothing', prompt: 'SCENARIO:text ARG:Nothing to do.', lease: trusted },
  {
    name: 'provider-401',
    title: 'is refused by the provider; the command line exits 0 when it is attached to a server',
    prompt: 'SCENARIO:err401',
    lease: trusted,
    exit: 'run --attach',
  },
  { name: 'provider-500', title: 'gives up after five retries', prompt: 'SCENARIO:err500', lease: trusted },
  {
    name: 'provider-recovers',
    title: 'meets two faults of the provider and finishes',
    prompt: 'SCENARIO:flaky ARG:It went well in the end.',
    lease: trusted,
  },
  {
    name: 'edit-then-401',
    title: 'changes a file and is refused by the provider then',
    prompt: 'Edit until the provider goes.',
    lease: trusted,
  },
  {
    name: 'truncated',
    title: 'runs into the output limit; the command line exits 0',
    prompt: 'SCENARIO:length',
    lease: trusted,
    exit: 'run',
  },
  { name: 'overflow', title: 'has a conversation too long for the model', prompt: 'SCENARIO:ctx', lease: trusted },
  { name: 'malformed', title: 'gets an answer that is no JSON', prompt: 'SCENARIO:malformed', lease: trusted },
  {
    name: 'stopped',
    title: 'is stopped while a command runs',
    prompt: 'SCENARIO:bash ARG:sleep 300',
    lease: trusted,
    then: { when: /"status":"running"/, stop: 'UserStopped' },
  },
  {
    name: 'timed-out',
    title: 'is stopped for time while the model says nothing',
    prompt: 'SCENARIO:hang',
    lease: trusted,
    then: { when: busy, stop: 'Timeout' },
  },
  {
    name: 'aborted-by-another',
    title: 'is aborted by somebody else while the model speaks',
    prompt: 'SCENARIO:hangmid',
    lease: trusted,
    then: { when: /"delta":"Half/, abort: true },
  },
  {
    name: 'no-finish',
    title: 'is aborted while it waits to try again: neither an error nor a finish',
    prompt: 'SCENARIO:err500',
    lease: trusted,
    then: { when: /"type":"retry"/, abort: true },
  },
  {
    name: 'permission-rejected',
    title: 'is refused a command; the command line exits 0',
    prompt: 'SCENARIO:bash ARG:touch never',
    decisions: ['reject'],
    exit: 'run',
  },
  {
    name: 'question-rejected',
    title: 'asks a question that nobody answers',
    prompt:
      'SCENARIO:any ARG:question {"questions":[{"question":"Which?","header":"Which","options":[{"label":"A","description":"a"}]}]}',
    lease: trusted,
    // The bridge's own rules deny questions; a project's or a newer harness's may not.
    environment: { OPENCODE_CONFIG_CONTENT: JSON.stringify({ permission: { question: 'allow' } }) },
  },
  {
    name: 'tool-recovers',
    title: 'meets a command that fails and mends it',
    prompt: 'Mend the build.',
    lease: trusted,
  },
  { name: 'tool-unknown', title: 'calls a tool that does not exist', prompt: 'SCENARIO:badtool', lease: trusted },
  { name: 'empty', title: 'finishes without a word', prompt: 'Say nothing at all.', lease: trusted },
  {
    name: 'verify-passes',
    title: 'changes a file that the verify command accepts',
    prompt: 'SCENARIO:write ARG:made.txt|made',
    lease: { ...trusted, verify: { argv: ['grep', 'made', 'made.txt'], timeout_seconds: 20 } },
  },
  {
    name: 'verify-fails',
    title: 'says it is done, and the verify command fails; the command line exits 0',
    prompt: 'SCENARIO:write ARG:made.txt|made',
    lease: { ...trusted, verify: { argv: ['grep', 'never', 'made.txt'], timeout_seconds: 20 } },
    exit: 'run',
  },
  {
    name: 'verify-rejected',
    title: 'says it is done, and nobody lets the verify command run',
    prompt: 'SCENARIO:write ARG:made.txt|made',
    lease: { profile: 'ask', verify: { argv: ['true'], timeout_seconds: 20 } },
    decisions: ['reject'],
  },
  {
    name: 'loop',
    title: 'calls a tool for ever and is stopped at its limit of model calls',
    prompt: 'SCENARIO:loop',
    lease: trusted,
    callLimit: 4,
    limit: { reason: 'LoopDetected', message: 'The attempt made 4 model calls without coming to an end.' },
  },
];
