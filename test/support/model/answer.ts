import type { ServerResponse } from 'node:http';
import type { Fault, Step } from './step.ts';
import { answerFrames, answerJson, chunk, done, frame, type Writer } from './wire.ts';

export interface AnswerOptions {
  readonly writer: Writer;
  readonly stream: boolean;
  readonly chunkDelayMs: number;
  readonly wait: (milliseconds: number) => Promise<void>;
}

/** Plays one step on one HTTP answer. Resolves when nothing more will be written. */
export async function answer(response: ServerResponse, step: Step, options: AnswerOptions): Promise<void> {
  if ('fault' in step) return faults[step.fault](response, options);
  if ('status' in step) return refuse(response, step);
  if (!options.stream) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answerJson(options.writer, step)));
    return;
  }
  await play(response, answerFrames(options.writer, step), {
    ...options,
    chunkDelayMs: 'delayMs' in step && step.delayMs !== undefined ? step.delayMs : options.chunkDelayMs,
  });
  response.end();
}

function refuse(response: ServerResponse, step: Extract<Step, { status: number }>): void {
  response.writeHead(step.status, { 'content-type': 'application/json', ...step.headers });
  response.end(
    JSON.stringify({ error: { message: step.message, type: step.type ?? 'invalid_request', param: null, code: null } }),
  );
}

const begin = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.flushHeaders();
};

async function play(response: ServerResponse, frames: readonly string[], options: AnswerOptions): Promise<void> {
  begin(response);
  for (const one of frames) {
    if (response.destroyed) return;
    response.write(one);
    if (options.chunkDelayMs > 0) await options.wait(options.chunkDelayMs);
  }
}

const firstWord = ({ writer }: AnswerOptions): string => chunk(writer, { role: 'assistant', content: 'Half ' });

const faults: Readonly<Record<Fault, (response: ServerResponse, options: AnswerOptions) => Promise<void>>> = {
  malformed: async (response, options) => {
    await play(response, [firstWord(options), 'data: {not json\n\n', done], options);
    response.end();
  },
  cut: async (response, options) => {
    begin(response);
    // The word must have left before the socket goes, or the caller sees a refused connection instead.
    await new Promise((resolve) => response.write(firstWord(options), resolve));
    response.destroy();
  },
  eofclean: async (response, options) => {
    await play(response, [firstWord(options)], options);
    response.end();
  },
  html: (response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<!doctype html><title>Sign in</title><p>Sign in to continue.');
    return Promise.resolve();
  },
  hang: () => Promise.resolve(),
  hangmid: (response, options) => play(response, [firstWord(options)], options),
  errchunk: async (response, options) => {
    const error = { code: 502, message: 'Provider returned error' };
    const choices = [{ index: 0, delta: { content: '' }, finish_reason: 'error' }];
    await play(response, [firstWord(options), frame({ id: options.writer.id, error, choices })], options);
    response.end();
  },
  toolless: async (response, options) => {
    await play(response, [firstWord(options), chunk(options.writer, {}, 'tool_calls'), done], options);
    response.end();
  },
};
