import type { Request } from 'express';
import { z } from 'zod';
import { ServiceError } from '../platform/errors.ts';
import { bodyTooLarge, invalidRequest } from './faults.ts';

/**
 * Largest request, in bytes. A conversation is sent whole with every call: a context of a million tokens is about
 * 4 MiB of text, JSON escapes double it in the worst case, and pictures travel inside as base64.
 */
export const bodyLimitBytes = 32 * 1024 * 1024;

const completion = z.looseObject({
  model: z.string().optional(),
  messages: z.array(z.unknown()).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({}).nullish(),
});

export interface CompletionRequest {
  readonly model: string | null;
  readonly isStream: boolean;
  /** The body for upstream, with the model's real name and usage asked for. */
  forward(model: string): string;
}

/** Reads the raw body of a route before which no parser ran. Throws a `ModelFault`. */
export async function readCompletionRequest(request: Request, limitBytes: number): Promise<CompletionRequest> {
  if (request.readableEnded)
    throw new ServiceError(
      'internal',
      'body_already_read',
      'A body parser ran before the model gateway. Mount gateway routes without one.',
    );
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw invalidRequest('its body must not be compressed');
  const text = await readText(request, limitBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalidRequest('its body is not valid JSON');
  }
  const result = completion.safeParse(value);
  if (!result.success) throw invalidRequest(faultsOf(result.error));
  const body = result.data;
  const isStream = body.stream === true;
  return {
    model: body.model ?? null,
    isStream,
    forward(model) {
      const { stream_options: asked, ...rest } = body;
      // Without it most providers keep the usage of a stream to themselves, and nothing could be metered.
      const streamOptions = isStream ? { stream_options: { ...asked, include_usage: true } } : {};
      return JSON.stringify({ ...rest, model, ...streamOptions });
    },
  };
}

/** Paths and rules only: a value could be a piece of the prompt. */
const faultsOf = (error: z.ZodError): string =>
  error.issues.map((issue) => `${issue.path.join('.') || 'the body'} is wrong (${issue.code})`).join(', ');

async function readText(request: Request, limitBytes: number): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw bodyTooLarge();
  const pieces: Buffer[] = [];
  let size = 0;
  // Leaving the loop must not destroy the socket: the refusal still has to travel on it.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limitBytes) throw bodyTooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
