import type { Request } from 'express';
import { z } from 'zod';
import { ServiceError } from '../platform/errors.ts';
import { inDialect, type Dialect } from './dialects.ts';
import { bodyTooLarge, invalidRequest } from './faults.ts';

/**
 * Largest request, in bytes. A conversation is sent whole with every call: a context of a million tokens is about
 * 4 MiB of text, JSON escapes double it in the worst case, and pictures travel inside as base64.
 */
export const bodyLimitBytes = 32 * 1024 * 1024;

const completion = z.looseObject({
  /** It is stored with the call. */
  model: z
    .string()
    .max(200)
    .regex(/^\P{Cc}*$/u)
    .optional(),
  messages: z.array(z.unknown()).min(1),
  stream: z.boolean().nullish(),
  tools: z.array(z.looseObject({})).nullish(),
  max_tokens: z.unknown().optional(),
  max_completion_tokens: z.unknown().optional(),
});

/**
 * What of a request goes upstream as it came. Everything else is left out: providers know fields that name further
 * models (`models`, `route`, `provider`), order several answers (`n`), buy services beside the model (`plugins`,
 * `web_search_options`, `service_tier`), or keep the conversation (`store`, `metadata`).
 */
const forwarded = [
  'messages',
  'tool_choice',
  'parallel_tool_calls',
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'max_tokens',
  'max_completion_tokens',
  'stop',
  'seed',
  'presence_penalty',
  'frequency_penalty',
  'repetition_penalty',
  'logit_bias',
  'response_format',
  'reasoning',
  'include_reasoning',
  'reasoning_effort',
  'verbosity',
  'prompt_cache_key',
] as const;
/** These go upstream in a form of our own. */
const rewritten = ['model', 'stream', 'stream_options', 'tools', 'usage'] as const;
const known: ReadonlySet<string> = new Set([...forwarded, ...rewritten]);

export interface CompletionRequest {
  readonly model: string | null;
  readonly isStream: boolean;
  /** Names of the fields that are not passed on. */
  readonly leftOut: readonly string[];
  /** The longest answer that is asked for, in tokens; null when the request sets no bound. */
  readonly outputAtMost: number | null;
  /** The body for upstream, with the model's real name, usage asked for, and what is said here laid over it. */
  forward(model: string, upstream?: UpstreamWords): string;
}

/** How one upstream is spoken to, and what the admin sets for every request. */
export interface UpstreamWords {
  readonly dialect?: Dialect;
  /** Bounds the answer; a shorter bound of the request stays. */
  readonly maxTokens?: number | null;
  /** Taken where the request names none. */
  readonly temperature?: number | null;
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
  return parseCompletion(await readText(request, limitBytes));
}

/** Reads what a client sent, or what the service itself asks. Throws a `ModelFault`. */
export function parseCompletion(text: string): CompletionRequest {
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
    leftOut: Object.keys(body).filter((name) => !known.has(name)),
    outputAtMost: boundOf(body),
    forward: (model, upstream = {}) => {
      const words = { model, ...passedOn(body), ...ownWords(body, isStream), ...adminsWords(body, upstream) };
      return JSON.stringify(upstream.dialect ? inDialect(upstream.dialect, words) : words);
    },
  };
}

const bounds = ['max_completion_tokens', 'max_tokens'] as const;
const tokenBound = z.number().int().min(1).max(10_000_000);

function boundOf(body: Body): number | null {
  const named = bounds.flatMap((name) => tokenBound.safeParse(body[name]).data ?? []);
  return named.length === 0 ? null : Math.max(...named);
}

function adminsWords(body: Body, { maxTokens = null, temperature = null }: UpstreamWords): Record<string, unknown> {
  const asked = boundOf(body);
  const named = bounds.filter((name) => body[name] !== undefined && body[name] !== null);
  const atMost = maxTokens === null ? null : Math.min(maxTokens, asked ?? maxTokens);
  return {
    ...(atMost === null
      ? {}
      : Object.fromEntries((named.length > 0 ? named : ['max_tokens']).map((one) => [one, atMost]))),
    ...(temperature === null || typeof body['temperature'] === 'number' ? {} : { temperature }),
  };
}

type Body = z.output<typeof completion>;

const passedOn = (body: Body): Record<string, unknown> =>
  Object.fromEntries(forwarded.flatMap((name) => (Object.hasOwn(body, name) ? [[name, body[name]]] : [])));

function ownWords(body: Body, isStream: boolean): Record<string, unknown> {
  // Tools of any other type are run by the provider, at a price of their own.
  const tools = (body.tools ?? []).filter((tool) => tool['type'] === 'function');
  return {
    ...(tools.length === 0 ? {} : { tools }),
    ...(body.stream == null ? {} : { stream: isStream }),
    // Without it most providers keep the usage of a stream to themselves, and nothing could be metered.
    ...(isStream ? { stream_options: { include_usage: true } } : {}),
    // OpenRouter's own way to ask for usage and cost; a provider that is not asked so may not know it.
    ...(wantsUsage.safeParse(body['usage']).success ? { usage: { include: true } } : {}),
  };
}

const wantsUsage = z.looseObject({ include: z.literal(true) });

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
